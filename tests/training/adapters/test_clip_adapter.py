"""CLIP-Adapter against the authors' results, FLAIR's, and a plain network of torch."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from medbench.training.adapters.clip_adapter import Adapter, initial, train
from medbench.training.adapters.steps import steps_of

SGD = functools.partial(torch.optim.SGD, momentum=0.9, weight_decay=5e-4)
ADAMW = functools.partial(torch.optim.AdamW, eps=1e-4, weight_decay=0.01)


def test_the_official_logits_and_weights(parity):
    known, name = parity.read("clip_adapter"), "clip_adapter"
    start, text, scale = Adapter(known["w1"], known["w2"]), normalize(known["text"], dim=1), math.exp(4.6052)
    parity.check(name, "logits, untrained", start.logits(known["test"], text, 0.2, scale), known["logits_untrained"])
    of_units = start.logits(normalize(known["test"], dim=1), text, 0.2, scale)
    parity.check(name, "logits of unit features", of_units, known["logits_untrained_unit_input"])
    steps = steps_of([known["train_order"].numpy()] * 10, 10, "epoch")
    found, losses = train(
        start, known["train"], known["train_labels"], text, steps, ratios=[0.2], rates=[0.002], scale=scale,
        optimizer=SGD,
    )  # fmt: skip
    parity.check(name, "losses", losses[:, 0], known["losses"])
    parity.check(name, "W1", found.down[0], known["w1_trained"])
    parity.check(name, "W2", found.up[0], known["w2_trained"])
    parity.check(name, "logits", found.logits(known["test"], text, 0.2, scale)[0], known["logits_trained"])


def test_flairs_variant(parity):
    known, name = parity.read("flair_adapters"), "flair_adapters"
    start, text, scale = Adapter(known["w1"], known["w2"]), known["text"], math.exp(2.6592600345611572)
    probs = start.logits(known["test"], text, 0.2, scale).softmax(dim=1)
    parity.check(name, "CLIP-Adapter, untrained", probs, known["clip_adapter_untrained_probs"])
    steps = steps_of([known["order"].numpy()] * 40, 1, "step")
    found, _ = train(
        start, known["train"], known["train_labels"], text, steps, ratios=[0.2], rates=[1e-3], scale=scale,
        optimizer=ADAMW,
    )  # fmt: skip
    parity.check(name, "W1", found.down[0], known["clip_adapter_w1"])
    parity.check(name, "W2", found.up[0], known["clip_adapter_w2"])
    probs = found.logits(known["test"], text, 0.2, scale)[0].softmax(dim=1)
    parity.check(name, "CLIP-Adapter", probs, known["clip_adapter_probs"])


def test_candidates_trained_together_are_those_trained_alone():
    source = torch.Generator().manual_seed(0)
    images, text = torch.randn(12, 16, generator=source), normalize(torch.randn(3, 16, generator=source), dim=1)
    labels, start = torch.arange(12) % 3, initial(0, 16)
    ratios, rates = [0.2, 0.6, 0.6], [1e-2, 1e-2, 1e-3]
    steps = steps_of([np.arange(12)] * 8, 5, "warm")
    found, losses = train(
        start, images, labels, text, steps, ratios=ratios, rates=rates, scale=20.0, optimizer=ADAMW
    )  # fmt: skip
    for i, (ratio, rate) in enumerate(zip(ratios, rates, strict=True)):
        network = torch.nn.Sequential(
            torch.nn.Linear(16, 4, bias=False), torch.nn.ReLU(), torch.nn.Linear(4, 16, bias=False), torch.nn.ReLU()
        )
        network[0].weight.data.copy_(start.down)
        network[2].weight.data.copy_(start.up)
        rule = ADAMW(network.parameters(), lr=rate)
        for step, rows in enumerate(steps.rows):
            rule.param_groups[0]["lr"] = 1e-5 if step < 3 else rate / 2 * (1 + math.cos(math.pi * (step // 3 - 1) / 8))
            mixed = ratio * network(images[rows]) + (1 - ratio) * images[rows]
            loss = cross_entropy(20 * normalize(mixed, dim=1) @ text.T, labels[rows])
            torch.testing.assert_close(losses[step, i], loss.detach(), rtol=1e-5, atol=1e-6)
            rule.zero_grad()
            loss.backward()
            rule.step()
        torch.testing.assert_close(found.down[i], network[0].weight.detach(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.up[i], network[2].weight.detach(), rtol=1e-5, atol=1e-6)
    before, after = (
        cross_entropy(one.logits(images, text, 0.2, 20.0), labels)
        for one in (start, Adapter(found.down[0], found.up[0]))
    )
    assert after < before


def test_the_start_is_drawn_as_a_linear_layer_is():
    found = initial(3, 64)
    assert (found.down.shape, found.up.shape) == ((16, 64), (64, 16))
    for weight in (found.down, found.up):
        bound = 1 / math.sqrt(weight.shape[1])
        assert 0.9 * bound < float(weight.abs().max()) <= bound
    assert torch.equal(found.up, initial(3, 64).up)
    assert not torch.equal(found.up, initial(4, 64).up)
