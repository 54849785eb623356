"""The refinement: its steps written plainly, kills, early stopping, and what it learns."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medbench.seeding import generator
from medbench.training import steps
from medbench.training.machine import machine
from medbench.training.retfiner.masking import masked
from medbench.training.retfiner.network import Batch, Refiner
from medbench.training.retfiner.refining import CURVE, Refining

from .made import WORDS, prepare, rows, work

pytestmark = pytest.mark.usefixtures("one_thread")


def plainly(made: Refining, number: int) -> tuple[Refiner, list[list[float]]]:
    """Make steps on a copy of a refinement's network with torch's own loop."""
    network, settings = copy.deepcopy(made.refiner).train(), made.settings
    adam = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.01, foreach=False)
    losses = []
    for step in range(number):
        epoch, at = divmod(step, made.steps)
        order = generator("retfiner", "order", made.seed, epoch).permutation(made.n)
        chosen = order[at * made.batch : (at + 1) * made.batch]
        source, ids = generator("retfiner", made.seed, "step", step), made.data.train_reports.ids[chosen]
        parts = (*masked(ids, 0.15, WORDS, source), *masked(ids, 0.6, WORDS, source), source.random((2, len(ids))))
        batch = Batch(*map(torch.from_numpy, (ids, made.data.train_reports.texts[chosen], *parts)))
        images = prepare(made.data.train[rows(chosen)])
        found = network(images, batch, torch.arange(len(ids)), lambda x: x)
        adam.zero_grad()
        found[:4].sum().backward()
        adam.step()
        losses.append(found.tolist())
    return network, losses


def test_steps_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    made = work()
    network, losses = plainly(made, 6)
    assert made.run(tmp_path / "state.safetensors") == ""
    for epoch in range(2):
        mean = np.mean(losses[3 * epoch : 3 * epoch + 3], axis=0)
        assert [made.curve[name][epoch] for name in CURVE[1:6]] == pytest.approx(mean, rel=1e-4)
        assert made.curve["loss"][epoch] == pytest.approx(mean[:4].sum(), rel=1e-4)
    assert made.best_epoch == 1
    # A bias of keys changes no attention: its gradient is rounding, which Adam scales to a step of any sign.
    compared = {n: v for n, v in made.refiner.state_dict().items() if not n.endswith(("qkv.bias", "key.bias"))}
    for name, value in compared.items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)


def test_a_killed_refinement_ends_in_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {"epochs": 3, "dropout": 0.1, "temperature_learned": True}
    whole = work(**changes)
    whole.run(tmp_path / "whole.safetensors")
    monkeypatch.setattr(steps, "CHECKPOINT_SECONDS", -1.0)
    step, left = Refining._step, [5]

    def killed(self: Refining, batch: Tensor, rows: Any) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return step(self, batch, rows)

    monkeypatch.setattr(Refining, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        work(**changes).run(tmp_path / "state.safetensors")
    left[0] = 1000
    again = work(**changes)
    again.run(tmp_path / "state.safetensors")
    assert left[0] > 1000 - 9, "it went on from where it was"
    assert again.curve == whole.curve
    assert again.best_epoch == whole.best_epoch
    one, two = whole.refiner.state_dict(), again.refiner.state_dict()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_it_ends_early_and_keeps_the_best_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, state = work(epochs=9, patience=2), tmp_path / "state.safetensors"
    losses, kept = iter([3.0, 1.0, 2.0, 1.5, 0.5]), []

    def validated(self: Refining) -> list[float]:
        kept.append({name: value.clone() for name, value in self.refiner.state_dict().items()})
        return [next(losses), *[0.0] * 6]

    monkeypatch.setattr(Refining, "validate", validated)
    assert made.run(state) == ""
    assert made.curve["val_loss"] == [3.0, 1.0, 2.0, 1.5]
    assert made.best_epoch == 1
    assert all(torch.equal(value, kept[1][name]) for name, value in made.refiner.state_dict().items())
    again = work(epochs=9, patience=2)
    assert again.run(state) == ""
    assert again.curve == made.curve, "a refinement that has ended is not continued"
    assert all(torch.equal(value, kept[1][name]) for name, value in again.refiner.state_dict().items())


def test_a_loss_that_is_not_finite_is_a_failure(tmp_path: Path) -> None:
    assert "not finite" in work(learning_rate=1e30, epochs=4).run(tmp_path / "state.safetensors")


def test_validation_is_the_mean_over_its_batches_and_draws_the_same_each_time() -> None:
    made = work(held=13)
    first, second = made.validate(), made.validate()
    assert first == second
    reports = made.data.val_reports
    network = made.refiner.eval()
    sums = np.zeros(5)
    order = generator("retfiner", "validation", 0).permutation(13)
    for number, chunk in enumerate((order[:6], order[6:])):
        source, ids = generator("retfiner", 0, "validation", number), reports.ids[chunk]
        parts = (*masked(ids, 0.15, WORDS, source), *masked(ids, 0.6, WORDS, source), source.random((2, len(ids))))
        batch = Batch(*map(torch.from_numpy, (ids, reports.texts[chunk], *parts)))
        with torch.no_grad():
            found = network(prepare(made.data.val[chunk.tolist()]), batch, torch.arange(len(ids)), lambda x: x)
        sums += found.numpy() * len(chunk) / 13
    assert first[1:6] == pytest.approx(sums, rel=1e-5)
    assert first[0] == pytest.approx(sums[:4].sum(), rel=1e-5)


@pytest.mark.parametrize("model", ["toy-vit", "toy-cnn"])
def test_micro_batches_change_the_rounding_only(tmp_path: Path, model: str) -> None:
    """With batch norm in eval mode: in training it sees other images."""
    found = []
    for micro in (None, 4):
        made = work(model=model, micro_batch=micro, epochs=1)
        plain = made.refiner.encoder.train
        made.refiner.encoder.train = lambda mode=True, plain=plain: plain(False)  # type: ignore[method-assign]
        made.run(tmp_path / f"{micro}.safetensors")
        found.append(made)
    for name in CURVE[:6]:
        assert found[1].curve[name] == pytest.approx(found[0].curve[name], rel=1e-5), name
    one, two = (made.refiner.state_dict() for made in found)
    compared = [name for name in one if not name.endswith(("qkv.bias", "key.bias"))]
    assert max(float((one[name] - two[name]).abs().max()) for name in compared) < 1e-4


def test_micro_batches_draw_the_same_twice_and_count_batch_norm_once(tmp_path: Path) -> None:
    made = work(model="toy-cnn", micro_batch=2, epochs=1)
    made.run(tmp_path / "state.safetensors")
    counts = {int(v) for name, v in made.refiner.state_dict().items() if name.endswith("num_batches_tracked")}
    assert counts == {3 * 3}, "three steps of three micro-batches"


def test_it_learns_which_report_belongs_to_which_image(tmp_path: Path) -> None:
    changes = {"mlm": 0.0, "gm": 0.0, "learning_rate": 3e-3, "equal_text": "ignore"}
    made = work(60, 48, "toy-cnn", words=False, batch_size=20, epochs=8, patience=8, **changes)
    assert made.run(tmp_path / "state.safetensors") == ""
    assert made.curve["val_recall"][made.best_epoch] > 0.8, "a third by chance"


def test_the_encoder_can_be_slower_and_keep_the_statistics_of_its_batch_norms(tmp_path: Path) -> None:
    changes = {"epochs": 1, "batch_size": 18, "weight_decay": 0.0, "equal_text": "ignore"}
    made = work(model="toy-cnn", encoder_share=0.01, keep_statistics=True, **changes)
    before = {name: value.clone() for name, value in made.refiner.state_dict().items()}
    assert made.run(tmp_path / "state.safetensors") == ""
    moved = {name: float((value - before[name]).abs().max()) for name, value in made.refiner.state_dict().items()}
    # Adam's first step moves a number by the rate, whatever its gradient is.
    kernel = next(name for name in before if name.startswith("encoder.") and before[name].ndim == 4)
    assert moved[kernel] == pytest.approx(1e-3 * 0.01, rel=0.05)
    assert moved["contra_head_v.linear.weight"] == pytest.approx(1e-3, rel=0.05)
    statistics = [name for name in moved if name.endswith(("running_mean", "running_var"))]
    assert statistics
    assert {moved[name] for name in statistics} == {0.0}


def test_bf16_learns_and_a_kill_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made() -> Refining:
        return work(on=machine("bf16", "cpu", 0), epochs=3, micro_batch=4, patience=3)

    whole = made()
    assert whole.run(tmp_path / "whole.safetensors") == ""
    assert np.isfinite([*whole.curve.values()]).all()
    assert whole.curve["loss"][-1] < whole.curve["loss"][0] - 0.5
    exact = work(epochs=3, micro_batch=4, patience=3)
    exact.run(tmp_path / "exact.safetensors")
    assert exact.curve["loss"] != whole.curve["loss"], "the precision is used"
    assert whole.curve["loss"] == pytest.approx(exact.curve["loss"], rel=0.02)
    monkeypatch.setattr(steps, "CHECKPOINT_SECONDS", -1.0)
    left, step = [4], Refining._step

    def killed(self: Refining, batch: Tensor, rows: Any) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return step(self, batch, rows)

    broken = made()
    with monkeypatch.context() as patch:
        patch.setattr(Refining, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            broken.run(tmp_path / "state.safetensors")
    again = made()
    assert again.run(tmp_path / "state.safetensors") == ""
    assert again.curve == whole.curve
    two = again.refiner.state_dict()
    assert all(torch.equal(value, two[name]) for name, value in whole.refiner.state_dict().items())


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_on_a_gpu(tmp_path: Path, precision: str) -> None:
    made = work(on=machine(precision, "cuda", 0), epochs=4, patience=4)
    assert made.run(tmp_path / "state.safetensors") == ""
    assert made.curve["loss"][-1] < made.curve["loss"][0]
