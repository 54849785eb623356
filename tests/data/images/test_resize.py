"""From any shape to a square: against torchvision, FLAIR's and SAM's own arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torchvision.transforms import functional

from medbench.data.images.depth import Unreadable
from medbench.data.images.resize import fitted, foreground
from medbench.data.images.square import SquareRule, rule_of
from medbench.data.prepared.transforms import Transform

from ..made import SAM_MEAN, SAM_STD, disc, own, picture

SHAPES = [(60, 40), (41, 97), (33, 33), (500, 40), (301, 300), (64, 63), (20, 31), (9, 9)]


def smooth(height: int, width: int) -> Image.Image:
    """Return a picture with structure at every scale, which noise does not have once it is made smaller."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 3) * np.cos(y / 5), np.sin((x + y) / 17), np.cos(x * y / (height * width) * 40)]
    return Image.fromarray((np.stack(waves, -1) * 127 + 128).astype(np.uint8))


def flair(image: NDArray[np.uint8], size: int) -> torch.Tensor:
    """Restate FLAIR's scaling on floats, (c, size, size) in grey levels."""
    x = torch.from_numpy(image.astype(np.float64) / 255).permute(2, 0, 1)
    height, width = x.shape[-2:]
    if height == width:
        return functional.resize(x, [size, size], antialias=True) * 255
    scale = max(height, width) / size
    x = functional.resize(x, [int(height / scale), int(width / scale)], antialias=True)
    return torch.nn.functional.pad(x, (0, size - x.shape[-1], 0, size - x.shape[-2])) * 255


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [32, 512, 49])  # torch is wrong (25 levels) where one column is left
def test_canvas_is_flairs(shape: tuple[int, int], size: int) -> None:
    for image in (picture(1, *shape), smooth(*shape)):
        found = np.asarray(fitted(image, SquareRule(size, "canvas", "bilinear", False, 3)))
        expected = flair(np.asarray(image), size).permute(1, 2, 0).numpy()
        assert abs(found - expected).max() <= 1.01
        assert ((expected > 0).any(-1) | ~found.any(-1)).all(), "black where theirs is padded"


def test_the_canvas_lies_at_the_top_left() -> None:
    white = Image.new("RGB", (60, 30), (255, 255, 255))
    wide = np.asarray(fitted(white, SquareRule(40, "canvas", "bilinear", False, 3)))
    assert (wide[:20] == 255).all()
    assert not wide[20:].any()
    tall = np.asarray(fitted(white.rotate(90, expand=True), SquareRule(40, "canvas", "bilinear", False, 3)))
    assert (tall[:, :20] == 255).all()
    assert not tall[:, 20:].any()


def test_a_side_that_floating_point_keeps_short_is_short_as_flairs_is() -> None:
    width, size = next((w, s) for s in range(20, 200) for w in range(s + 1, 400) if int(w / (w / s)) < s)
    image = Image.new("RGB", (width, 30), (255, 255, 255))
    found = np.asarray(fitted(image, SquareRule(size, "canvas", "bilinear", False, 3)))
    assert (found == flair(np.asarray(image), size).permute(1, 2, 0).numpy().round()).all()
    assert not found[:, -1].any()


def li(red: NDArray[Any]) -> float:
    """Restate Li's minimum cross-entropy threshold: the best split of the histogram that its iteration can reach."""
    x = red.astype(np.float64) / 255
    low, step = x.min(), np.diff(np.unique(x)).min() / 2
    x = x - low
    new, old = x.mean(), -np.inf
    while abs(new - old) > step:
        old = new
        above, below = x[x > old].mean(), x[x <= old].mean()
        if below == 0:
            break
        new = (below - above) / (np.log(below) - np.log(above))
    return float(new + low)


def cropped(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Restate FLAIR's crop with SciPy."""
    red = image[..., 0]
    labels, n = ndimage.label(red / 255 > li(red), structure=np.ones((3, 3)))
    sizes = [(labels == k).sum() for k in range(1, n + 1)]
    rows, columns = np.nonzero(labels == 1 + int(np.argmax(sizes)))
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def test_the_crop_is_to_the_disc_and_not_to_a_smaller_brighter_blob() -> None:
    image = disc(90, 140, (44, 60), 30)
    image[2:12, 120:136] = 255
    image[80:85, 3:8] = 200
    found = np.asarray(foreground(Image.fromarray(image)))
    assert (found == cropped(image)).all()
    assert (found == image[15:74, 31:90]).all()
    alone = Image.fromarray(image[..., 1])  # the only channel of a grey image
    assert (np.asarray(foreground(alone)) == cropped(image[..., 1:2])[..., 0]).all()


@pytest.mark.parametrize("centre", [(0, 0), (45, 139), (89, 70), (-12, 20), (45, 70)])
@pytest.mark.parametrize("radius", [20, 45, 200])
def test_the_crop_of_what_touches_the_border(centre: tuple[int, int], radius: float) -> None:
    image = disc(90, 140, centre, radius)
    if radius == 200:
        image = np.maximum(image, 3)
    assert (np.asarray(foreground(Image.fromarray(image))) == cropped(image)).all()


@pytest.mark.parametrize("seed", range(20))
def test_the_crop_of_noise_and_of_few_levels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = np.sort(rng.choice(256, 2 + seed % 9, replace=False))
    few = rng.choice(levels, (40, 50, 3)).astype(np.uint8)
    noisy = (rng.random((40, 50, 3)) ** 6 * 255).astype(np.uint8)
    for image in (few, noisy):
        assert (np.asarray(foreground(Image.fromarray(image))) == cropped(image)).all()


def test_pixels_that_touch_at_a_corner_belong_together() -> None:
    image = np.zeros((20, 20), np.uint8)
    image[2:6, 2:6] = image[6:9, 6:9] = 200
    image[14:19, 14:20] = 200  # larger than the two, and then larger than each of them alone
    assert foreground(Image.fromarray(image)).size == (6, 5)
    image[6:10, 6:10] = 200
    assert foreground(Image.fromarray(image)).size == (8, 8)


def test_of_two_regions_of_one_size_the_topmost_is_kept() -> None:
    image = np.zeros((20, 20), np.uint8)
    image[3:5, 10:16] = image[10:14, 2:5] = 200
    assert foreground(Image.fromarray(image)).size == (6, 2)


@pytest.mark.parametrize("level", [0, 1, 77, 255])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_of_one_level_stays_as_it_is(level: int, mode: str) -> None:
    image = Image.new(mode, (30, 20), level if mode == "L" else (level, 9, 200))
    assert (np.asarray(foreground(image)) == np.asarray(image)).all()


def test_the_crop_comes_before_the_fit() -> None:
    image = disc(90, 140, (44, 60), 30)
    for kind in ("squash", "shortest", "canvas", "longest"):
        rule = SquareRule(32, kind, "bilinear", False, 3)  # type: ignore[arg-type]
        with_crop = SquareRule(32, kind, "bilinear", False, 3, True)  # type: ignore[arg-type]
        expected = np.asarray(fitted(Image.fromarray(cropped(image)), rule))
        assert (np.asarray(fitted(Image.fromarray(image), with_crop)) == expected).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_longest_is_sams(shape: tuple[int, int]) -> None:
    from segment_anything.utils.transforms import ResizeLongestSide

    image = picture(2, *shape)
    transform = Transform(rule_of(own("sam"), 64, 3), 64, SAM_MEAN, SAM_STD)
    square = np.asarray(fitted(image, transform.rule))
    resized = ResizeLongestSide(64).apply_image(np.asarray(image))
    height, width = resized.shape[:2]
    assert (square[:height, :width] == resized).all()
    assert (square[height:] == [124, 116, 104]).all()
    assert (square[:, width:] == [124, 116, 104]).all()

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]))
    x = (torch.as_tensor(resized).permute(2, 0, 1) - mean) / std
    expected = torch.nn.functional.pad(x, (0, 64 - width, 0, 64 - height))
    assert abs(transform(image) - expected).max() <= 0.009
    assert torch.allclose(transform(image)[:, :height, :width], x, atol=1e-5)


@pytest.mark.parametrize("kind", ["canvas", "longest"])
def test_what_would_vanish_is_unreadable(kind: Any) -> None:
    rule = SquareRule(32, kind, "bilinear", False, 3)
    with pytest.raises(Unreadable, match="2000x1 pixels are too elongated to be resized to a longer side of 32"):
        fitted(Image.new("RGB", (2000, 1)), rule)


@pytest.mark.parametrize("size", [(60, 40), (41, 97), (33, 33), (500, 12), (301, 300)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_fit_equals_torchvision(size: tuple[int, int], interpolation: Any) -> None:
    from torchvision.transforms import v2

    image = picture(1, *size)
    mode = v2.InterpolationMode(interpolation)
    shortest = v2.Compose([v2.Resize(32, mode), v2.CenterCrop(32)])(image)
    assert (
        np.asarray(fitted(image, SquareRule(32, "shortest", interpolation, False, 3))) == np.asarray(shortest)
    ).all()
    squash = v2.Resize((32, 32), mode)(image)
    assert (np.asarray(fitted(image, SquareRule(32, "squash", interpolation, False, 3))) == np.asarray(squash)).all()
