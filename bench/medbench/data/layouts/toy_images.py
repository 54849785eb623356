"""How toy images are drawn: a textured disc of a patient's own, with lesions, shapes or findings on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Recipe = Literal["grades", "binary", "shapes", "findings"]
Array = npt.NDArray[np.float64]

CLASSES: dict[str, int] = {"grades": 5, "binary": 2, "shapes": 4, "findings": 5}
"""Classes (or findings) each recipe draws."""

SHARES: dict[str, tuple[float, ...]] = {
    "grades": (0.42, 0.12, 0.22, 0.12, 0.12),
    "binary": (0.6, 0.4),
    "shapes": (0.4, 0.3, 0.2, 0.1),
    "findings": (0.4, 0.3, 0.25, 0.2, 0.15),
}
"""Share of each class; for findings, how often each is present."""

GROUP_SIZES = (0.4, 0.4, 0.2)
"""Share of patients with one, two and three images."""


@dataclass(frozen=True)
class Sample:
    """One drawn image: (size, size, 3) uint8, its patient, its number there, and its class or 0/1 findings."""

    image: npt.NDArray[np.uint8]
    patient: str
    number: int
    target: int | list[int]


@dataclass
class Canvas:
    """A picture in the making.

    Attributes:
        rng: The patient's own stream of draws.
        size: Side in pixels; lengths below are in 64ths of it.
        rows: (size, 1) row coordinates in 64ths.
        columns: (1, size) column coordinates in 64ths.
        pixels: (size, size, 3) values, nominally 0 to 1.
    """

    rng: np.random.Generator
    size: int
    rows: Array
    columns: Array
    pixels: Array

    def spot(self, reach: float = 22.0) -> tuple[float, float]:
        """Draw a place on the disc, at most `reach` from the middle."""
        angle, radius = self.rng.random() * 2 * np.pi, reach * np.sqrt(self.rng.random())
        return 32 + radius * float(np.sin(angle)), 32 + radius * float(np.cos(angle))

    def blob(self, radius: float, colour: tuple[float, float, float], at: tuple[float, float] | None = None) -> None:
        """Add a soft round blob of a colour (added, so it may be negative)."""
        row, column = at or self.spot()
        far = (self.rows - row) ** 2 + (self.columns - column) ** 2
        self.paint(np.exp(-far / (2 * radius**2)), colour)

    def streak(self, length: float, width: float, colour: tuple[float, float, float]) -> None:
        """Add a soft straight line at a random place and angle."""
        (row, column), angle = self.spot(16), self.rng.random() * np.pi
        down, right = self.rows - row, self.columns - column
        along = np.clip(down * np.sin(angle) + right * np.cos(angle), -length / 2, length / 2)
        far = (down - along * np.sin(angle)) ** 2 + (right - along * np.cos(angle)) ** 2
        self.paint(np.exp(-far / (2 * width**2)), colour)

    def paint(self, mask: Array, colour: tuple[float, float, float]) -> None:
        """Add `colour` where `mask` (size, size), 0 to 1, says."""
        self.pixels += mask[..., None] * np.asarray(colour)


def draw(recipe: Recipe, n: int, size: int, seed: int) -> Iterator[Sample]:
    """Yield `n` samples, patient after patient; the images of one patient share background and texture."""
    number = list(CLASSES).index(recipe)
    plan = np.random.Generator(np.random.PCG64([seed, number]))
    done, patient = 0, 0
    while done < n:
        images = min(1 + int(np.searchsorted(np.cumsum(GROUP_SIZES), plan.random())), 3, n - done)
        rng = np.random.Generator(np.random.PCG64([seed, number, patient]))
        base = _background(rng, size)
        first = _target(recipe, plan)
        for image in range(images):
            target = first if image == 0 else _related(recipe, first, plan)
            yield Sample(_picture(recipe, base, target, rng, size), f"p{patient:04d}", image, target)
        done, patient = done + images, patient + 1


def _target(recipe: Recipe, plan: np.random.Generator) -> int | list[int]:
    shares = SHARES[recipe]
    if recipe == "findings":
        return [int(plan.random() < share) for share in shares]
    return min(int(np.searchsorted(np.cumsum(shares), plan.random())), len(shares) - 1)


def _related(recipe: Recipe, first: int | list[int], plan: np.random.Generator) -> int | list[int]:
    """Draw the target of a patient's further image: mostly that of the first, as with the two eyes of a person."""
    if plan.random() < 0.6:
        return first
    other = _target(recipe, plan)
    if recipe == "grades" and isinstance(first, int) and isinstance(other, int):
        return first + int(np.sign(other - first))
    return other


def _smooth(rng: np.random.Generator, size: int, cells: int) -> Array:
    """Return smooth noise (size, size) with mean 0 and deviation about 0.6, of `cells` bumps a side."""
    places = np.linspace(0, cells - 1, size)
    hat = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells)))
    noise: Array = hat @ rng.standard_normal((cells, cells)) @ hat.T
    return noise


def _background(rng: np.random.Generator, size: int) -> Array:
    """Draw the patient's own disc on black: tint, texture, a bright nerve head and a few vessels."""
    canvas = _canvas(rng, size, np.zeros((size, size, 3)))
    tint = np.array([0.55, 0.32, 0.18]) + 0.02 * rng.standard_normal(3)
    texture = 0.03 * _smooth(rng, size, 5) + 0.03 * _smooth(rng, size, 16)
    canvas.pixels += np.maximum(tint, 0.05) * (1 + texture[..., None] * 2)
    canvas.blob(3.5, (0.35, 0.3, 0.15), at=(32 + 6 * rng.standard_normal(), 20 + 3 * rng.standard_normal()))
    for _ in range(3):
        canvas.streak(30 + 20 * rng.random(), 0.7, (-0.1, -0.1, -0.05))
    return canvas.pixels


def _canvas(rng: np.random.Generator, size: int, pixels: Array) -> Canvas:
    places: Array = (np.arange(size, dtype=np.float64) + 0.5) * (64 / size)
    return Canvas(rng, size, places[:, None], places[None, :], pixels)


def _picture(
    recipe: Recipe, base: Array, target: int | list[int], rng: np.random.Generator, size: int
) -> npt.NDArray[np.uint8]:
    canvas = _canvas(rng, size, base * (0.97 + 0.06 * rng.random()))
    if isinstance(target, list):
        _findings(canvas, target)
    elif recipe == "grades":
        _grade(canvas, target)
    elif recipe == "binary":
        _lesion(canvas, target)
    else:
        _shape(canvas, target)
    edge = 29 + 1.5 * rng.random() - np.sqrt((canvas.rows - 32) ** 2 + (canvas.columns - 32) ** 2)
    pixels = canvas.pixels * np.clip(edge, 0, 1)[..., None] + 0.02 * rng.standard_normal((size, size, 3))
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


DARK, RED, PALE = (-0.22, -0.16, -0.08), (-0.1, -0.2, -0.1), (0.3, 0.3, 0.12)


def _grade(canvas: Canvas, grade: int) -> None:
    """Draw the lesions of a grade: dots, then bleedings, then exudates, then new vessels; counts overlap."""
    draw = canvas.rng
    dots = (0, 2, 5, 8, 8)[grade] + int(draw.integers(0, 3))
    bleedings = (0, 0, 2, 5, 6)[grade] + int(draw.random() < 0.2)
    exudates = (0, 0, 1, 3, 6)[grade] + int(draw.random() < 0.2)
    for _ in range(dots):
        canvas.blob(1.0, DARK)
    for _ in range(bleedings):
        canvas.blob(2.0 + draw.random(), RED)
    for _ in range(exudates):
        canvas.blob(1.2 + draw.random(), PALE)
    for _ in range(4 if grade == 4 else 0):
        canvas.streak(9, 0.6, RED)


def _lesion(canvas: Canvas, positive: int) -> None:
    """Draw small dark and pale dots on all, and a large pale lesion of varying strength on positive images."""
    for _ in range(int(canvas.rng.integers(1, 4))):
        canvas.blob(1.0 + canvas.rng.random(), DARK)
    for _ in range(int(canvas.rng.integers(0, 4))):
        canvas.blob(1.5 + canvas.rng.random(), PALE)
    if positive:
        strength = 0.4 + 1.0 * canvas.rng.random()
        canvas.blob(5 + 3 * canvas.rng.random(), (0.25 * strength, 0.25 * strength, 0.1 * strength))


def _shape(canvas: Canvas, kind: int) -> None:
    """Draw a disc, a ring, a cross or a square at a random place, of varying size and strength."""
    row, column = canvas.spot(8)
    radius = 9 + 5 * canvas.rng.random()
    strength = 0.08 + 0.22 * canvas.rng.random()
    down, right = np.abs(canvas.rows - row), np.abs(canvas.columns - column)
    far = np.sqrt(down**2 + right**2)
    distance = (
        far - radius,
        np.abs(far - radius) - 2,
        np.maximum(np.minimum(down, right) - 2, np.maximum(down, right) - radius),
        np.maximum(down, right) - radius,
    )[kind]
    canvas.paint(np.clip(0.5 - distance, 0, 1), (strength, strength, strength * 0.5))


def _findings(canvas: Canvas, present: list[int]) -> None:
    """Draw each present finding: dots, exudates, streaks, haze, and a shadow from one side."""
    draw = canvas.rng
    dots, exudates, streaks, haze, shadow = present
    for _ in range(8 if dots else int(draw.integers(0, 3))):
        canvas.blob(1.2, DARK)
    for _ in range(4 if exudates else int(draw.random() < 0.3)):
        canvas.blob(1.5, PALE)
    for _ in range(4 if streaks else 0):
        canvas.streak(14, 0.8, RED)
    if haze:
        canvas.pixels += (0.4 - canvas.pixels) * (0.15 + 0.2 * draw.random())
    if shadow:
        angle, depth = draw.random() * 2 * np.pi, 0.1 + 0.15 * draw.random()
        side = ((canvas.rows - 32) * np.sin(angle) + (canvas.columns - 32) * np.cos(angle)) / 32
        canvas.paint(np.clip(side, 0, 1), (-depth, -depth, -depth))
