"""Official results in ../shared/parity_vl, and how far ours are from them; pytest -v prints the table at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

CLOSE = 5e-6


@dataclass
class Parity:
    """Reads goldens and compares with them.

    Attributes:
        folder: Where they lie.
        rows: (golden, quantity, largest relative error) of each comparison so far.
    """

    folder: Path
    rows: list[tuple[str, str, float]] = field(default_factory=list)

    def read(self, name: str) -> dict[str, Tensor]:
        """Return a golden's arrays."""
        with np.load(self.folder / name / "golden.npz") as file:
            return {key: torch.from_numpy(file[key]) for key in file.files}

    def check(self, name: str, quantity: str, found: Any, wanted: Any, within: float = CLOSE) -> None:
        """Compare: the largest error, relative to the largest value."""
        ours, theirs = (np.asarray(one, np.float64) for one in (found, wanted))
        assert ours.shape == theirs.shape, quantity
        error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        self.rows.append((name, quantity, error))
        assert error <= within, f"{name}: {quantity} is {error:.1e} off"

    def table(self) -> str:
        """Return all comparisons as text."""
        width = max(len(f"{name} | {quantity}") for name, quantity, _ in self.rows)
        lines = [f"{f'{name} | {quantity}':<{width}} | {error:.1e}" for name, quantity, error in self.rows]
        return "\n".join([f"{'golden | quantity':<{width}} | largest relative error", *lines])
