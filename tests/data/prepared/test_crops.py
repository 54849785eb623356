"""Multi-crop views against torchvision and Pillow, step by step; their draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torchvision import transforms

from medbench.cards.recipes import DinoPretrain
from medbench.data.prepared import crops as module
from medbench.data.prepared.crops import Crops
from medbench.data.prepared.store import Store

STILL = {
    "global_scale": (1.0, 1.0),
    "local_scale": (1.0, 1.0),
    "horizontal_flip": 0.0,
    "jitter": 0.0,
    "grey": 0.0,
    "blur": (0.0, 0.0, 0.0),
    "solarize": 0.0,
}


def store(n: int = 4, side: int = 40, channels: int = 3) -> Store:
    pixels = np.random.default_rng(0).integers(0, 256, (n, side, side, channels), dtype=np.uint8)
    return Store(pixels, {}, "", Path())


def crops(images: Store, size: int = 32, seed: int = 0, **changes: object) -> Crops:
    recipe = DinoPretrain(**({"local_crops": 3, "local_size": 16} | changes))
    return Crops(images, np.arange(len(images.images)), size, recipe, seed)


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_a_draw_for_each_epoch_image_crop_and_seed(channels: int) -> None:
    images = store(channels=channels)
    large, small = crops(images)[[(0, 1), (0, 2), (5, 1)]]
    assert large.shape == (2, 3, 32, 32, channels)
    assert small.shape == (3, 3, 16, 16, channels)
    assert large.dtype == small.dtype == torch.uint8
    alone = crops(images)[[(5, 1)]]
    assert torch.equal(alone[0][:, 0], large[:, 2])
    assert torch.equal(alone[1][:, 0], small[:, 2])
    assert not torch.equal(large[:, 0], large[:, 2]), "another epoch, another draw"
    assert not torch.equal(small[0], small[1]), "another crop, another draw"
    assert not torch.equal(crops(images, seed=1)[[(5, 1)]][0], alone[0])


def test_no_local_crops() -> None:
    large, small = crops(store(), local_crops=0)[[(0, 0)]]
    assert large.shape == (2, 1, 32, 32, 3)
    assert small.shape == (0, 1, 16, 16, 3)


def steps(name: str) -> tuple[dict[str, object], object]:
    return {
        "resized": ({}, lambda picture: picture),
        "bilinear": ({"crop_interpolation": "bilinear"}, lambda picture: picture),
        "flipped": ({"horizontal_flip": 1.0}, transforms.RandomHorizontalFlip(1.0)),
        "grey": ({"grey": 1.0}, transforms.RandomGrayscale(1.0)),
        "blurred": ({"blur": (1.0, 1.0, 1.0)}, lambda picture: picture.filter(ImageFilter.GaussianBlur(1.5))),
    }[name]


@pytest.mark.parametrize("step", ["resized", "bilinear", "flipped", "grey", "blurred"])
def test_steps_equal_torchvision_and_pillow(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RADII", (1.5, 1.5))
    changes, expected = steps(step)
    images = store()
    large, small = crops(images, **(STILL | changes))[[(0, 2)]]
    whole = Image.fromarray(images.images[2])
    for found in (*large[:, 0], *small[:, 0]):
        how = str(changes.get("crop_interpolation", "bicubic"))
        resize = transforms.Resize(found.shape[:2], transforms.InterpolationMode(how))
        np.testing.assert_array_equal(found, np.asarray(expected(resize(whole))))  # type: ignore[operator]


def test_the_second_global_crop_alone_is_solarized() -> None:
    images = store()
    large, small = crops(images, **(STILL | {"solarize": 1.0}))[[(0, 0)]]
    plain = crops(images, **STILL)[[(0, 0)]]
    assert torch.equal(large[0], plain[0][0])
    assert torch.equal(small, plain[1])
    inverted = transforms.RandomSolarize(128, 1.0)(Image.fromarray(plain[0][1, 0].numpy()))
    np.testing.assert_array_equal(large[1, 0], np.asarray(inverted))


def test_areas_are_within_their_range_and_use_the_whole_square() -> None:
    """Of a picture whose colour is the place, a crop shows where it was taken from."""
    side = 200
    rows, columns = np.mgrid[:side, :side].astype(np.uint8)
    images = Store(np.stack([rows, columns, rows], -1)[None].repeat(40, 0), {}, "", Path())
    changes = STILL | {"global_scale": (0.4, 1.0), "local_scale": (0.05, 0.4)}
    large, small = crops(images, **changes)[[(0, i) for i in range(40)]]
    for found, (low, high) in ((large, (0.4, 1.0)), (small, (0.05, 0.4))):
        span = found[..., :2].flatten(2, 3).float()
        lengths = span.amax(2) - span.amin(2) + 1
        areas = lengths.prod(-1) / side**2
        assert areas.min() > 0.8 * low  # the outermost pixels are averages
        assert areas.max() < 1.05 * high
        assert areas.max() > 2 * areas.min()
    # the margin is used: a centre crop to the input's 224 of 256 would leave 12 rows out on each side
    assert small[..., 0].min() < 8
    assert small[..., 0].max() > 191


def test_jitter_changes_colours_at_its_probability() -> None:
    images = store(n=60)
    indices = [(0, i) for i in range(60)]
    plain = crops(images, **STILL)[indices][0]
    drawn = crops(images, **(STILL | {"jitter": 0.8}))[indices][0]
    share = (plain != drawn).flatten(2).any(2).float().mean()
    assert 0.65 < share < 0.95
