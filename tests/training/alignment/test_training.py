"""The steps: against the loss of the whole batch written plainly, kills, little memory, and what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from medbench.cards.recipes import FlairPretrain
from medbench.errors import MedbenchError
from medbench.training import steps
from medbench.training.alignment.losses import soft_targets
from medbench.training.alignment.network import Towers
from medbench.training.alignment.training import CURVE, Alignment, rate_at
from medbench.training.machine import machine

from .made import work

pytestmark = pytest.mark.usefixtures("one_thread")


def gradients(made: Alignment) -> tuple[Tensor, dict[str, Tensor]]:
    """Return numbers and gradients of the first step."""
    batch, rows = next(iter(made._batches()))
    numbers = made._try_gradients(batch, rows)
    assert numbers is not None
    return numbers, {name: value.grad for name, value in made.towers.named_parameters() if value.grad is not None}


def test_a_step_is_the_loss_of_the_whole_batch(tmp_path: Path) -> None:
    made = work(tmp_path)
    numbers, found = gradients(made)
    batch, rows = next(iter(made._batches()))
    captions = made.captions_of(0, rows)
    tokens = made.data.tokenize([one.text for one in captions])
    made.towers.zero_grad()
    image = made.towers.image_vectors(made._prepared(batch, made._drawn(0, rows)))
    logits = made.towers.logit_scale.exp() * made.towers.text_vectors(tokens.ids, tokens.mask) @ image.T
    targets = soft_targets([one.key for one in captions])
    loss = (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)) / 2
    loss.backward()
    assert float(numbers[0]) == pytest.approx(float(loss.detach()), rel=1e-6)
    for name, value in found.items():
        torch.testing.assert_close(value, made.towers.get_parameter(name).grad, rtol=1e-5, atol=1e-7, msg=name)


def test_little_memory_gives_the_same_gradient(tmp_path: Path) -> None:
    whole, parts = gradients(work(tmp_path)), gradients(work(tmp_path, micro_batch=3))
    assert float(parts[0][0]) == pytest.approx(float(whole[0][0]), rel=1e-6)
    assert whole[1].keys() == parts[1].keys()
    largest = max(float(value.abs().max()) for value in whole[1].values())
    for name, value in whole[1].items():
        torch.testing.assert_close(parts[1][name], value, rtol=0, atol=1e-6 * largest, msg=name)


def test_accumulated_losses_of_parts_are_another_loss(tmp_path: Path) -> None:
    whole, small = gradients(work(tmp_path)), gradients(work(tmp_path, batch_size=3))
    assert abs(float(small[0][0]) - float(whole[0][0])) > 0.1, "each part has fewer negatives"


def test_replayed_batch_norms_count_their_images_once(tmp_path: Path) -> None:
    made = work(tmp_path, model="toy-cnn", micro_batch=4)
    gradients(made)
    counts = {int(value) for name, value in made.towers.named_buffers() if name.endswith("num_batches_tracked")}
    assert counts == {2}


def test_draws_of_replayed_parts_are_the_same(tmp_path: Path) -> None:
    first, second = (gradients(work(tmp_path, micro_batch=3, dropout=0.5)) for _ in range(2))
    for name, value in first[1].items():
        assert torch.equal(value, second[1][name])


def test_a_kill_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(towers: Towers) -> dict[str, float]:
        return {"weight": float(towers.projection.weight.detach().abs().sum())}

    whole = work(tmp_path, probe=probe, dropout=0.1, probe_epochs=2)
    assert whole.run(tmp_path / "other.safetensors") == ""
    monkeypatch.setattr(steps, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(steps, "CHECKPOINT_SHARE", 0)
    step = Alignment._step

    def killed(self: Alignment, *arguments: Any) -> Tensor:
        if self.done == 7:  # in the third epoch, after a probe
            raise KeyboardInterrupt
        return step(self, *arguments)

    broken = work(tmp_path, probe=probe, dropout=0.1, probe_epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr(Alignment, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            broken.run(tmp_path / "state.safetensors")
    again = work(tmp_path, probe=probe, dropout=0.1, probe_epochs=2)
    assert again.run(tmp_path / "state.safetensors") == ""
    assert again.curve == whole.curve
    np.testing.assert_array_equal(again.probes["weight"], whole.probes["weight"])
    assert np.isnan(again.probes["weight"]).tolist() == [True, False, False]
    for name, value in whole.towers.state_dict().items():
        assert torch.equal(again.towers.state_dict()[name], value), name


def test_it_learns_and_tells_how_far_the_loss_is_above_its_floor(tmp_path: Path) -> None:
    made = work(tmp_path, n=48, model="toy-cnn", epochs=10, batch_size=16, learning_rate=3e-3, jitter=0.0)
    assert made.run(tmp_path / "state.safetensors") == ""
    curve = made.curve
    assert set(curve) == set(CURVE)
    np.testing.assert_allclose(curve["above_floor"], np.subtract(curve["loss"], curve["floor"]), rtol=1e-12)
    assert curve["above_floor"][-1] < 0.4 * curve["above_floor"][0]
    assert all(1 < value <= 3 + 1e-9 for value in curve["categories"])
    assert made.facts()["trainable_parameters"] == sum(p.numel() for p in made.towers.parameters() if p.requires_grad)


def test_bf16_learns_and_a_kill_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made() -> Alignment:
        on = machine("bf16", "cpu", 0)
        changes = {"epochs": 8, "batch_size": 16, "learning_rate": 3e-3, "jitter": 0.0, "micro_batch": 8}
        return work(tmp_path, n=48, model="toy-cnn", on=on, **changes)

    whole = made()
    assert whole.run(tmp_path / "whole.safetensors") == ""
    assert np.isfinite([*whole.curve.values()]).all()
    assert whole.curve["above_floor"][-1] < 0.6 * whole.curve["above_floor"][0]
    monkeypatch.setattr(steps, "CHECKPOINT_SECONDS", -1.0)
    step, left = Alignment._step, [5]

    def killed(self: Alignment, *arguments: Any) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return step(self, *arguments)

    broken = made()
    with monkeypatch.context() as patch:
        patch.setattr(Alignment, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            broken.run(tmp_path / "state.safetensors")
    again = made()
    assert again.run(tmp_path / "state.safetensors") == ""
    assert again.curve == whole.curve
    two = again.towers.state_dict()
    assert all(torch.equal(value, two[name]) for name, value in whole.towers.state_dict().items())


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_on_a_gpu(tmp_path: Path, precision: str) -> None:
    made = work(tmp_path, n=48, model="toy-cnn", on=machine(precision, "cuda", 0), epochs=6, learning_rate=3e-3)
    assert made.run(tmp_path / "state.safetensors") == ""
    assert made.curve["above_floor"][-1] < made.curve["above_floor"][0]


def test_images_of_small_sets_are_drawn_again_with_other_draws(tmp_path: Path) -> None:
    made = work(tmp_path, n=26)
    chosen = made._chosen(0)
    twice = next(row for row in chosen if (chosen == row).sum() > 1)
    places = np.flatnonzero(chosen == twice)[:2]
    drawn = made._drawn(0, places)
    assert not torch.equal(drawn[0], drawn[1]) or made._drawn(0, np.arange(26)).unique(dim=0).shape[0] > 20
    assert made.item(0, int(places[0])) == (int(places[0]), int(twice))
    assert work(tmp_path, balance_sources=False)._chosen(0).tolist() != list(range(26))
    assert sorted(work(tmp_path, balance_sources=False)._chosen(0).tolist()) == list(range(26))


def test_batch_norm_is_not_cut_if_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = work(tmp_path, model="toy-cnn")
    made.towers.train()

    def full(*_: Any) -> Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Alignment, "gradients", full)
    with pytest.raises(MedbenchError, match="out of memory") as caught:
        made.run(tmp_path / "state.safetensors")
    assert "micro_batch=4" in str(caught.value.hint)


def test_the_rate_ends_at_zero_without_a_horizon() -> None:
    settings = FlairPretrain(epochs=4, warmup_epochs=1)
    rates = [rate_at(step, 5, settings) for step in range(21)]
    assert rates[:5] == pytest.approx([2e-5, 4e-5, 6e-5, 8e-5, 1e-4])
    assert rates[20] == pytest.approx(0)
    assert rate_at(19, 5, FlairPretrain(epochs=4, horizon_epochs=100)) > 0.99e-4
