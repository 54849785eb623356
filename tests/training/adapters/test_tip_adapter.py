"""Tip-Adapter against the authors' results, their loop over the grid, and FLAIR's variant."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy, normalize, one_hot

from medbench.training.adapters.steps import Steps, steps_of
from medbench.training.adapters.tip_adapter import Cache, Grid, accuracies, cache_of, grid, logits, train_keys

GOLDEN = "tip_adapter"
GRID = Grid(grid(7, 200), grid(13, 20))


@pytest.mark.parametrize(("alpha", "beta"), [(2, 1), (1.17, 5.5), (1, 5)])
def test_the_cache_gives_the_official_logits(parity, alpha, beta):
    known = parity.read(GOLDEN)
    cache = cache_of(list(known["train_views"]), known["train_labels"], 4, even=False)
    found = logits(known["test"], known["text"], cache, scale=100, alpha=alpha, beta=beta)
    parity.check(GOLDEN, "keys", cache.keys.T, known["cache_keys"], within=2e-6)
    assert torch.equal(cache.values, known["cache_values"])
    parity.check(GOLDEN, f"logits at {alpha}, {beta}", found, known[f"tip_logits_a{alpha}_b{beta}"], within=2e-6)


def test_the_search_is_the_official_one(parity):
    known = parity.read(GOLDEN)
    cache = cache_of(list(known["train_views"]), known["train_labels"], 4, even=False)
    val, labels = known["val"], known["val_labels"]
    found = accuracies(100 * val @ known["text"].T, val @ cache.keys.T, cache.values, labels, GRID)
    parity.check(GOLDEN, "grid of beta", GRID.betas, known["search_beta"])
    parity.check(GOLDEN, "grid of alpha", GRID.alphas, known["search_alpha"])
    parity.check(GOLDEN, "accuracy of 4,000 settings", 100 * found, known["search_val_accuracy"])
    best = int(found.flatten().argmax())  # numpy's and torch's first one of equals
    beta, alpha = GRID.betas[best // 20], GRID.alphas[best % 20]
    assert (beta, alpha) == pytest.approx((0.583, 12.355))
    assert int((found == found.max()).sum()) == 601
    tested = logits(known["test"], known["text"], cache, scale=100, alpha=alpha, beta=beta)
    parity.check(GOLDEN, "logits at the winner", tested, known["tip_logits_searched"], within=2e-6)


def test_trained_keys_are_the_official_ones(parity):
    known = parity.read(GOLDEN)
    cache = cache_of(list(known["train_views"]), known["train_labels"], 4, even=False)
    before, images = cache.keys.clone(), normalize(known["train_views"][0], dim=1)
    steps = steps_of([known["train_order"].numpy()] * 20, 8, "step")

    def trained(number: int) -> tuple[torch.Tensor, list[float]]:
        part = Steps(steps.rows[:number], steps.shares[:number])
        return train_keys(
            cache, images, known["train_labels"], known["text"], part, rate=1e-3, scale=100, alpha=2, beta=1
        )

    parity.check(GOLDEN, "rates of F", steps.rates(1e-3), known["f_learning_rates"])
    parity.check(GOLDEN, "keys of F after an epoch", trained(3)[0], known["f_keys_epoch1"])
    keys, losses = trained(60)
    parity.check(GOLDEN, "keys of F", keys, known["f_keys_final"])
    parity.check(GOLDEN, "losses of F", losses, known["f_losses"])
    found = logits(known["test"], known["text"], Cache(keys, cache.values), scale=100, alpha=2, beta=1)
    parity.check(GOLDEN, "logits of F", found, known["f_logits"])
    assert torch.equal(cache.keys, before), "training has changed the cache"


def test_flairs_variant_moves_its_images_with_its_keys(parity):
    known, name = parity.read("flair_adapters"), "flair_adapters"
    images, labels, text = (known[key] for key in ("train", "train_labels", "text"))
    cache, scale = cache_of([images], labels, 3, even=False), math.exp(2.6592600345611572)
    steps = steps_of([known["order"].numpy()] * 40, 1, "constant")

    def probs(cache: Cache) -> torch.Tensor:
        return logits(known["test"], text, cache, scale=100, alpha=1, beta=5).softmax(dim=1)

    parity.check(name, "Tip-Adapter", probs(cache), known["tip_probs"])
    exact = Cache(cache.keys.double(), cache.values.double())  # the golden without the fault is in double precision
    for start, source, words, ending in ((cache, None, text, ""), (exact, images.double(), text.double(), "_fixed")):
        keys, _ = train_keys(start, source, labels, words, steps, rate=1e-3, scale=scale, alpha=scale / 12, beta=5)
        parity.check(name, f"keys of F{ending}", keys, known[f"tip_f_keys{ending}"])
        parity.check(
            name, f"Tip-Adapter-F{ending}", probs(Cache(keys.float(), cache.values)), known[f"tip_f_probs{ending}"]
        )


def test_views_are_averaged_before_they_get_length_one():
    views = torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]])
    cache = cache_of(list(views), torch.tensor([0]), 2, even=False)
    torch.testing.assert_close(cache.keys, torch.tensor([[3.0, 1.0]]) / math.sqrt(10))


def test_every_class_has_the_same_say_whatever_its_number_of_images():
    labels = torch.tensor([0, 0, 0, 1])
    even = cache_of([torch.randn(4, 3)], labels, 2, even=True)
    assert even.values.sum(dim=0).tolist() == [2.0, 2.0]
    assert cache_of([torch.randn(4, 3)], labels, 2, even=False).values.sum(dim=0).tolist() == [3.0, 1.0]
    same = cache_of([torch.randn(4, 3)], torch.tensor([0, 1, 0, 1]), 2, even=True)
    assert torch.equal(same.values, one_hot(torch.tensor([0, 1, 0, 1])).float())


def drawn(classes: int = 4) -> tuple[torch.Tensor, ...]:
    source = torch.Generator().manual_seed(1)
    centres = torch.randn(classes, 16, generator=source)
    own, labels = torch.arange(12) % classes, torch.arange(90) % classes
    keys, images, text = (
        normalize(x + noise * torch.randn(len(x), 16, generator=source), dim=1)
        for x, noise in ((centres[own], 1), (centres[labels], 2), (centres, 3))
    )
    return keys, one_hot(own).float(), images, labels, text


@pytest.mark.parametrize("classes", [2, 4])
def test_the_search_is_a_plain_loop_over_pairs(classes):
    keys, values, images, labels, text = drawn(classes)
    tried = Grid(grid(9, 7), grid(20, 5))
    found = accuracies(100 * images @ text.T, images @ keys.T, values, labels, tried)
    for i, beta in enumerate(tried.betas):
        for j, alpha in enumerate(tried.alphas):
            votes = torch.exp(-beta * (1 - images.double() @ keys.double().T)) @ values.double()
            right = ((100 * images.double() @ text.double().T + alpha * votes).argmax(dim=1) == labels).double()
            assert float(found[i, j]) == pytest.approx(float(right.mean()), abs=1e-6)
    assert len(np.unique(found.numpy())) > 3, "the settings do not differ: this would test nothing"


def test_one_step_of_the_keys_is_that_of_adamw():
    keys, values, images, labels, text = drawn()
    steps = steps_of([np.arange(len(images))], len(images), "constant")
    found, losses = train_keys(
        Cache(keys, values), images, labels, text, steps, rate=1e-2, scale=50, alpha=2, beta=3, eps=1e-4
    )
    layer = torch.nn.Linear(16, 12, bias=False)
    layer.weight.data.copy_(keys)
    near = torch.stack([cosine_similarity(images, key[None]) for key in keys], dim=1)
    torch.testing.assert_close(layer(images), near, atol=1e-6, rtol=1e-5)
    rule = torch.optim.AdamW(layer.parameters(), lr=1e-2, eps=1e-4)
    loss = cross_entropy(50 * images @ text.T + 2 * torch.exp(-3 * (1 - layer(images))) @ values, labels)
    loss.backward()
    rule.step()
    torch.testing.assert_close(found, layer.weight.detach(), atol=1e-6, rtol=1e-5)
    assert losses == [pytest.approx(loss.item(), rel=1e-5)]
