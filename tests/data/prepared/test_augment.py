"""Augmented views: their draws, and their pixels against torchvision and Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from medbench.cards.recipes import Augment
from medbench.data.prepared import augment as module
from medbench.data.prepared.augment import augment, colour_jitter, crop_box

RECIPE = Augment()
OFF = Augment(scale=(1, 1), ratio=(1, 1), vertical_flip=0, horizontal_flip=0, jitter=0)


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# The random resized crop


def boxes(n: int, side: int = 224, scale: Any = (0.8, 1.2), ratio: Any = (3 / 4, 4 / 3)) -> NDArray[np.int64]:
    generator = rng(1)
    return np.array([crop_box(side, scale, ratio, generator) for _ in range(n)])


def test_crops_follow_the_papers_facts() -> None:
    found = boxes(20_000)
    left, top, width, height = found.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + width <= 224).all()
    assert (top + height <= 224).all()
    whole = (width == 224) & (height == 224)
    assert abs(whole.mean() - 0.114) < 0.008
    area = (width * height)[~whole] / 224**2
    assert area.min() > 0.795  # .80 before sides are rounded
    assert area.max() < 1
    assert abs(area.mean() - 0.867) < 0.002


def test_crops_are_distributed_as_torchvisions() -> None:
    n = 6000
    torch.manual_seed(0)
    crop = v2.RandomResizedCrop(224, scale=(0.8, 1.2), ratio=(3 / 4, 4 / 3))
    image = Image.new("L", (224, 224))
    theirs = [crop.make_params([image]) for _ in range(n)]
    reference = np.array([[p["left"], p["top"], p["width"], p["height"]] for p in theirs])
    ours = boxes(n)
    for column in range(4):
        assert largest_gap(ours[:, column], reference[:, column]) < 1.95 * (2 / n) ** 0.5  # p = .001 of two samples
    ratio = np.log(ours[:, 2] / ours[:, 3]), np.log(reference[:, 2] / reference[:, 3])
    assert largest_gap(*ratio) < 1.95 * (2 / n) ** 0.5


def largest_gap(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples."""
    at = np.unique(np.concatenate([a, b]))
    return float(
        abs(np.searchsorted(np.sort(a), at, "right") / len(a) - np.searchsorted(np.sort(b), at, "right") / len(b)).max()
    )


@pytest.mark.parametrize("ratio", [(1.5, 2.0), (0.3, 0.6), (0.75, 1.5)])
def test_crops_that_never_fit_end_in_the_nearest_ratio(ratio: tuple[float, float]) -> None:
    crop = v2.RandomResizedCrop(64, scale=(5, 6), ratio=ratio)
    expected = crop.make_params([Image.new("L", (101, 101))])
    found = crop_box(101, (5, 6), ratio, rng())
    assert found == (expected["left"], expected["top"], expected["width"], expected["height"])


def test_the_crop_is_resized_as_torchvision_does(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(36, 36, 3)
    monkeypatch.setattr(module, "crop_box", lambda *_: (3, 5, 25, 20))
    recipe = OFF.model_copy(update={"vertical_flip": 1.0, "horizontal_flip": 1.0})
    picture = v2.functional.center_crop(Image.fromarray(image), [32, 32])
    picture = v2.functional.resized_crop(picture, 5, 3, 20, 25, [32, 32])
    expected = np.asarray(v2.functional.vertical_flip(v2.functional.horizontal_flip(picture)))
    assert (augment(image, 32, recipe, rng()) == expected).all()
    grey = v2.functional.resized_crop(Image.fromarray(image[2:34, 2:34, 0]), 5, 3, 20, 25, [32, 32])
    assert (augment(image[..., :1], 32, OFF, rng())[..., 0] == np.asarray(grey)).all()


# Jitter


class Told:
    """A generator that gives what it is told: the order, then the factors."""

    def __init__(self, order: list[int], factors: list[float]) -> None:
        self.order, self.factors = order, list(factors)

    def permutation(self, n: int) -> NDArray[np.int64]:
        assert n == 4
        return np.array(self.order)

    def uniform(self, low: float, high: float) -> float:
        factor = self.factors.pop(0)
        assert low <= factor <= high
        return factor


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
@pytest.mark.parametrize("factors", [[0.83, 1.17, 0.92, -0.07], [1.2, 0.8, 1.1, 0.1], [1.0, 1.0, 1.0, 0.001]])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jitter_is_torchvisions_to_the_last_bit(order: list[int], factors: list[float], mode: str) -> None:
    picture = Image.fromarray(noise(40, 40, 3)).convert(mode)
    found = colour_jitter(picture, RECIPE, Told(order, factors))  # type: ignore[arg-type]
    names = ("brightness", "contrast", "saturation", "hue")
    expected = picture
    for step in order:
        expected = getattr(v2.functional, f"adjust_{names[step]}")(expected, factors[step])
    assert found.mode == mode
    assert (np.asarray(found) == np.asarray(expected)).all()


def test_jitter_draws_are_distributed_as_torchvisions() -> None:
    jitter = v2.ColorJitter(0.2, 0.2, 0.1, 0.1)
    torch.manual_seed(0)
    n = 4000
    theirs = [jitter.make_params([]) for _ in range(n)]
    ours, order = drawn_by_jitter(n)
    for column, name in enumerate(("brightness", "contrast", "saturation", "hue")):
        reference = np.array([params[f"{name}_factor"] for params in theirs])
        assert largest_gap(ours[:, column], reference) < 1.95 * (2 / n) ** 0.5
    firsts = np.bincount(order[:, 0], minlength=4) / n
    assert abs(firsts - 0.25).max() < 0.03


def drawn_by_jitter(n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the factors (n, 4) and orders (n, 4) that `colour_jitter` draws."""
    generator = rng(2)
    factors: list[float] = []
    orders: list[Any] = []

    class Spy:
        def permutation(self, k: int) -> Any:
            orders.append(generator.permutation(k))
            return orders[-1]

        def uniform(self, low: float, high: float) -> float:
            factors.append(generator.uniform(low, high))
            return factors[-1]

    for _ in range(n):
        colour_jitter(Image.new("L", (1, 1)), RECIPE, Spy())  # type: ignore[arg-type]
    return np.array(factors).reshape(n, 4), np.array(orders)


def test_no_hue_is_no_change() -> None:
    picture = Image.fromarray(noise(40, 40, 3))
    still = Augment(brightness=0, contrast=0, saturation=0, hue=0)
    assert (np.asarray(colour_jitter(picture, still, rng())) == np.asarray(picture)).all()


def test_flips_and_jitter_happen_as_often_as_they_should() -> None:
    image = np.zeros((4, 4, 1), np.uint8)
    image[0, 0], image[3, 0], image[0, 3] = 240, 160, 80
    recipe = Augment(scale=(1, 1), ratio=(1, 1), contrast=0)
    generator = rng(3)
    n = 3000
    top_left = np.array([augment(image, 4, recipe, generator)[0, 0, 0] for _ in range(n)]).astype(int)
    corner = np.array([240, 160, 80, 0])[abs(top_left[:, None] - [240, 160, 80, 0]).argmin(1)]  # jitter is within 20 %
    for value in (240, 160, 80, 0):
        assert abs((corner == value).mean() - 0.25) < 0.03
    upright = top_left[(corner == 240) & (top_left < 255)]
    assert abs((upright == 240).mean() - 0.2 / (0.2 + 0.8 * (0.2 + 15 / 240) / 0.4)) < 0.07  # 255 is where it is cut


def test_the_same_generator_gives_the_same_bytes() -> None:
    image = noise(36, 36, 3)
    first, again = (augment(image, 32, RECIPE, rng(5)) for _ in range(2))
    assert first.shape == (32, 32, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (first != augment(image, 32, RECIPE, rng(6))).any()
