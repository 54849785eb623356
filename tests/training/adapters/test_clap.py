"""ZS-LP and CLAP against the authors' results, autograd, and each fit alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from medbench.training.adapters import clap
from medbench.training.adapters.steps import drawn_orders, steps_of


def test_the_official_probes(parity):
    known, name = parity.read("clap"), "clap"
    images, test = (normalize(known[key], dim=1) for key in ("train", "test"))
    labels, text, scale = known["train_labels"], known["text"], math.exp(4.6052)
    parity.check(name, "zero-shot logits", clap.logits(test, text, scale), known["zero_shot_test_logits"])
    strengths = clap.strengths(images, labels, text, scale)
    parity.check(name, "multipliers", strengths, known["clap_multipliers"])
    steps = steps_of(list(known["order"].numpy()), 20, "warm")
    parity.check(name, "rates", steps.rates(0.1)[::2], known["learning_rates"])
    asked = {"zslp": torch.zeros(4), "clap": strengths}
    fits = [clap.Fit(images, labels, text, one, scale, steps) for one in asked.values()]
    for which, found in zip(asked, clap.train(fits), strict=True):
        parity.check(name, f"{which}: losses", found.losses, known[f"{which}_losses"])
        parity.check(name, f"{which}: prototypes", found.prototypes, known[f"{which}_prototypes"])
        tested = clap.logits(test, found.prototypes, scale)
        parity.check(name, f"{which}: logits", tested, known[f"{which}_test_logits"])
        if which == "clap":
            parity.check(name, "clap: penalties", found.penalties, known["clap_penalties"])
        else:
            assert not found.penalties.any()


def fit(shots: int, seed: int, *, dim: int = 24, size: int = 256, epochs: int = 12, strong: bool = True) -> clap.Fit:
    source = torch.Generator().manual_seed(seed)
    text = torch.randn(3, dim, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(3 * shots) % 3
    images = normalize(text[labels] + 3 * torch.randn(len(labels), dim, generator=source), dim=1)
    steps = steps_of(drawn_orders("test", seed, epochs, len(labels)), size, "warm")
    strengths = clap.strengths(images, labels, text, 10.0) if strong else torch.zeros(3)
    return clap.Fit(images, labels, text, strengths, 10.0, steps, rate=2.0)


def by_autograd(one: clap.Fit) -> tuple[torch.Tensor, list[float]]:
    weight = one.text.clone().requires_grad_()
    rule = torch.optim.SGD([weight], lr=1.0, momentum=0.9)
    losses = []
    for rows, rate in zip(one.steps.rows, one.steps.rates(one.rate), strict=True):
        rule.param_groups[0]["lr"] = rate
        found = one.scale * normalize(one.images[rows], dim=1) @ normalize(weight, dim=1).T
        loss = cross_entropy(found, one.labels[rows])
        losses.append(loss.item())
        rule.zero_grad()
        (loss + (one.strengths * (weight - one.text).square().sum(dim=1)).mean()).backward()
        rule.step()
    return weight.detach(), losses


# as whole batches and in parts, in fewer dimensions than the features have and in as many
MIXED = [fit(1, 0), fit(5, 1, size=4), fit(16, 2), fit(2, 3, strong=False), fit(7, 4, size=6, strong=False)]


def test_many_fits_at_once_are_those_of_autograd_one_by_one():
    for one, found in zip(MIXED, clap.train(MIXED), strict=True):
        wanted, losses = by_autograd(one)
        moved = (wanted - one.text).norm()
        assert moved > 0.03 * one.text.norm(), "the probes do not move: this would test nothing"
        assert (found.prototypes - wanted).norm() < 1e-5 * moved
        torch.testing.assert_close(found.losses, torch.tensor(losses), rtol=1e-5, atol=1e-6)


def test_many_fits_at_once_are_each_alone():
    for one, found in zip(MIXED, clap.train(MIXED), strict=True):
        (alone,) = clap.train([one])
        assert (found.prototypes - alone.prototypes).norm() <= 1e-5 * alone.prototypes.norm()
        assert found.losses.shape == alone.losses.shape == (len(one.steps),)
        torch.testing.assert_close(found.penalties, alone.penalties, rtol=1e-5, atol=1e-7)


def test_strengths_are_mean_zero_shot_probabilities():
    text, images = torch.eye(3), torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0.6, 0.8, 0]])
    found = clap.strengths(images, torch.tensor([0, 1, 1]), text, 2.0)
    shares = (2 * images.double()).softmax(dim=1)
    wanted = [float(shares[0, 0]), float((shares[1, 1] + shares[2, 1]) / 2), 0.0]  # class 2 has no image
    assert found.tolist() == pytest.approx(wanted)


def test_no_fits_are_no_results():
    assert clap.train([]) == []
