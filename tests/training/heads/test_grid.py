"""The batched grid against one torch.nn.Linear, AdamW and ReduceLROnPlateau at a time."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from medbench.cards.recipes import LinearFrozen
from medbench.training.heads import grid
from medbench.training.heads.grid import Problem, train_grid
from medbench.training.heads.linear import initial, order

CPU = torch.device("cpu")


def problem(multilabel: bool = False, n: int = 90, m: int = 40, d: int = 12, c: int = 4, views: int = 3) -> Problem:
    source = np.random.default_rng(3)
    truth = source.normal(size=(d, c))
    train, val = source.normal(size=(n, d)), source.normal(size=(m, d))
    bank = train[None] + 0.3 * source.normal(size=(views, n, d))

    def targets(x: np.ndarray) -> np.ndarray:
        logits = x @ truth + 3 * source.normal(size=(len(x), c))
        return (logits > 0).astype(np.int64) if multilabel else logits.argmax(1)

    train_targets = torch.from_numpy(targets(train))
    return Problem(
        train=torch.from_numpy(bank).float(),
        train_targets=train_targets.float() if multilabel else train_targets,
        val=torch.from_numpy(val).float(),
        val_targets=targets(val),
        classes=c,
        metric="auroc_macro" if multilabel else "kappa_quadratic",
    )


def settings(**changes: object) -> LinearFrozen:
    values = {"epochs": 12, "batch_size": 16, "learning_rates": [1e-3, 3e-2, 0.5], "warmup_epochs": 2, "views": 3}
    return LinearFrozen.model_validate({**values, "plateau_patience": 1, **changes})


def alone(p: Problem, s: LinearFrozen, seed: int, rate: float) -> tuple[list[float], list[float], torch.Tensor]:
    """Train one head the plain way; returns validation curve, rates and best weights (c, d + 1)."""
    views, n, d = p.train.shape
    head = torch.nn.Linear(d, p.classes)
    with torch.no_grad():
        first = initial(seed, p.classes, d)
        head.weight.copy_(first[:, :-1])
        head.bias.copy_(first[:, -1])
    groups = [{"params": [head.weight], "weight_decay": s.weight_decay}, {"params": [head.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=s.plateau_factor, patience=s.plateau_patience, threshold=s.plateau_threshold
    )
    loss_of = torch.nn.BCEWithLogitsLoss() if p.multilabel else torch.nn.CrossEntropyLoss()
    steps, step = n // s.batch_size, 0
    curve, rates, best = [], [], (-np.inf, head.weight)
    warm = s.warmup_epochs * steps
    for epoch in range(s.epochs):
        rows = order(seed, epoch, n, views, s.epochs)
        for i in range(steps):
            if step < warm:
                for group in optimizer.param_groups:
                    group["lr"] = 1e-8 + (rate - 1e-8) * (step + 1) / warm
            at = torch.from_numpy(rows[i * s.batch_size : (i + 1) * s.batch_size])
            optimizer.zero_grad()
            loss_of(head(p.train[at // n, at % n]), p.train_targets[at % n]).backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), s.clip)
            optimizer.step()
            step += 1
        with torch.no_grad():
            logits = head(p.val)
        if p.multilabel:
            value = roc_auc_score(p.val_targets, logits.sigmoid().numpy(), average="macro")
        else:
            value = cohen_kappa_score(p.val_targets, logits.argmax(1).numpy(), weights="quadratic")
        if step >= warm:
            plateau.step(value)
        if value > best[0]:
            best = (value, torch.cat([head.weight, head.bias[:, None]], 1).detach().clone())
        curve.append(value)
        rates.append(optimizer.param_groups[0]["lr"] if step >= warm else None)
    return curve, rates, best[1]


def test_a_metric_that_falls_is_minimised() -> None:
    p = dataclasses.replace(problem(), metric="log_loss")
    trained = train_grid(p, settings(learning_rates=[1e-3, 0.5], early_stopping=3), [0], CPU)
    low = np.nanmin(np.where(trained.curve == 0, np.nan, trained.curve), axis=0)
    np.testing.assert_allclose(trained.best, low)
    assert trained.best_epoch[0, 0] > 0, "a slow head's loss falls for some epochs"
    assert (trained.rate[-1] < trained.rate[1]).any(), "the plateau divides where the loss rises"


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("decay", [1e-5, 0.1])
def test_grid_equals_training_each_head_alone(multilabel: bool, decay: float) -> None:
    p, s = problem(multilabel), settings(weight_decay=decay)
    trained = train_grid(p, s, [0, 7], CPU)
    cut = False
    for i, seed in enumerate([0, 7]):
        for j, rate in enumerate(s.learning_rates):
            curve, rates, best = alone(p, s, seed, rate)
            np.testing.assert_allclose(trained.curve[:, i, j], curve, atol=1e-6)
            assert trained.best[i, j] == pytest.approx(max(curve), abs=1e-6)
            assert trained.best_epoch[i, j] == int(np.argmax(np.round(curve, 9)))
            torch.testing.assert_close(trained.weight[i, j], best, rtol=2e-3, atol=2e-4)
            known = [(ours, theirs) for ours, theirs in zip(trained.rate[:, i, j], rates, strict=True) if theirs]
            np.testing.assert_allclose(*zip(*known, strict=True), rtol=1e-9)
            cut |= rates[-1] < rate
    assert cut, "the plateau never cut a rate: the test would not see a wrong one"


def test_the_grid_does_not_change_with_its_company() -> None:
    """A head's numbers do not depend on which other rates and seeds are trained beside it."""
    p = problem()
    many = train_grid(p, settings(), [0, 1, 2], CPU)
    one = train_grid(p, settings(learning_rates=[3e-2]), [1], CPU)
    np.testing.assert_allclose(many.curve[:, 1, 1], one.curve[:, 0, 0], atol=1e-6)


def test_two_trainings_are_identical_to_the_last_bit() -> None:
    p = problem()
    a, b = (train_grid(p, settings(), [0, 1], CPU) for _ in range(2))
    assert torch.equal(a.weight, b.weight)
    assert np.array_equal(a.curve, b.curve)
    assert np.array_equal(a.loss, b.loss)


def test_fewer_images_than_a_batch_make_one_batch() -> None:
    trained = train_grid(problem(n=10), settings(batch_size=64), [0], CPU)
    assert trained.curve.shape == (12, 1, 3)
    assert np.isfinite(trained.loss).all()


def test_val_drop_leaves_a_rest_out_and_rounding_keeps_the_earliest_epoch() -> None:
    p = problem()
    plain = train_grid(p, settings(), [0], CPU)
    dropped = train_grid(p, settings(val_drop=True), [0], CPU)
    rounded = train_grid(p, settings(round_metric=1), [0], CPU)
    assert not np.array_equal(plain.curve, dropped.curve)
    assert np.array_equal(rounded.curve[0], plain.curve[0].round(1))
    assert (rounded.best_epoch <= plain.best_epoch).all()


def test_a_killed_training_goes_on_to_the_same_numbers(tmp_path, monkeypatch) -> None:
    """SIGKILL in the middle of an epoch; the resumed training ends bit for bit where the undisturbed one does."""
    state = tmp_path / "grid.safetensors"
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_grid as t
        from pathlib import Path
        t.grid.CHECKPOINT_SECONDS = 0.0
        plain = t.grid.Grid.epoch
        def epoch(self, number):
            if number == 7:
                zeros = t.torch.zeros(len(self.seeds), self.batch, dtype=t.torch.long)
                self._step(zeros, zeros, number * self.steps)
                os.kill(os.getpid(), signal.SIGKILL)
            plain(self, number)
        t.grid.Grid.epoch = epoch
        t.train_grid(t.problem(), t.settings(), [0, 1], t.CPU, Path({str(state)!r}))
        """
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-500:]
    assert state.is_file()
    seen = []
    plain = grid.Grid.epoch
    monkeypatch.setattr(grid.Grid, "epoch", lambda self, e: (seen.append(e), plain(self, e))[1])
    resumed = train_grid(problem(), settings(), [0, 1], CPU, state)
    assert seen == [7, 8, 9, 10, 11]
    whole = train_grid(problem(), settings(), [0, 1], CPU)
    assert torch.equal(resumed.weight, whole.weight)
    for name in ("best", "best_epoch", "curve", "loss", "rate"):
        assert np.array_equal(getattr(resumed, name), getattr(whole, name)), name


def test_a_state_of_other_seeds_or_a_damaged_one_is_not_taken_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(grid, "CHECKPOINT_SECONDS", 0.0)
    state = tmp_path / "grid.safetensors"
    train_grid(problem(), settings(epochs=4), [0, 1], CPU, state)
    other = train_grid(problem(), settings(epochs=4), [2, 3], CPU, state)
    assert np.array_equal(other.curve, train_grid(problem(), settings(epochs=4), [2, 3], CPU).curve)
    state.write_bytes(b"torn")
    assert np.array_equal(train_grid(problem(), settings(epochs=4), [2, 3], CPU, state).curve, other.curve)


def test_early_stopping_keeps_what_a_shorter_training_would() -> None:
    p = problem(multilabel=False)
    whole = train_grid(p, settings(), [0, 1], torch.device("cpu"))
    stopped = train_grid(p, settings(early_stopping=2, early_from=3, early_threshold=0.01), [0, 1], torch.device("cpu"))
    for s, head in np.ndindex(2, 3):
        best, held, stale = -np.inf, -np.inf, 0
        for epoch, value in enumerate(whole.curve[:, s, head]):
            best = max(best, value)
            if epoch >= 3:
                held, stale = (value, 0) if value > held + 0.01 else (held, stale + 1)
            if stale >= 2:
                break
        assert stopped.best[s, head] == best
    assert len(stopped.curve) <= len(whole.curve)
