"""The loop of DINO: Algorithm 1 written plainly, kills, micro-batches, and what it learns."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from medbench.cards.recipes import DinoPretrain
from medbench.data.prepared.crops import Crops
from medbench.data.prepared.store import Store
from medbench.data.prepared.transforms import Clean
from medbench.data.prepared.transforms import normalise as normalised
from medbench.errors import MedbenchError
from medbench.models.load import load_model
from medbench.protocols.knn import vote
from medbench.seeding import generator
from medbench.training import steps
from medbench.training.dino.parts import Head, Student, Teacher, rate_at, temperature_at
from medbench.training.dino.pretraining import CURVE, CropData, Pretraining
from medbench.training.machine import machine
from medbench.training.schedule import cosine

SMALL = {
    "epochs": 3,
    "batch_size": 8,
    "local_crops": 1,
    "local_size": 16,
    "hidden": 32,
    "bottleneck": 16,
    "outputs": 24,
    "teacher_warmup": 2,
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "weight_decay": (0.1, 0.4),
}
SIZE = 32


pytestmark = pytest.mark.usefixtures("one_thread")


def stripes(n: int, seed: int) -> tuple[Store, np.ndarray]:
    """Draw stripes of three widths under noise."""
    source, labels = np.random.default_rng(seed), np.arange(n) % 3
    waves = np.sin(np.arange(40) * (0.3 + 0.35 * labels[:, None]) + source.uniform(0, 6, (n, 1)))
    grey = 128 + 40 * waves[:, None, :, None] + source.normal(scale=45, size=(n, 40, 40, 3))
    return Store(grey.clip(0, 255).astype(np.uint8), {}, "", Path()), labels


def prepare(batch: torch.Tensor) -> torch.Tensor:
    return normalised(batch, [0.5] * 3, [0.25] * 3)


def work(store: Store, seed: int = 0, model: str = "toy-cnn", **changes: object) -> Pretraining:
    settings, n = DinoPretrain(**(SMALL | changes)), len(store.images)
    encoders = [load_model(model, weights="random", image_size=SIZE) for _ in range(2)]
    encoders[0].requires_grad_(True)
    student, teacher = (
        kind(encoder, Head(encoder.dim, settings, seed))
        for kind, encoder in zip((Student, Teacher), encoders, strict=True)
    )
    assert isinstance(teacher, Teacher)
    crops = Crops(store, np.arange(n), SIZE, settings, seed)
    return Pretraining(student, teacher, CropData(crops, n, prepare), settings, machine("fp32", "cpu", 0), seed, "test")


def plainly(made: Pretraining, steps: int) -> tuple[Student, Teacher, torch.Tensor, list[float]]:
    """Run Algorithm 1 of the paper, with the authors' schedules, on copies of a pre-training's networks."""
    s, student, teacher = made.settings, copy.deepcopy(made.student).train(), copy.deepcopy(made.teacher).train()
    decayed = [p for p in student.parameters() if p.ndim > 1]
    others = [p for p in student.parameters() if p.ndim == 1]
    adam = torch.optim.AdamW([{"params": decayed}, {"params": others}], foreach=False)
    centre, losses = torch.zeros(s.outputs), []
    for step in range(steps):
        epoch, at = divmod(step, made.steps)
        rows = generator("dino-pretrain", "order", made.seed, epoch).permutation(made.n)
        chosen = rows[at * made.batch : (at + 1) * made.batch]
        large, small = made.data.crops[[(epoch, int(row)) for row in chosen]]
        views = [prepare(crop) for crop in (*large, *small)]
        for group, decay in zip(adam.param_groups, (cosine(*s.weight_decay, step, made.total), 0.0), strict=True):
            group["lr"], group["weight_decay"] = rate_at(step, made.steps, s), decay
        with torch.no_grad():
            outputs = teacher(torch.cat(views[:2])).chunk(2)
        out = student(torch.cat(views[:2]), torch.cat(views[2:])).chunk(len(views))
        targets = [((t - centre) / temperature_at(epoch, s)).softmax(1) for t in outputs]
        pairs = [(i, j) for i in range(2) for j in range(len(views)) if i != j]
        terms = [-(targets[i] * (out[j] / s.student_temperature).log_softmax(1)).sum(1).mean() for i, j in pairs]
        loss = torch.stack(terms).mean()
        adam.zero_grad()
        loss.backward()
        if epoch < s.freeze_last:
            student.head.last.grad = None
        torch.nn.utils.clip_grad_norm_(student.parameters(), s.clip)
        adam.step()
        m = cosine(s.momentum, 1.0, step, made.total)
        with torch.no_grad():
            for own, other in zip(teacher.parameters(), student.parameters(), strict=True):
                own.copy_(m * own + (1 - m) * other)
        centre = s.centre_momentum * centre + (1 - s.centre_momentum) * torch.cat(outputs).mean(0)
        losses.append(loss.item())
    return student, teacher, centre, losses


def test_steps_are_those_of_the_paper_s_algorithm(tmp_path: Path) -> None:
    made = work(stripes(18, 0)[0], batch_size=9, epochs=2, momentum=0.5)
    student, teacher, centre, losses = plainly(made, 4)
    first = made.student.head.last.detach().clone()
    assert made.run(tmp_path / "state.safetensors") == ""
    assert made.curve["loss"] == pytest.approx([np.mean(losses[:2]), np.mean(losses[2:])], rel=1e-5)
    torch.testing.assert_close(made.centre, centre, rtol=1e-4, atol=1e-6)
    for mine, theirs in ((made.student, student), (made.teacher, teacher)):
        for name, value in mine.state_dict().items():
            torch.testing.assert_close(value, theirs.state_dict()[name], rtol=1e-3, atol=2e-5, msg=name)
    assert not torch.equal(made.student.head.last, first), "thawed in the second epoch"
    assert made.curve["momentum"][0] == cosine(0.5, 1.0, 1, 4)
    assert made.facts()["trainable_parameters"] == sum(p.numel() for p in student.parameters())


def test_the_last_layer_is_frozen_at_first(tmp_path: Path) -> None:
    made = work(stripes(16, 0)[0], epochs=1)
    first = made.student.head.last.detach().clone()
    made.run(tmp_path / "state.safetensors")
    assert torch.equal(made.student.head.last, first)
    assert all(value.grad is None for value in made.teacher.parameters())


def test_a_kill_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, file = stripes(24, 0)[0], tmp_path / "state.safetensors"
    whole = work(store)
    whole.run(tmp_path / "other.safetensors")
    monkeypatch.setattr(steps, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(steps, "CHECKPOINT_SHARE", 0)
    step = Pretraining._step

    def killed(self: Pretraining, *arguments: Any) -> torch.Tensor:
        if self.done == 4:  # in the middle of the second epoch
            raise KeyboardInterrupt
        return step(self, *arguments)

    broken = work(store)
    with monkeypatch.context() as patch:
        patch.setattr(Pretraining, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            broken.run(file)
    again = work(store)
    assert again.run(file) == ""
    assert again.images == 5 * 8, "only what was left"
    for mine, theirs in ((again.student, whole.student), (again.teacher, whole.teacher)):
        for name, value in mine.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[name]), name
    assert torch.equal(again.centre, whole.centre)
    assert again.curve == whole.curve
    finished = work(store)
    assert finished.run(file) == ""
    assert finished.images == 0
    assert finished.curve == whole.curve
    other = work(store, seed=1)
    other.run(file)
    assert other.images == 9 * 8, "another seed's state is not taken up"


def test_micro_batches_change_rounding_alone(tmp_path: Path) -> None:
    store = stripes(16, 0)[0]
    made = [work(store, model="toy-vit", epochs=1, local_crops=0, micro_batch=size) for size in (None, 3)]
    for i, one in enumerate(made):
        one.run(tmp_path / f"{i}.safetensors")
    assert made[1].micro == 3
    for name in CURVE:
        assert made[1].curve[name] == pytest.approx(made[0].curve[name], rel=1e-4)
    torch.testing.assert_close(made[1].centre, made[0].centre, rtol=1e-4, atol=1e-6)


def test_too_little_memory_halves_the_micro_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss_of = Pretraining.loss_of

    def scarce(self: Pretraining, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if self.micro > 2:
            raise torch.OutOfMemoryError
        return loss_of(self, *arguments)

    monkeypatch.setattr(Pretraining, "loss_of", scarce)
    still = {"model": "toy-vit", "local_crops": 0, "epochs": 1}
    made = work(stripes(16, 0)[0], **still)
    assert made.run(tmp_path / "state.safetensors") == ""
    assert made.facts()["micro_batch"] == 2
    monkeypatch.setattr(Pretraining, "loss_of", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError))
    with pytest.raises(MedbenchError, match="out of memory with a micro-batch of 1") as caught:
        work(stripes(16, 0)[0], **still).run(tmp_path / "other.safetensors")
    assert "--set local_crops=N" in str(caught.value.hint)
    with pytest.raises(MedbenchError, match="fewer images would change batch norm and the result") as caught:
        work(stripes(16, 0)[0], epochs=1).run(tmp_path / "other.safetensors")
    assert "--set micro_batch=4" in str(caught.value.hint)


@pytest.mark.parametrize(("at", "batch"), [(0, 8), (2, 8), (1, 16)])
def test_a_loss_that_is_no_number_ends_it(at: int, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end_step = Pretraining.end_step

    def spoilt(self: Pretraining, sums: torch.Tensor) -> torch.Tensor:
        return end_step(self, sums) * (np.nan if self.done == at else 1)

    monkeypatch.setattr(Pretraining, "end_step", spoilt)
    made = work(stripes(16, 0)[0], batch_size=batch)
    assert made.run(tmp_path / "state.safetensors") == f"the loss is not finite at step {at + 1}"


def test_it_learns_without_labels_and_does_not_collapse(tmp_path: Path) -> None:
    """k-NN of stripes under noise: 59 % right with the random encoder, over 80 % after 96 steps."""
    store, labels = stripes(96, 0)
    queries, truth = stripes(300, 1)
    recipe = {"epochs": 16, "batch_size": 16, "hidden": 128, "bottleneck": 64, "outputs": 256, "warmup_steps": 10}
    recipe |= {"teacher_temperature": (0.025, 0.025), "momentum": 0.97, "weight_decay": (0.0, 0.0), "jitter": 0.0}
    made = work(store, **recipe)

    def right() -> float:
        bank, found = (
            normalize(made.embed(Clean(s, np.arange(len(s.images)), SIZE), len(s.images)), dim=1)
            for s in (store, queries)
        )
        scores = vote(found, bank, torch.eye(3)[labels], [5], 0.07)[0]
        return float((scores.argmax(1) == truth).mean())

    before = right()
    assert made.run(tmp_path / "state.safetensors") == ""
    after, curve = right(), made.curve
    assert before < 0.65
    assert after > max(0.7, before + 0.1)
    assert min(curve["loss"]) < 0.85 * curve["loss"][0]
    assert curve["information"][-1] > 0.2, "nats about the image: no collapse"
    assert curve["entropy"][-1] < curve["loss"][-1]
    assert {len(values) for values in curve.values()} == {16}
