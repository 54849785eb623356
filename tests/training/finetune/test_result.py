"""A finished training is read back as it was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medbench.training.finetune.result import Curve, Fitted


def fitted() -> Fitted:
    curve = Curve()
    curve.add(val=0.5, loss=1.25, rate=1e-8, step=4)
    curve.add(val=1 / 3, loss=float("nan"), rate=1e-3, step=8)
    log_odds = np.array([[-0.5, 0.5]])
    state = {"encoder.weight": torch.randn(3, 2), "head.bias": torch.zeros(2)}
    return Fitted(0.5, 0, 4, log_odds, state, curve, {"micro_batch": 3, "train_seconds": 1.5})


def test_a_training_is_read_back(tmp_path: Path) -> None:
    made = fitted()
    made.save(tmp_path / "done")
    found = Fitted.load(tmp_path / "done")
    assert found is not None
    for name in ("best", "epoch", "step", "facts", "failed"):
        assert getattr(found, name) == getattr(made, name)
    assert np.array_equal(found.log_odds, made.log_odds)
    assert found.state.keys() == made.state.keys()
    assert all(torch.equal(found.state[name], value) for name, value in made.state.items())
    assert (found.curve.val, found.curve.rate, found.curve.step) == (made.curve.val, made.curve.rate, made.curve.step)
    assert found.curve.loss[0] == 1.25
    assert np.isnan(found.curve.loss[1])


def test_so_is_one_that_failed_in_its_first_epoch(tmp_path: Path) -> None:
    made = replace(fitted(), best=float("nan"), state={}, curve=Curve(), failed="the loss is not finite at step 2")
    made.save(tmp_path / "done")
    found = Fitted.load(tmp_path / "done")
    assert found is not None
    assert np.isnan(found.best)
    assert found.failed == made.failed
    assert found.curve == Curve()


def test_without_a_file_there_is_none(tmp_path: Path) -> None:
    assert Fitted.load(tmp_path / "done") is None


def test_a_curve_ignores_other_arrays() -> None:
    curve = fitted().curve
    with pytest.raises(KeyError):
        Curve.of({"val": np.zeros(2)})
    assert Curve.of({**curve.arrays(), "log_odds": np.zeros((2, 2))}).val == curve.val
