"""DINO's formulas, re-computed from the paper in numpy; head and teacher."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from medbench.cards.recipes import DinoPretrain
from medbench.models.load import load_model
from medbench.training.dino import parts
from medbench.training.dino.parts import Head, Student, Teacher

SMALL = {"hidden": 24, "bottleneck": 12, "outputs": 20}


def settings(**changes: object) -> DinoPretrain:
    return DinoPretrain(**(SMALL | changes))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("crops", [2, 5])
def test_loss_is_the_paper_s_double_sum(crops: int) -> None:
    source, b, k = np.random.default_rng(0), 3, 20
    student, teacher, centre = source.normal(size=(crops, b, k)), source.normal(size=(2, b, k)), source.normal(size=k)
    expected, pairs = np.zeros(b), 0
    for i in range(2):
        target = softmax((teacher[i] - centre) / 0.05)
        for j in range(crops):
            if i != j:
                expected -= (target * np.log(softmax(student[j] / 0.2))).sum(-1)
                pairs += 1
    log = parts.log_targets(torch.from_numpy(teacher), torch.from_numpy(centre), 0.05)
    np.testing.assert_allclose(log.exp(), softmax((teacher - centre) / 0.05), atol=1e-12)
    found = parts.distil(torch.from_numpy(student), log.exp(), 0.2)
    np.testing.assert_allclose(found, expected / pairs, rtol=1e-10)


def test_entropy_and_information() -> None:
    one = torch.eye(8).repeat(2, 1)
    flat = torch.full((16, 8), 1 / 8)
    sharp = one[:1].expand(16, 8)
    for p, entropy, information in ((one, 0, math.log(8)), (flat, math.log(8), 0), (sharp, 0, 0)):
        spread = parts.entropy(p.clamp_min(1e-30).log()).mean()
        assert float(spread) == pytest.approx(entropy, abs=1e-6)
        assert float(parts.information(p.mean(0), spread)) == pytest.approx(information, abs=1e-6)


def test_schedules_are_those_of_the_authors() -> None:
    recipe = settings(
        epochs=10,
        teacher_warmup=4,
        teacher_temperature=(0.04, 0.07),
        warmup_epochs=2,
        learning_rate=1e-3,
        min_rate=1e-5,
    )
    steps, total = 7, 70
    temperatures = [parts.temperature_at(epoch, recipe) for epoch in range(10)]
    np.testing.assert_allclose(temperatures, [*np.linspace(0.04, 0.07, 4), *[0.07] * 6])
    i = np.arange(total)
    rates = [parts.rate_at(step, steps, recipe) for step in i]
    rest = np.arange(total - 14)
    np.testing.assert_allclose(rates[:14], 1e-3 * np.arange(14) / 14, atol=2e-8)
    np.testing.assert_allclose(rates[14:], 1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + np.cos(np.pi * rest / (total - 14))))
    assert parts.rate_at(5, steps, settings(warmup_steps=5, learning_rate=1e-3)) == 1e-3


@pytest.mark.parametrize("layers", [1, 3])
def test_head_equals_torch_s_own_weight_norm(layers: int) -> None:
    before = torch.random.get_rng_state()
    head = Head(16, settings(layers=layers), 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    linear = [module for module in head.mlp if isinstance(module, nn.Linear)]
    widths = [16, *[24] * (layers - 1), 12]
    assert [(m.in_features, m.out_features) for m in linear] == list(itertools.pairwise(widths))
    assert sum(isinstance(module, nn.GELU) for module in head.mlp) == layers - 1
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(12, 20, bias=False))
    normed.parametrizations.weight.original1.data.copy_(head.last)
    normed.parametrizations.weight.original0.data.fill_(1.0)
    x = torch.randn(6, 16)
    inner = nn.functional.normalize(head.mlp(x), dim=1)
    torch.testing.assert_close(head(x), normed(inner))
    head(x).sum().backward()
    normed(inner.detach()).sum().backward()
    torch.testing.assert_close(head.last.grad, normed.parametrizations.weight.original1.grad)
    again, other = Head(16, settings(layers=layers), 0), Head(16, settings(layers=layers), 1)
    assert torch.equal(again.last, head.last)
    assert not torch.equal(other.mlp[0].weight, head.mlp[0].weight)


def branches() -> tuple[Student, Teacher]:
    encoders = [load_model("toy-cnn", weights="random", image_size=32) for _ in range(2)]
    encoders[0].requires_grad_(True)
    return Student(encoders[0], Head(96, settings(), 0)), Teacher(encoders[1], Head(96, settings(), 1))


def test_teacher_follows_in_parameters_alone_and_has_no_gradient() -> None:
    student, teacher = branches()
    assert not any(value.requires_grad for value in teacher.parameters())
    with torch.no_grad():
        for value in student.parameters():
            value.add_(torch.randn_like(value))
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    teacher.follow(student, 0.9)
    learned = {name for name, _ in teacher.named_parameters()}
    for name, value in teacher.state_dict().items():
        if name in learned:
            torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * student.state_dict()[name])
        else:
            assert torch.equal(value, before[name])
    teacher.follow(student, 1.0)
    assert torch.equal(teacher.head.last, teacher.state_dict()["head.last"])


def test_only_batch_norms_of_a_teacher_train() -> None:
    _, teacher = branches()
    dropout = nn.Dropout(0.5)
    teacher.encoder.network.add_module("extra", dropout)
    teacher.train()
    assert not dropout.training
    norms = [module for module in teacher.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(module.training for module in norms)
    teacher.eval()
    assert not any(module.training for module in teacher.modules())


def test_crops_of_two_sizes_come_out_in_order() -> None:
    student, _ = branches()
    student.eval()
    large, small = torch.randn(4, 3, 32, 32), torch.randn(2, 3, 16, 16)
    both = student(large, small)
    torch.testing.assert_close(both[:4], student(large))
    torch.testing.assert_close(both[4:], student(small))


def test_decay_is_on_matrices_alone() -> None:
    student, _ = branches()
    student.encoder.network.conv1[0].requires_grad_(False)
    decayed, plain = parts.make_optimizer(student, settings(weight_decay=(0.04, 0.4))).param_groups
    assert decayed["weight_decay"] == 0.04
    assert plain["weight_decay"] == 0
    assert all(value.ndim > 1 for value in decayed["params"])
    assert all(value.ndim == 1 for value in plain["params"])
    listed = {id(value) for value in (*decayed["params"], *plain["params"])}
    assert listed == {id(value) for value in student.parameters() if value.requires_grad}
