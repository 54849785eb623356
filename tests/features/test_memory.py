"""Buffers that are kept: fewer page faults, the same bits, and memory given back."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest
import torch

from medbench import load_model
from medbench.features.memory import OWN_SETTINGS, kept_buffers

PROGRAM = """
import json, resource
from pathlib import Path
import numpy as np
from medbench.features.memory import kept_buffers

LARGE = 12 << 20  # float32 numbers: 48 MiB, above all thresholds of glibc's own

def faults(rounds=5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        np.ones(LARGE, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (4 * LARGE)

outside = faults()
with kept_buffers():
    faults(1)
    inside, held = faults(), resident()
print(json.dumps({"outside": outside, "inside": inside, "held": held, "left": resident(), "after": faults()}))
"""
"""A process of its own: faults depend on what was freed before."""


def found(**settings: str) -> dict[str, float]:
    plain = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
    words = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, env={**plain, **settings}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
def test_large_buffers_are_kept_inside_and_given_back_at_the_end() -> None:
    one = found()
    assert one["inside"] < one["outside"] / 10
    assert one["after"] > one["outside"] / 2  # as before
    assert one["held"] - one["left"] > 0.5
    own = found(MALLOC_TRIM_THRESHOLD_="131072")
    assert own["inside"] > own["outside"] / 2, "a person's own settings stay"


@pytest.mark.parametrize("model", ["toy-vit", "toy-cnn"])
def test_features_are_the_same_to_the_bit(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    encoder, x = load_model(model), torch.rand(8, 3, 64, 64)
    with torch.inference_mode():
        plain = encoder.pooled(x)
        with kept_buffers():
            assert torch.equal(encoder.pooled(x), plain)
