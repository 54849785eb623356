"""Time of an image and throughput, on a clock of the test's own."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from medbench.cards.recipes import Timing
from medbench.protocols import timing

from .made import Images, job


def test_passes_of_the_warm_up_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(clock) * 0.5))
    calls: list[torch.Tensor] = []

    def network(x: torch.Tensor) -> torch.Tensor:
        calls.append(x)
        return x

    found = timing._timed(network, torch.zeros(1), Timing(warmup=2, repeats=4))
    assert (len(calls), found.tolist()) == (6, [0.5] * 4)
    calls.clear()
    found = timing._timed(network, torch.zeros(1), Timing(warmup=2, repeats=9, seconds=0.1))
    assert (len(calls), len(found)) == (5, 3), "at least three passes, however long they take"


def test_latency_is_of_one_image_and_throughput_of_the_best_batch() -> None:
    outcome = timing._outcome({1: np.array([0.1, 0.3]), 8: np.array([0.4, 0.4, 1.0])}, Timing(classifier="linear"))
    assert outcome.metrics == pytest.approx(
        {
            "latency_ms": 200,
            "latency_ms_std": 100 * 2**0.5,
            "latency_ms_median": 200,
            "throughput": 20,
            "throughput_batch": 8,
        }
    )
    assert outcome.chosen == {"classifier": "linear", "passes": 2}
    assert outcome.history["images_per_second"] == pytest.approx([5, 20])
    assert not outcome.warnings
    (warning,) = timing._outcome({8: np.array([0.4])}, Timing(classifier="linear")).warnings
    assert "a batch of 8 images" in warning


@pytest.mark.parametrize(("limit", "measured"), [("memory", [1, 8]), ("time", [1, 8]), ("", [1, 8, 32])])
def test_larger_batches_end_with_memory_or_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, measured: list[int]
) -> None:
    def timed(network: object, x: torch.Tensor, settings: Timing) -> NDArray[np.float64]:
        assert x.shape[1:] == (3, 64, 64)
        if limit == "memory" and len(x) == 32:
            raise torch.OutOfMemoryError
        return np.full(3, 10.0 if limit == "time" and len(x) == 8 else 0.001)

    monkeypatch.setattr(timing, "_timed", timed)
    settings = Timing(classifier="linear", batches=[1, 8, 32], repeats=3)
    (outcome,) = timing.run(job(settings, tmp_path, Images("toy-cnn"))).values()
    assert outcome.history["batch"] == measured
