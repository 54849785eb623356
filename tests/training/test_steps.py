"""The loop of steps with two small trainings: one that can be cut into micro-batches and a contrastive one."""

from __future__ import annotations

import math
import signal
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import Dataset

from medbench.cards.recipes import LinearUnfrozen
from medbench.errors import MedbenchError
from medbench.progress import Advance, Stopped, stoppable
from medbench.seeding import generator, seed_of
from medbench.training import steps
from medbench.training.checkpoint import State
from medbench.training.machine import machine, trained_state
from medbench.training.steps import Accumulated, Rows, Training

N, D = 21, 4
X = torch.randn(2, N, D, generator=torch.Generator().manual_seed(0))  # images, and texts of the same number

pytestmark = pytest.mark.usefixtures("one_thread")


class Pairs(Dataset[Tensor]):
    """Image and text of each index, (2, b, d)."""

    def __getitems__(self, at: list[tuple[int, int]]) -> Tensor:
        return X[:, [index for _, index in at]]


class Small(Accumulated[Tensor]):
    """What both trainings have in common: order, learning rate, and a state without anything of their own."""

    draws = "small"

    def __init__(self, network: nn.Module, seed: int = 0, full_batch: bool = False, **changes: Any) -> None:
        settings = LinearUnfrozen(**{"epochs": 3, "batch_size": 6, **changes})
        optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, fused=True)
        on = machine("fp32", "cpu", 0)
        super().__init__(network, optimizer, Pairs(), N, settings, on, seed, "small", full_batch=full_batch)
        self.losses: list[float] = []
        self.ends_after: int | None = None

    def rows_of(self, epoch: int) -> Rows:
        return generator("small", "order", self.seed, epoch).permutation(self.n)

    def item(self, epoch: int, row: int) -> tuple[int, int]:
        return epoch, row

    def set_rates(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = 0.01 / (1 + self.done)

    def end_epoch(self, advance: Advance) -> bool:
        self.inner.eval()  # as a validation does
        self.losses.append(float(self.running) / self.steps)
        return len(self.losses) == self.ends_after

    def state(self) -> State:
        state = State(arrays={"losses": np.asarray(self.losses)}, facts={"running": float(self.running)})
        state.add("network", trained_state(self.network))
        return state

    def restore(self, state: State) -> None:
        self.network.load_state_dict(state.part("network"))
        self.losses = state.arrays["losses"].tolist()
        self.running += state.facts["running"]


class Regression(Small):
    """Predicts the text from the image; the loss is a mean over images."""

    def loss_of(self, batch: Tensor, rows: Rows, at: slice) -> tuple[Tensor, Tensor]:
        x, y = batch[:, at]
        loss = (self.model(x) - y).square().mean(1).sum() / len(rows)
        return loss, loss.detach()[None]


class Contrast(Small):
    """CLIP's loss (Radford et al. 2021): each image's text among the texts of the batch, and the reverse."""

    def loss_of(self, batch: Tensor, rows: Rows, at: slice) -> tuple[Tensor, Tensor]:
        images, texts = self.model(batch[:, at]).unbind()
        loss = clip_loss(images, texts)
        return loss, loss.detach()[None]


class Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(D, 3), nn.Linear(D, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.image(x[0]), self.text(x[1])])


def clip_loss(images: Tensor, texts: Tensor) -> Tensor:
    logits, own = normalize(images, dim=1) @ normalize(texts, dim=1).T / 0.1, torch.arange(len(images))
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def regressor(dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(D, 8), nn.GELU(), nn.Dropout(dropout), nn.Linear(8, D))


def towers() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Towers()


def plain(kind: type[Small], network: nn.Module, made: Small) -> list[float]:
    """The same training with PyTorch's own parts."""
    optimizer = torch.optim.AdamW(network.parameters(), foreach=False)
    losses: list[float] = []
    for epoch in range(3):
        total = 0.0
        for k, rows in enumerate(np.split(made.rows_of(epoch)[:18], 3)):
            optimizer.param_groups[0]["lr"] = 0.01 / (1 + 3 * epoch + k)
            torch.manual_seed(seed_of("small", "network", 0, 3 * epoch + k, 0))
            optimizer.zero_grad()
            x = X[:, rows]
            loss = (network(x[0]) - x[1]).square().mean() if kind is Regression else clip_loss(*network(x))
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        losses.append(total / 3)
    return losses


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("kind", [Regression, Contrast])
def test_it_is_the_plain_loop(tmp_path: Path, kind: type[Small]) -> None:
    def network() -> nn.Module:
        return regressor(0.4) if kind is Regression else towers()

    made, other = kind(network(), full_batch=kind is Contrast), network()
    assert (made.batch, made.steps, made.total) == (6, 3, 9)
    assert made.run_steps(tmp_path / "state") is None
    assert made.losses == pytest.approx(plain(kind, other, made), rel=1e-5)
    for mine, theirs in zip(made.network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    assert (made.done, made.images) == (9, 54)
    assert made.seconds > 0
    assert made.facts() == {
        "trainable_parameters": sum(p.numel() for p in other.parameters()),
        "micro_batch": 6,
        "train_images_per_second": 54 / made.seconds,
    }
    assert not (tmp_path / "state").exists(), "nothing is saved before its time"


def test_micro_batches_change_the_rounding_only(tmp_path: Path) -> None:
    whole, parts = (Regression(regressor(), micro_batch=size) for size in (None, 4))
    for made in (whole, parts):
        made.run_steps(tmp_path / "state")
    assert parts.micro == 4
    assert parts.losses == pytest.approx(whole.losses, rel=1e-6)
    for mine, theirs in zip(parts.network.parameters(), whole.network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def stopped(made: Training[Tensor], file: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step, left = made._step, [after]

    def killed(*arguments: Any) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(made, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            made.run_steps(file)


@pytest.mark.parametrize("after", [0, 1, 3, 5, 8])
def test_a_killed_training_resumes_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole = Regression(regressor(0.4))
    whole.run_steps(tmp_path / "none")
    monkeypatch.setattr(steps, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(steps, "CHECKPOINT_SHARE", -1)
    file = tmp_path / "state"
    stopped(Regression(regressor(0.4)), file, after, monkeypatch)
    resumed = Regression(regressor(0.4))
    assert resumed.run_steps(file) is None
    assert resumed.losses == whole.losses
    assert same(resumed.network, whole.network)
    assert resumed.images == (9 - after) * 6
    other = Regression(regressor(0.4), seed=1)
    other.run_steps(file)
    assert other.images == 54, "the checkpoint of another seed is not resumed"


def test_checkpoints_keep_their_distance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one comes after at least 120 s, and after 20 times the seconds that the last one took."""
    now, made, saved = [0.0], Regression(regressor(), epochs=6), []
    monkeypatch.setattr(steps, "time", types.SimpleNamespace(monotonic=lambda: now[0], perf_counter=lambda: now[0]))
    step = made._step

    def slow(*arguments: Any) -> Tensor:
        now[0] += 50
        return step(*arguments)

    def save(file: Path) -> float:
        saved.append(made.done)
        now[0] += 15
        return 15.0

    monkeypatch.setattr(made, "_step", slow)
    monkeypatch.setattr(made, "save", save)
    made.run_steps(tmp_path / "state")
    first = 120 // 50 + 1
    apart = math.floor(20 * 15 / 50) + 1
    assert saved == list(range(first, 19, apart))


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end_step = Regression.end_step
    for step in (2, 3, 9):
        monkeypatch.setattr(
            Regression, "end_step", lambda self, sums, at=step: end_step(self, sums) / float(self.done + 1 != at)
        )
        made = Regression(regressor())
        assert made.run_steps(tmp_path / "state") == step
        assert made.done <= min(step + 1, 9)


def test_a_training_can_end_early(tmp_path: Path) -> None:
    made = Regression(regressor())
    made.ends_after = 2
    assert made.run_steps(tmp_path / "state") is None
    assert (made.done, len(made.losses)) == (6, 2)


@pytest.mark.parametrize(
    ("step", "ends_after", "saved"),
    [(3, None, True), (9, None, True), (9, 3, True), (6, 2, False)],
    ids=["within", "last step", "ended in the last epoch", "ended early"],
)
def test_a_signal_saves_what_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, ends_after: int | None, saved: bool
) -> None:
    """From a state after an early end the training would go on; it is computed again from an earlier one."""
    made, file = Regression(regressor()), tmp_path / "state"
    made.ends_after, plain_step = ends_after, made._step

    def told(*arguments: Any) -> Tensor:
        if made.done == step - 1:
            signal.raise_signal(signal.SIGTERM)
        return plain_step(*arguments)

    monkeypatch.setattr(made, "_step", told)
    with stoppable(), pytest.raises(Stopped):
        made.run_steps(file)
    assert (made.done, file.exists()) == (step, saved)
    whole, again = Regression(regressor()), Regression(regressor())
    whole.ends_after = again.ends_after = ends_after
    whole.run_steps(tmp_path / "none")
    again.run_steps(file)
    assert again.losses == whole.losses
    assert same(again.network, whole.network)


def limited(network: nn.Module, images: int) -> nn.Module:
    """Let memory be too little for more than `images` images at once."""

    def check(_: nn.Module, inputs: tuple[Tensor]) -> None:
        if inputs[0].shape[-2] > images:
            raise torch.OutOfMemoryError("full")

    network.register_forward_pre_hook(check)
    return network


def test_lack_of_memory_halves_the_micro_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, calm = Regression(limited(regressor(0.4), 1)), Regression(regressor(0.4), micro_batch=1)
    for one in (made, calm):
        assert one.run_steps(tmp_path / "state") is None
    assert made.micro == 1
    assert same(made.network, calm.network), "a step that ran out of memory starts anew, draws included"
    err = capsys.readouterr().err
    assert "small: out of memory; continues with micro-batches of 3, accumulated to the same batch" in err
    assert "continues with micro-batches of 1," in err


def test_where_halving_does_not_help_the_error_says_what_does(tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match="small: out of memory with a micro-batch of 1") as caught:
        Regression(limited(regressor(), 0)).run_steps(tmp_path / "state")
    assert "checkpointing=true" in str(caught.value.hint)
    assert "batch_size" not in str(caught.value.hint)
    with pytest.raises(MedbenchError, match="small: out of memory with a micro-batch of 6") as caught:
        Contrast(limited(towers(), 5), full_batch=True).run_steps(tmp_path / "state")
    assert "--set batch_size=N" in str(caught.value.hint)


def test_several_processes_do_not_halve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait in the same step."""
    made = Regression(limited(regressor(), 0))
    monkeypatch.setattr(type(made.machine), "world", 2)
    with pytest.raises(torch.OutOfMemoryError):
        made.run_steps(tmp_path / "state")


def test_fewer_images_than_a_batch_make_one_step_per_epoch(tmp_path: Path) -> None:
    made = Regression(regressor(), batch_size=64, micro_batch=100)
    assert (made.batch, made.micro, made.steps) == (N, N, 1)
    made.run_steps(tmp_path / "state")
    assert len(made.losses) == 3
