"""CLIP-Adapter (Gao et al., IJCV 2024): a small network on the feature.

All pairs of a ratio and a learning rate are trained at once, and the last epoch is kept. The pair with the lowest log
loss on validation is chosen, of equal ones the first; without validation the first pair. Test images choose nothing.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medbench import metrics
from medbench.cards.recipes import ClipAdapter
from medbench.protocols.adapters.parts import class_vectors, labels, may_choose, outcome, raw
from medbench.protocols.context import Context, Outcome
from medbench.training.adapters.clip_adapter import Adapter, initial, train
from medbench.training.adapters.steps import drawn_orders, steps_of
from medbench.training.selection import FALL_BACK, Criterion, best_of, finite

MOMENTUM = 0.9


def run(context: Context[ClipAdapter]) -> dict[int, Outcome]:
    """Train the pairs of each seed, choose one on validation, score test once."""
    return {seed: _seed(context, seed) for seed in context.seeds}


def _seed(context: Context[ClipAdapter], seed: int) -> Outcome:
    settings, text, images = context.settings, class_vectors(context), raw(context, "train")
    pairs = list(itertools.product(settings.ratios, settings.learning_rates))
    ratios, rates = (list(side) for side in zip(*pairs, strict=True))
    orders = drawn_orders("clip-adapter", seed, settings.epochs, len(images), once=settings.one_order)
    start = initial(seed, images.shape[1])
    adapters, losses = train(
        Adapter(start.down.to(context.device), start.up.to(context.device)),
        images,
        labels(context),
        text,
        steps_of(orders, settings.batch_size, settings.schedule),
        ratios=ratios,
        rates=rates,
        scale=context.words.scale,
        optimizer=_optimizer(settings),
    )
    chosen = len(pairs) > 1 and may_choose(context)
    values = _values(context, adapters, text, ratios) if chosen else np.full(len(pairs), np.nan)
    best = int(best_of(values, Criterion(FALL_BACK), "ratio and learning rate")[0]) if chosen else 0
    kept = Adapter(adapters.down[best], adapters.up[best])
    ends = losses[-1].tolist()
    return outcome(
        context,
        lambda found: kept.logits(found, text, ratios[best], context.words.scale),
        chosen={"ratio": ratios[best], "learning_rate": rates[best], "val": finite(values[best])},
        selection={
            "by": "log loss on validation" if chosen else "nothing was chosen: the first ratio and learning rate",
            "epoch": "last",
            "ties": int((values == values[best]).sum()) if chosen else 1,
            "at_edge": _edges(settings, ratios[best], rates[best]) if chosen else [],
            "candidates": [
                {"ratio": ratio, "learning_rate": rate, "val": finite(value), "loss": end}
                for ratio, rate, value, end in zip(ratios, rates, values, ends, strict=True)
            ],
        },
        counts={"weights": float(kept.down.numel() + kept.up.numel())},
    )


def _optimizer(settings: ClipAdapter) -> Any:
    if settings.optimizer == "sgd":
        return functools.partial(torch.optim.SGD, momentum=MOMENTUM, weight_decay=settings.weight_decay)
    return functools.partial(torch.optim.AdamW, eps=settings.eps, weight_decay=settings.weight_decay)


def _values(context: Context[ClipAdapter], adapters: Adapter, text: Tensor, ratios: list[float]) -> NDArray[np.float64]:
    """Return the log loss on validation of each candidate, (g,)."""
    mixed = text.new_tensor(ratios)[:, None, None]
    found = adapters.logits(raw(context, "val"), text, mixed, context.words.scale).cpu().numpy()
    shares = metrics.probabilities(metrics.log_odds(found, multilabel=False))
    values: NDArray[np.float64] = metrics.score_many(FALL_BACK, shares, context.val_targets)
    return values


def _edges(settings: ClipAdapter, ratio: float, rate: float) -> list[str]:
    """Return which chosen values are at the edge of their grids."""
    grids = {"ratio": (ratio, settings.ratios), "learning_rate": (rate, settings.learning_rates)}
    return [name for name, (value, grid) in grids.items() if len(grid) > 2 and value in (min(grid), max(grid))]
