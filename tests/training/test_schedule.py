"""Warm-up and cosine in closed form, plateau and cosine against torch's own."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from timm.scheduler import CosineLRScheduler

from medbench.cards.recipes import DinoPretrain, LinearUnfrozen
from medbench.training.schedule import Plateau, cosine, rate_at, warmup, warmup_steps


def test_warmup_ramps_exactly_to_the_rate() -> None:
    base = np.array([1e-5, 1e-3])
    assert warmup(base, 0, 200) == pytest.approx([1e-8, 1e-8])
    assert warmup(base, 100, 200) == pytest.approx((base + 1e-8) / 2)
    assert warmup(base, 200, 200) == pytest.approx(base, rel=1e-12)
    assert warmup(base, 999, 200) == pytest.approx(base, rel=1e-12)
    assert np.array_equal(warmup(base, 0, 0), base)
    assert warmup(base, 199, 200, ahead=1) == pytest.approx(base, rel=1e-12)


def test_the_warmup_of_wacv_2024_has_made_an_increment_at_its_first_step() -> None:
    settings = LinearUnfrozen(epochs=3, warmup_epochs=1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    theirs = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1e-5, total_iters=5)
    for step in range(9):
        optimizer.step()
        theirs.step()  # before the step's rate is read, as in the published code
        assert float(rate_at(np.asarray(1e-3), step, 5, settings)) == pytest.approx(optimizer.param_groups[0]["lr"])
    over = settings.model_copy(update={"warmup_overshoot": True})
    assert float(rate_at(np.asarray(1e-3), 5, 5, over)) == pytest.approx(1.2e-3, rel=1e-4)


def test_overshoot_is_the_published_codes_one_increment_too_many() -> None:
    base = np.array([1e-3])
    assert warmup(base, 999, 200, overshoot=True) == pytest.approx(base * (1 + 1 / 200), rel=1e-4)
    assert warmup(base, 999, 1, overshoot=True) == pytest.approx(2 * base, rel=1e-4)
    assert warmup(base, 200, 200, overshoot=True) == pytest.approx(base, rel=1e-12)


@pytest.mark.parametrize(("mode", "sign"), [("max", 1), ("min", -1)])
@pytest.mark.parametrize("patience", [0, 2])
def test_plateau_equals_torch(patience: int, mode: Literal["max", "min"], sign: int) -> None:
    source = np.random.default_rng(0)
    metrics = np.round(source.normal(size=(60, 8)).cumsum(axis=0) * 0.1 + 0.1, 2)  # ties, falls, negative values
    base = np.full(8, 1e-3)
    ours = Plateau((8,), 0.1, patience, 1e-4, sign)
    optimizers = [torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3) for _ in range(8)]
    theirs = [
        torch.optim.lr_scheduler.ReduceLROnPlateau(o, mode=mode, factor=0.1, patience=patience, threshold=1e-4)
        for o in optimizers
    ]
    for row in metrics:
        ours.step(row, base)
        for rule, value in zip(theirs, row, strict=True):
            rule.step(value)
        expected = [o.param_groups[0]["lr"] for o in optimizers]
        np.testing.assert_allclose(base * ours.scale, expected, rtol=1e-9)
    assert (ours.scale < 1).any()


def test_an_undefined_metric_never_counts_as_an_improvement() -> None:
    plateau = Plateau((1,), 0.1, 0, 1e-4)
    plateau.step(np.array([0.5]), np.array([1.0]))
    plateau.step(np.array([np.nan]), np.array([1.0]))
    assert plateau.best[0] == 0.5
    assert plateau.scale[0] == pytest.approx(0.1)


def test_cosine_after_the_warmup_is_torchs() -> None:
    settings = LinearUnfrozen(plateau=False, cosine=True, epochs=10, warmup_epochs=2, min_rate=1e-6)
    base = np.asarray(1e-3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8 * 5, eta_min=1e-6)
    for step in range(10, 50):
        assert float(rate_at(base, step, 5, settings)) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        cosine.step()
    assert float(rate_at(base, 5, 5, settings)) == pytest.approx((1e-3 + 1e-8) / 2)
    assert float(rate_at(base, 60, 5, settings)) == pytest.approx(1e-6)
    with pytest.raises(ValueError, match="either plateau or cosine"):
        LinearUnfrozen(cosine=True)


def test_half_a_cosine_ends_at_its_last_step() -> None:
    i = np.arange(70)
    found = [cosine(0.9, 1.0, step, 70) for step in i]
    np.testing.assert_allclose(found, 1 + 0.5 * (0.9 - 1) * (1 + np.cos(np.pi * i / 70)))
    assert cosine(0.9, 1.0, 70, 70) == cosine(0.9, 1.0, 99, 70) == 1.0
    assert cosine(0.9, 1.0, 0, 0) == 0.9
    np.testing.assert_allclose(cosine(np.array([1.0, 2.0]), 0.0, 1, 2), [0.5, 1.0])


@pytest.mark.parametrize("recipe", [LinearUnfrozen, DinoPretrain])
def test_the_warm_up_is_given_in_epochs_or_steps(recipe: type[LinearUnfrozen] | type[DinoPretrain]) -> None:
    assert warmup_steps(7, recipe(warmup_epochs=3)) == 21
    assert warmup_steps(7, recipe(warmup_epochs=3, warmup_steps=0)) == 0


def test_a_cosine_by_epoch_is_timms_scheduler_called_after_each_epoch_with_its_number() -> None:
    """Doerrich et al. (2025) call it so; the first two epochs have the full rate."""
    settings = LinearUnfrozen(epochs=10, warmup_epochs=0, plateau=False, cosine=True, cosine_by="epoch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    theirs = CosineLRScheduler(optimizer, t_initial=10, cycle_limit=1, t_in_epochs=True)
    for epoch in range(10):
        for step in range(4 * epoch, 4 * epoch + 4):
            found = float(rate_at(np.asarray(1e-4), step, 4, settings))
            assert found == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        theirs.step(epoch=epoch)
