"""How many loader processes a run starts."""

from __future__ import annotations

import joblib
import pytest

from medbench.errors import MedbenchError
from medbench.runs.device import augments_late, choose_workers


def test_loader_processes_are_those_asked_for() -> None:
    assert [choose_workers(asked, device) for asked in (0, 3) for device in ("cpu", "cuda")] == [0, 0, 3, 3]
    with pytest.raises(MedbenchError, match="below 0"):
        choose_workers(-1, "cuda")


@pytest.mark.parametrize(("processors", "workers"), [(1, 1), (2, 1), (8, 7), (64, 16)])
def test_loader_processes_leave_one_processor_free(
    processors: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: processors)
    assert choose_workers(None, "cuda") == workers
    assert choose_workers(None, "cpu") == 0, "on a CPU the encoder needs the processors"


def test_views_are_made_on_a_gpu_that_has_few_loader_processes() -> None:
    assert [augments_late("cuda", workers) for workers in (0, 3, 7, 8, 16)] == [True, True, True, False, False]
    assert not augments_late("cpu", 0)
