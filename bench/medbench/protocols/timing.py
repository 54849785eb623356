"""Latency of one image and throughput, with warm-up, synchronisation and spread (WACV 2024, Figure 3: inference time).

The other half of that figure, training time, is the number of iterations up to the best validation metric: the records
of the training protocols have it (`chosen.step`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medbench.cards.recipes import Timing
from medbench.features.extract import AUTOCAST, exact
from medbench.models.networks.stacked import Stacked
from medbench.progress import bar
from medbench.protocols.context import Context, Outcome
from medbench.training.finetune.networks import Classifier, OnTokens, linear_head


def run(context: Context[Timing]) -> dict[int, Outcome]:
    """Time single images, then batches; all processes but the first wait."""
    settings = context.settings
    network, precision = _network(context, settings), context.machine.precision if context.machine else "fp32"
    cast = (
        torch.autocast(context.device.type, AUTOCAST[precision]) if precision in AUTOCAST else contextlib.nullcontext()
    )
    size = context.inputs.image_size
    channels = context.inputs.images("val")[[0]].shape[-1]
    seconds: dict[int, NDArray[np.float64]] = {}
    with (
        bar(context.name, len(settings.batches), "batch sizes") as advance,
        cast,
        exact(precision),
        torch.inference_mode(),
    ):
        for batch in settings.batches:
            try:
                seconds[batch] = _timed(
                    network, torch.randn(batch, channels, size, size, device=context.device), settings
                )
            except torch.OutOfMemoryError:
                break
            advance(1)
            if seconds[batch].mean() * settings.repeats > settings.seconds:
                break
    return {context.seeds[0]: _outcome(seconds, settings)}


def _network(context: Context[Timing], settings: Timing) -> nn.Module:
    encoder = context.inputs.encoder()
    if settings.classifier == "linear":
        return Classifier(encoder, linear_head(encoder.dim, context.classes, 0)).to(context.device).eval()
    one = context.inputs.normalise(context.inputs.images("val")[[0]].to(context.device))
    with torch.inference_mode():
        width = encoder.tokens(one).shape[-1]
    stack = Stacked(context.inputs.second(), width, context.classes, 0)
    return OnTokens(encoder, stack, frozen=True).to(context.device).eval()


def _timed(network: Callable[[Tensor], Tensor], x: Tensor, settings: Timing) -> NDArray[np.float64]:
    """Return the seconds of each pass over one batch: at least three, at most `repeats`, without warm-up passes."""
    wait: Callable[[], object] = torch.cuda.synchronize if x.device.type == "cuda" else lambda: None
    found: list[float] = []
    for i in range(settings.warmup + settings.repeats):
        wait()
        start = time.perf_counter()
        network(x)
        wait()
        if i >= settings.warmup:
            found.append(time.perf_counter() - start)
        if len(found) >= 3 and sum(found) > settings.seconds:
            break
    return np.array(found)


def _outcome(seconds: dict[int, NDArray[np.float64]], settings: Timing) -> Outcome:
    smallest = min(seconds)
    one = seconds[smallest] * 1000 / smallest
    rates = {batch: batch / float(np.median(values)) for batch, values in seconds.items()}
    best = max(rates, key=lambda batch: rates[batch])
    return Outcome(
        metrics={
            "latency_ms": float(one.mean()),
            "latency_ms_std": float(one.std(ddof=1)) if len(one) > 1 else 0.0,
            "latency_ms_median": float(np.median(one)),
            "throughput": rates[best],
            "throughput_batch": float(best),
        },
        chosen={"classifier": settings.classifier, "passes": len(one)},
        history={
            "batch": list(seconds),
            "ms_mean": [float(values.mean() * 1000) for values in seconds.values()],
            "ms_std": [float(values.std(ddof=1) * 1000) if len(values) > 1 else 0.0 for values in seconds.values()],
            "images_per_second": [rates[batch] for batch in seconds],
        },
        warnings=()
        if smallest == 1
        else (f"latency is the time of a batch of {smallest} images, divided by {smallest}",),
    )
