"""Every random draw has a name; the name is its seed."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_of(*names: str | int) -> int:
    """Return a 63-bit seed for the draw called `names`, e.g. `("linear-frozen", "order", seed, epoch)`."""
    text = "/".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*names: str | int) -> np.random.Generator:
    """Return numpy's generator for the draw called `names`."""
    return np.random.Generator(np.random.PCG64(seed_of(*names)))
