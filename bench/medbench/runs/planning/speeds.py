"""Images per second of models that have not run on a device yet: measured with random images, and kept in the cache.

Speed does not depend on weights, so the network has random ones and nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from medbench.cards import ModelCard
from medbench.cards.recipes import SETTINGS
from medbench.errors import MedbenchError
from medbench.models.weights.locate import RANDOM
from medbench.progress import say
from medbench.runs.planning.work import Speed
from medbench.storage import files, paths

if TYPE_CHECKING:
    import torch

    from medbench.models.encoder import Encoder

SECONDS = 2.0
"""Time of one measurement, beside its first batches."""
TRAINING_BATCH = 64
"""Images of a training step: the default of most protocols."""


def stored(card: ModelCard, speed: Speed, device: str) -> float | None:
    """Return the images per second that `calibrate` has measured; None: it has not, or the file is damaged.

    Args:
        card: The model, as resolved.
        speed: What is asked for.
        device: As records name it.
    """
    try:
        found = json.loads(_file(card, speed, device).read_text(encoding="utf-8"))
        rate = float(found["images_per_second"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return rate if 0 < rate < math.inf else None


def calibrate(wanted: Iterable[tuple[ModelCard, Speed]], device: str, name: str) -> None:
    """Measure images per second and keep them in the cache, a few seconds for each model, kind and size.

    What uses features is measured in forward passes. What trains is measured in forward and backward passes of the
    whole network. A network that cannot be built is left out, with a message.

    Args:
        wanted: Models, as resolved, and what to measure.
        device: `cpu` or `cuda:i`.
        name: The device, as records name it.
    """
    for card, speed in wanted:
        if stored(card, speed, name) is not None:  # another kind of protocol that trains has the same steps
            continue
        what = "training steps" if _trains(speed) else "forward passes"
        say(f"measuring {what} of {card.name} at {speed[2]} px in {speed[3]}, with random weights and images")
        try:
            found = _images_per_second(card, speed, device)
        except (MedbenchError, ImportError, RuntimeError) as error:
            say(f"  not measured: {error}")
            continue
        files.write_json(
            _file(card, speed, name), {"images_per_second": found, "device": name, **_material(card, speed)}
        )


def _file(card: ModelCard, speed: Speed, device: str) -> Path:
    return paths.home() / "speeds" / f"{files.digest([device, _material(card, speed)])[:16]}.json"


def _material(card: ModelCard, speed: Speed) -> dict[str, object]:
    """Return what a speed depends on, beside the device."""
    return {
        "model": card.name,
        "card": card.material(),
        "steps": "training" if _trains(speed) else "forward",
        "image_size": speed[2],
        "precision": speed[3],
    }


def _trains(speed: Speed) -> bool:
    """Tell whether a kind of protocol goes through the network in epochs."""
    return speed[1] != "features" and "epochs" in SETTINGS[speed[1]].model_fields


def _images_per_second(card: ModelCard, speed: Speed, device: str) -> float:
    import torch

    from medbench.features.extract import AUTOCAST, BATCH, exact
    from medbench.models.load import load_model

    _, _, size, precision = speed
    encoder = load_model(card, RANDOM, size, device=device).channels_last()
    trains, kind = _trains(speed), torch.device(device).type
    encoder.requires_grad_(trains)
    half = contextlib.nullcontext() if precision == "fp32" else torch.autocast(kind, dtype=AUTOCAST[precision])
    with exact(precision), half, torch.inference_mode(not trains):
        step = _step(encoder, device, trains)
        return _rate(step, TRAINING_BATCH if trains else BATCH[kind])


def _step(encoder: Encoder, device: str, trains: bool) -> Callable[[int], None]:
    """Return what sends a number of random images through an encoder, and back if it trains."""
    import torch

    def step(number: int) -> None:
        images: torch.Tensor = torch.rand(number, encoder.in_chans, encoder.image_size, encoder.image_size)
        found = encoder.pooled(images.to(device))
        if trains:
            encoder.zero_grad()
            found.float().square().mean().backward()  # type: ignore[no-untyped-call]
        if device != "cpu":
            torch.cuda.synchronize(device)

    return step


def _rate(step: Callable[[int], None], most: int) -> float:
    """Return images per second in batches that take a second at most, or of `most` images.

    Args:
        step: Computes a number of images.
        most: Largest batch.
    """
    step(1)  # the first call also loads libraries
    began = time.perf_counter()
    step(1)
    number = _fitting(step, max(1, min(most, int(1.0 / (time.perf_counter() - began)))))
    began, images = time.perf_counter(), 0
    while images == 0 or time.perf_counter() - began < SECONDS:
        step(number)
        images += number
    return images / (time.perf_counter() - began)


def _fitting(step: Callable[[int], None], number: int) -> int:
    """Return the number of images, halved until they fit into the memory of the device."""
    import torch

    while True:
        try:
            step(number)
        except torch.cuda.OutOfMemoryError:
            if number == 1:
                raise
            number //= 2
        else:
            return number
