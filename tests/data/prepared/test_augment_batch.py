"""Views that are made in batches, against Pillow's one by one: equal to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from medbench.cards.recipes import Augment
from medbench.data.prepared import augment_batch as augment_batch_module
from medbench.data.prepared.augment import Draw, augment, draw_view
from medbench.data.prepared.augment_batch import Undrawn, augment_batch

SIDE, SIZE = 37, 32
RECIPES = {
    "paper": Augment(),
    "strong": Augment(scale=(0.02, 1), jitter=1, brightness=1.5, contrast=1.5, saturation=1.5, hue=0.5),
    "no hue": Augment(jitter=1, hue=0),
    "no crop": Augment(scale=(1, 1), ratio=(1, 1)),
}


def images(channels: int) -> NDArray[np.uint8]:
    """Noise, smooth colours, black, white and images of few levels."""
    source = np.random.default_rng(0)
    noise = source.integers(0, 256, (24, SIDE, SIDE, channels), dtype=np.uint8)
    smooth = np.linspace(source.integers(0, 128, (24, SIDE, channels)), 255, SIDE, axis=1).astype(np.uint8)
    few = source.integers(0, 3, (16, SIDE, SIDE, channels)).astype(np.uint8)
    flat = np.zeros((8, SIDE, SIDE, channels), np.uint8)
    return np.concatenate([noise, smooth, few, flat, 255 - flat])


def rngs(n: int) -> list[np.random.Generator]:
    return [np.random.default_rng((5, i)) for i in range(n)]


def drawn(n: int, channels: int, recipe: Augment) -> tuple[Draw, ...]:
    return tuple(draw_view(SIDE, channels, SIZE, recipe, rng) for rng in rngs(n))


def one_by_one(stored: NDArray[np.uint8], recipe: Augment) -> NDArray[np.uint8]:
    return np.stack([augment(image, SIZE, recipe, rng) for image, rng in zip(stored, rngs(len(stored)), strict=True)])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_views_are_pillows(name: str, channels: int) -> None:
    stored, recipe = images(channels), RECIPES[name]
    found = augment_batch(torch.from_numpy(stored), drawn(len(stored), channels, recipe), SIZE)
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found.numpy(), one_by_one(stored, recipe))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_views_of_a_gpu_are_pillows(name: str, channels: int) -> None:
    stored, recipe = images(channels), RECIPES[name]
    batch = Undrawn(torch.from_numpy(stored), drawn(len(stored), channels, recipe), SIZE).pin_memory()
    found = batch.to(torch.device("cuda"), non_blocking=True)
    np.testing.assert_array_equal(found.cpu().numpy(), one_by_one(stored, recipe))


def test_large_batches_are_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = torch.from_numpy(images(3))
    draws = drawn(len(stored), 3, Augment())
    expected = augment_batch(stored, draws, SIZE)
    monkeypatch.setattr(augment_batch_module, "AT_ONCE", 7 * SIDE * SIDE)
    seen: list[int] = []
    plain = augment_batch_module._views
    monkeypatch.setattr(
        augment_batch_module, "_views", lambda part, *rest: seen.append(len(part)) or plain(part, *rest)
    )
    assert torch.equal(augment_batch(stored, draws, SIZE), expected)
    assert set(seen[:-1]) == {7}
    assert sum(seen) == len(stored)
    assert augment_batch(stored[:0], (), SIZE).shape == (0, SIZE, SIZE, 3)


def test_a_part_of_a_batch_is_that_part_of_its_views() -> None:
    stored, place = images(3), torch.device("cpu")
    batch = Undrawn(torch.from_numpy(stored), drawn(len(stored), 3, Augment()), SIZE)
    part = batch[slice(7, 20)]
    assert (len(batch), len(part)) == (len(stored), 13)
    assert torch.equal(part.to(place), batch.to(place)[7:20])
