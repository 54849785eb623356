"""Buffers that are kept: fewer page faults, the same bits, and memory given back."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import pytest
import torch

from medbench import load_model
from medbench.features.memory import kept_buffers

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
LARGE = 12 << 20  # float32 numbers: 48 MiB, above all thresholds of glibc's own


def faults(rounds: int = 5) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.ones(LARGE)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@glibc
def test_a_large_buffer_is_asked_of_the_kernel_once() -> None:
    outside = faults()
    with kept_buffers():
        faults(1)
        inside = faults()
    assert inside < outside / 10
    assert faults() > outside / 2  # as before


@glibc
def test_memory_is_given_back_at_the_end() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    with kept_buffers():
        torch.ones(LARGE)
        held = resident()
    assert held - resident() > LARGE * 4 // 2


@pytest.mark.parametrize("model", ["toy-vit", "toy-cnn"])
def test_features_are_the_same_to_the_bit(model: str) -> None:
    encoder, x = load_model(model), torch.rand(8, 3, 64, 64)
    with torch.inference_mode():
        plain = encoder.pooled(x)
        with kept_buffers():
            assert torch.equal(encoder.pooled(x), plain)
