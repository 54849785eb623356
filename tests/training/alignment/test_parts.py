"""Losses, captions and augmentation against plain loops and torchvision."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from medbench.cards.recipes import FlairPretrain
from medbench.data.pairs import Pairs
from medbench.seeding import generator
from medbench.training.alignment.augment import augmented, draws
from medbench.training.alignment.captions import Captions, sampled
from medbench.training.alignment.losses import effective_number, floor_of, soft_loss, soft_targets


def test_the_floor_is_reached_by_logits_that_are_the_targets() -> None:
    keys = ["a", "b", "a", "c", "a", "b"]
    targets = soft_targets(keys)
    assert targets[0].tolist() == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3, 0])
    floor = floor_of(targets)
    assert floor == pytest.approx((3 * math.log(3) + 2 * math.log(2)) / 6)
    # vectors of one key are equal, those of others orthogonal: a large factor makes the softmax the targets
    vectors = torch.eye(3)[[0, 1, 0, 2, 0, 1]]
    assert float(soft_loss(vectors, vectors, torch.tensor(4.6), targets)) == pytest.approx(floor, rel=1e-5)
    other = normalize(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    assert float(soft_loss(other, vectors, torch.tensor(2.0), targets)) > floor


def test_the_effective_number_of_keys() -> None:
    assert effective_number(["a"] * 5) == pytest.approx(1)
    assert effective_number(["a", "b", "c", "d"]) == pytest.approx(4)
    assert 1 < effective_number(["a", "a", "a", "b"]) < 2


PAIRS = Pairs(
    (("drusen", "haze"), (), ("drusen",), ()),
    (("noisy",), ("dark",), (), ()),
    ("", "", "own words", "no category, own words"),
    ("a", "a", "plain", "b"),
)


def test_captions() -> None:
    captions = Captions(PAIRS, "A [ATR] photograph of [CLS]", {"drusen": ["yellow spots"]}, frozenset({"plain"}))
    first = {captions.draw(0, pick) for pick in (lambda m: 0, lambda m: m - 1)}
    assert {(one.key, one.text) for one in first} == {
        ("drusen", "A noisy photograph of drusen"), ("haze", "A noisy photograph of haze"),
    }  # fmt: skip
    last = iter([0, 0, 1])
    assert captions.draw(0, lambda m: next(last)).text == "A noisy photograph of yellow spots"
    assert captions.draw(1, lambda m: 0) == ("", "A dark photograph of ")
    assert captions.draw(2, lambda m: m - 1) == ("drusen", "A photograph of drusen"), "a plain source"
    assert captions.draw(3, lambda m: 0) == ("no category, own words", "no category, own words")
    assert captions.described("drusen") == ("A photograph of drusen", "A photograph of yellow spots")
    assert {"A photograph of yellow spots", "own words", "noisy"} <= set(captions.every())


def test_each_data_set_is_drawn_equally_often() -> None:
    sources = ["large"] * 90 + ["small"] * 10
    rng = np.random.default_rng(0)
    found = sampled(sources, lambda m: int(rng.integers(m)), rng.permutation(100), balance=True)
    assert len(found) == 100
    assert (found >= 90).sum() == 50
    order = rng.permutation(100)
    assert sampled(sources, lambda m: 0, order, balance=False) is order


def test_augmentation_is_torchvisions() -> None:
    images = torch.rand(5, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    degrees, sizes = [0.0, 4.0, -5.0, 0.0, 3.0], [1.0, 0.93, 1.0, 0.9, 0.95]
    flips, lights, contrasts = [1, -1, 1, -1, -1], [1.0, 1.1, 0.85, 1.0, 1.2], [1.0, 0.9, 1.15, 1.0, 0.8]
    drawn = torch.tensor([flips, [math.radians(a) for a in degrees], sizes, lights, contrasts], dtype=torch.float32).T
    found = augmented(images, drawn)
    for i, image in enumerate(images):
        one = image.flip(-1) if flips[i] < 0 else image
        one = functional.affine(one, degrees[i], [0, 0], sizes[i], [0.0, 0.0], InterpolationMode.BILINEAR)
        one = functional.adjust_contrast(functional.adjust_brightness(one, lights[i]), contrasts[i])
        torch.testing.assert_close(found[i], one, atol=5e-5, rtol=0)  # its weights of grey have four digits
    assert torch.allclose(found[0], images[0], atol=1e-6)


def test_draws_have_their_shares() -> None:
    settings = FlairPretrain()
    found = np.stack([draws(settings, generator("test", i)) for i in range(4000)])
    assert (found[:, 0] < 0).mean() == pytest.approx(0.5, abs=0.03)
    assert (found[:, 1] != 0).mean() == pytest.approx(0.25, abs=0.03)
    assert ((found[:, 1] != 0) == (found[:, 2] != 1)).all()
    assert np.abs(found[:, 1]).max() == pytest.approx(math.radians(5), rel=0.01)
    assert 0.9 <= found[:, 2].min() < 0.901
    assert (found[:, 3] != 1).mean() == pytest.approx(0.25, abs=0.03)
    assert 0.8 <= found[:, 3:].min() < 0.81
    assert 1.19 < found[:, 3:].max() <= 1.2
