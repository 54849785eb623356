"""Fine-tuning against a plain PyTorch loop; resuming, micro-batches, losses that are not finite, lack of memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.optim import AdamWLegacy
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn
from torch.utils.data import Dataset

from medbench.cards.recipes import LinearUnfrozen
from medbench.errors import MedbenchError
from medbench.metrics import probabilities
from medbench.training import steps
from medbench.training.finetune.fit import Fit
from medbench.training.finetune.result import Fitted
from medbench.training.finetune.task import FitData, FitTask
from medbench.training.heads.linear import order
from medbench.training.machine import machine

N, D, C, M = 40, 6, 3, 21
SHORT = {"epochs": 4, "batch_size": 8, "warmup_epochs": 1, "learning_rates": [1e-2], "plateau_patience": 0}


class Held(Dataset[Tensor]):
    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitems__(self, at: Sequence[Any]) -> Tensor:
        return self.values[[i[1] if isinstance(i, tuple) else i for i in at]]


pytestmark = pytest.mark.usefixtures("one_thread")


def data() -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
    source = torch.Generator().manual_seed(0)
    middle = torch.randn(C, D, generator=source)
    y, v = torch.arange(N) % C, torch.arange(M) % C
    x, z = (middle[t] + torch.randn(len(t), D, generator=source) for t in (y, v))
    return x, y, z, v.numpy()


def network(dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(D, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, C))


def fit(net: nn.Module | None = None, rate: float = 1e-2, x: Tensor | None = None, **changes: Any) -> Fit:
    train, y, val, v = data()
    settings = LinearUnfrozen.model_validate({**SHORT, **changes})
    on = machine("fp32", "cpu", 0)
    task = FitTask(settings, y, v, C, "recall_macro", on)
    source = FitData(Held(train if x is None else x), Held(val), Held(val), lambda raw: raw)
    return Fit(net or network(), source, task, 3, rate, "test")


def test_test_is_read_in_single_precision_if_the_recipe_says_so() -> None:
    on, (train, y, val, v) = machine("bf16", "cpu", 0), data()
    source = FitData(Held(train), Held(val), Held(val), lambda raw: raw)
    exactly = network()(val).detach()
    found = []
    for single in (False, True):
        recipe = LinearUnfrozen.model_validate({**SHORT, "test_fp32": single})
        one = Fit(network(), source, FitTask(recipe, y, v, C, "recall_macro", on), 3, 1e-2, "test")
        found.append(probabilities(one.test(M)))
    expected = exactly.softmax(1).numpy()
    assert np.abs(found[0] - expected).max() > 1e-4
    np.testing.assert_allclose(found[1], expected, rtol=1e-5)


def plain(rate: float, smoothing: float = 0.0) -> tuple[list[float], list[float], nn.Module]:
    """The recipe with PyTorch's own parts and nothing of ours but the order of the data."""
    x, y, z, v = data()
    net = network()
    matrices = [p for p in net.parameters() if p.ndim > 1]
    vectors = [p for p in net.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.3}, {"params": vectors, "weight_decay": 0.0}])
    plateau, losses, values, step, scale, bad, top = 0, [], [], 0, 1.0, 0, -np.inf
    for epoch in range(4):
        rows = torch.from_numpy(order(3, epoch, N, 4, 4)) % N
        total = 0.0
        for k in range(N // 8):
            at = rows[8 * k : 8 * k + 8]
            lr = (1e-8 + (rate - 1e-8) * min(step + 1, 5) / 5) * scale
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.zero_grad()
            value = nn.functional.cross_entropy(net(x[at]), y[at], label_smoothing=smoothing)
            value.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
            total, step = total + value.item(), step + 1
        net.eval()
        with torch.no_grad():
            guess = net(z).argmax(1).numpy()
        values.append(float(np.mean([(guess[v == k] == k).mean() for k in range(C)])))
        if values[-1] > top * (1 + 1e-4) or top == -np.inf:
            top, bad = values[-1], 0
        else:
            bad += 1
        if bad > plateau:
            scale, bad = scale * 0.1, 0
        losses.append(total / 5)
        net.train()
    return losses, values, net


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_it_is_the_plain_loop(tmp_path: Path, smoothing: float) -> None:
    ours = fit(weight_decay=0.3, clip=0.5, label_smoothing=smoothing)
    fitted = ours.run(tmp_path / "state")
    losses, values, net = plain(1e-2, smoothing)
    assert fitted.curve.val == pytest.approx(values, abs=1e-12)
    assert fitted.curve.loss == pytest.approx(losses, rel=1e-5)
    for a, b in zip(ours.network.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert fitted.best == max(values)
    assert fitted.epoch == int(np.argmax(values))
    assert fitted.step == 5 * (fitted.epoch + 1)
    assert not (tmp_path / "state").exists(), "nothing is saved before its time"


def test_best_weights_give_the_best_scores(tmp_path: Path) -> None:
    fitted = fit().run(tmp_path / "state")
    again = fit()
    again.load(fitted.state)
    assert np.array_equal(again.predict(again.source.test, M), fitted.log_odds)


def same(a: Fitted, b: Fitted) -> bool:
    states = all(torch.equal(a.state[name], b.state[name]) for name in a.state)
    return states and a.curve == b.curve and np.array_equal(a.log_odds, b.log_odds) and a.epoch == b.epoch


@pytest.mark.parametrize("stop", [1, 7, 10, 18])
def test_a_stopped_training_ends_in_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    whole = fit(network(0.3)).run(tmp_path / "none")
    monkeypatch.setattr(steps, "CHECKPOINT_SECONDS", -1.0)
    stopped = fit(network(0.3))
    step, left = stopped._step, [stop]

    def killed(*arguments: Any) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(stopped, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(tmp_path / "state")
    resumed = fit(network(0.3))
    assert same(resumed.run(tmp_path / "state"), whole)
    assert resumed.done == 20
    other = fit(network(0.3), rate=2e-2)
    assert not same(other.run(tmp_path / "state"), whole), "another rate's state is not taken up"


@pytest.mark.parametrize("loss", ["cross-entropy", "weighted"])
def test_micro_batches_change_rounding_alone(tmp_path: Path, loss: str) -> None:
    whole, parts = (fit(loss=loss, micro_batch=size).run(tmp_path / str(size)) for size in (8, 3))
    assert parts.curve.val == whole.curve.val
    assert parts.curve.loss == pytest.approx(whole.curve.loss, rel=1e-5)
    assert parts.facts["micro_batch"] == 3


def test_lack_of_memory_halves_the_micro_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    net = network()
    plain_forward, largest = net.forward, []

    def small_memory(x: Tensor) -> Tensor:
        if net.training and len(x) > 2:
            raise torch.OutOfMemoryError("full")
        largest.append(len(x))
        return plain_forward(x)

    monkeypatch.setattr(net, "forward", small_memory)
    fitted = fit(net).run(tmp_path / "state")
    assert fitted.facts["micro_batch"] == 2
    assert fitted.curve.val == fit().run(tmp_path / "whole").curve.val
    assert "continues with micro-batches of 2," in capsys.readouterr().err
    monkeypatch.setattr(net, "forward", lambda x: (_ for _ in ()).throw(torch.OutOfMemoryError("full")))
    with pytest.raises(MedbenchError, match="out of memory with a micro-batch of 1"):
        fit(net).run(tmp_path / "none")


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    x = data()[0].clone()
    x[5] = float("nan")
    fitted = fit(x=x).run(tmp_path / "state")
    assert np.isnan(fitted.best)
    assert "the loss is not finite at step" in fitted.failed
    assert "learning rate 0.01" in fitted.failed
    first = next(k for k in range(5) if 5 in order(3, 0, N, 4, 4)[8 * k : 8 * k + 8] % N)
    assert f"step {first + 1}," in fitted.failed, "steps count from 1"


def test_early_stopping_counts_from_its_first_epoch(tmp_path: Path) -> None:
    train = {"epochs": 30, "early_stopping": 2, "early_threshold": 2.0, "plateau": False}
    assert len(fit(**train).run(tmp_path / "a").curve.val) == 3, "the first epoch counts as better than nothing"
    assert len(fit(**train, early_from=5).run(tmp_path / "b").curve.val) == 8


def test_the_marginal_loss_needs_complete_batches(tmp_path: Path) -> None:
    first = fit(loss="marginal", marginal=2.0, plateau=False).run(tmp_path / "a").curve.loss[0]
    assert first > fit(plateau=False).run(tmp_path / "b").curve.loss[0]
    with pytest.raises(MedbenchError, match="complete batch at once"):
        fit(loss="marginal", micro_batch=2)
    net = network()
    net.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("full")))
    with pytest.raises(MedbenchError, match="out of memory with a micro-batch of 8") as caught:
        fit(net, loss="marginal").run(tmp_path / "c")
    assert "batch_size" in str(caught.value.hint)


@pytest.mark.parametrize("views", [None, 0, 2])
def test_rows_are_views_and_images(views: int | None) -> None:
    made = fit(views=views)
    for epoch in range(4):
        seen = [made.item(epoch, int(row)) for row in made.rows_of(epoch)]
        assert sorted(image for _, image in seen) == list(range(N))
        expected = {None: {epoch}, 0: {0}, 2: {0, 1}}[views]
        assert {view for view, _ in seen} == expected


def test_validation_drop_and_rounding_are_those_of_the_published_code(tmp_path: Path) -> None:
    whole, dropped, rounded = (
        fit(**changes).run(tmp_path / name).curve.val
        for name, changes in (("a", {}), ("b", {"val_drop": True}), ("c", {"round_metric": 1}))
    )
    assert whole != dropped, "21 images, in batches of 8: 5 are left out"
    assert rounded[0] == round(whole[0], 1)


def test_half_precision_scores_have_ties() -> None:
    made = fit()
    scores, half = (probabilities(made.predict(made.source.test, M, half=half)) for half in (False, True))
    np.testing.assert_allclose(half, scores, atol=2e-3)
    np.testing.assert_allclose(half, half.astype(np.float16).astype(float), atol=1e-12)
    assert not np.array_equal(scores, scores.astype(np.float16))


def test_multilabel_scores_are_sigmoids() -> None:
    train, y, val, v = data()
    labels = torch.eye(C)[y]
    task = FitTask(
        LinearUnfrozen(**SHORT), labels, np.eye(C, dtype=int)[v], C, "auroc_macro", machine("fp32", "cpu", 0)
    )
    made = Fit(network(), FitData(Held(train), Held(val), Held(val), lambda raw: raw), task, 3, 1e-2, "test")
    with torch.no_grad():
        expected = made.network.eval()(val).sigmoid()
    np.testing.assert_allclose(probabilities(made.predict(made.source.val, M)), expected.numpy(), atol=1e-6)


DOERRICH: dict[str, Any] = {
    "epochs": 30,
    "batch_size": 12,
    "keep_rest": True,
    "weight_decay": 0.01,
    "decay_all": True,
    "clip": 1e9,
    "warmup_epochs": 0,
    "plateau": False,
    "cosine": True,
    "cosine_by": "epoch",
    "early_stopping": 5,
    "select": "log_loss",
    "select_batch": 8,
}


def theirs(rate: float) -> tuple[list[float], int]:
    """The training of Doerrich et al. (2025) with timm's parts: (validation losses, best epoch)."""
    x, y, z, v = data()
    net = network()
    optimizer = AdamWLegacy(net.parameters(), lr=rate)
    scheduler = CosineLRScheduler(optimizer, t_initial=30, cycle_limit=1, t_in_epochs=True)
    values: list[float] = []
    for epoch in range(30):
        rows = torch.from_numpy(order(3, epoch, N, 30, 30)) % N
        for at in rows.split(12):  # the last batch has the four that are left
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[at]), y[at]).backward()
            optimizer.step()
        scheduler.step(epoch=epoch)
        with torch.no_grad():
            parts = zip(net(z).split(8), torch.from_numpy(v).split(8), strict=True)
            values.append(float(np.mean([nn.functional.cross_entropy(*part).item() for part in parts])))
        best = int(np.argmin(values))
        if epoch - best == 5:
            break
    return values, best


def test_the_recipe_of_doerrich_is_a_training_with_timms_parts() -> None:
    found = run_one(DOERRICH)
    values, best = theirs(0.1)
    np.testing.assert_allclose(found.curve.val, values, rtol=1e-4)
    assert (found.epoch, len(found.curve.val)) == (best, best + 6)
    assert len(values) < 30, "it did not end early"
    assert found.curve.step[-1] == 4 * len(values)
    whole = run_one({**DOERRICH, "select_batch": None})
    assert whole.curve.val != found.curve.val, "the last batch of five counts as much as the others"


def run_one(changes: dict[str, Any]) -> Fitted:
    """Train with validation by log loss at a rate at which early stopping ends it."""
    train, y, val, v = data()
    task = FitTask(LinearUnfrozen.model_validate(changes), y, v, C, "log_loss", machine("fp32", "cpu", 0))
    source = FitData(Held(train), Held(val), Held(val), lambda raw: raw)
    return Fit(network(), source, task, 3, 0.1, "test").run(Path("nowhere"))
