"""Tip-Adapter and Tip-Adapter-F (Zhang et al., ECCV 2022): a cache of training images in addition to the texts.

Weight and sharpness of the cache are searched on validation alone, by accuracy as in the authors' code. That code also
searches on the test images of ImageNet, and keeps Tip-Adapter-F's epoch that is best on test. Neither is done here: the
last epoch is kept. Without validation both are the settings' own, and the record says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from medbench.cards.recipes import TipAdapter, TipAdapterF
from medbench.protocols.adapters.parts import class_vectors, labels, may_choose, outcome, raw, views
from medbench.protocols.context import Context, Outcome
from medbench.training.adapters.steps import drawn_orders, steps_of
from medbench.training.adapters.tip_adapter import (
    Cache,
    Grid,
    accuracies,
    cache_of,
    cross_entropies,
    grid,
    logits,
    train_keys,
)
from medbench.training.selection import FALL_BACK, Criterion, best_of, finite


def run(context: Context[TipAdapter]) -> dict[int, Outcome]:
    """Fill the cache, search on validation, score test once."""
    cache = _cache(context, views(context, context.settings.views, context.settings.augment))
    return {context.seeds[0]: _scored(context, cache, context.words.scale)}


def run_trained(context: Context[TipAdapterF]) -> dict[int, Outcome]:
    """Fill the cache and train its keys, one training a seed; then as `run`."""
    settings, seen = context.settings, views(context, context.settings.views, context.settings.augment)
    cache, text, n = _cache(context, seen), class_vectors(context), len(context.train_targets)
    images, found = normalize(torch.cat(seen), dim=1), {}
    scale = context.words.scale
    alpha = scale / n if settings.train_alpha == "scale/n" else settings.train_alpha
    for seed in context.seeds:
        shown = 1 if settings.moving_images else len(seen)  # the keys themselves have no views
        orders = drawn_orders("tip-adapter-f", seed, settings.epochs, n, views=shown, once=settings.one_order)
        keys, losses = train_keys(
            cache,
            None if settings.moving_images else images,
            labels(context).repeat(len(seen)),
            text,
            steps_of(orders, settings.batch_size, settings.schedule),
            rate=settings.learning_rate,
            scale=scale,
            alpha=float(alpha),
            beta=settings.train_beta,
            weight_decay=settings.weight_decay,
            eps=settings.eps,
        )
        history = {"step": list(range(len(losses))), "loss": losses}
        trained = Cache(keys, cache.values)
        found[seed] = _scored(context, trained, settings.test_scale or scale, history=history)
    return found


def _cache(context: Context[TipAdapter], seen: list[Tensor]) -> Cache:
    return cache_of(seen, labels(context), context.classes, even=context.settings.even)


@dataclass(frozen=True)
class _Chosen:
    """Weight and sharpness of the cache, and how they came about."""

    alpha: float
    beta: float
    value: float | None
    selection: dict[str, Any]
    warnings: tuple[str, ...] = ()


def _scored(context: Context[TipAdapter], cache: Cache, scale: float, **more: Any) -> Outcome:
    text = class_vectors(context)
    chosen = _chosen(context, cache, text, scale)
    return outcome(
        context,
        lambda found: logits(normalize(found, dim=1), text, cache, scale=scale, alpha=chosen.alpha, beta=chosen.beta),
        chosen={"alpha": chosen.alpha, "beta": chosen.beta, "val": chosen.value, "keys": len(cache.keys)},
        selection=chosen.selection,
        warnings=chosen.warnings,
        **more,
    )


def _chosen(context: Context[TipAdapter], cache: Cache, text: Tensor, scale: float) -> _Chosen:
    """Search alpha and beta on validation; without validation, or if they are fixed, take the settings' own."""
    settings = context.settings
    if not settings.search or not may_choose(context):
        said = f"alpha {settings.alpha:g} and beta {settings.beta:g} are fixed: no validation data used"
        return _Chosen(settings.alpha, settings.beta, None, {"by": said}, (said,))
    tried = Grid(grid(settings.beta_most, settings.betas), grid(settings.alpha_most, settings.alphas))
    val = normalize(raw(context, "val"), dim=1)
    zero_shot, near, targets = scale * (val @ text.T), val @ cache.keys.T, labels(context, "val")
    values = accuracies(zero_shot, near, cache.values, targets, tried).double().cpu().numpy().ravel()
    best = int(best_of(values, Criterion("accuracy"), "alpha and beta")[0])  # of equals the first: beta outside
    ties = np.flatnonzero(values == values[best])
    if settings.ties == FALL_BACK and len(ties) > 1:
        losses = cross_entropies(zero_shot, near, cache.values, targets, tried, ties.tolist())
        best = int(ties[best_of(losses.double().cpu().numpy(), Criterion(FALL_BACK), "alpha and beta")[0]])
    beta, alpha = tried.pair(best)
    selection = {
        "by": "accuracy on validation",
        "ties": len(ties),
        "of_ties": "the first" if settings.ties == "first" else "the lowest log loss",
        "settings": len(values),
        "at_edge": [
            name
            for name, value, all_of in (("alpha", alpha, tried.alphas), ("beta", beta, tried.betas))
            if len(all_of) > 2 and value in (all_of[0], all_of[-1])
        ],
    }
    return _Chosen(alpha, beta, finite(values[best]), selection, _warnings(len(ties), values, selection["at_edge"]))


def _warnings(ties: int, values: np.ndarray, edges: Any) -> tuple[str, ...]:
    found = []
    if ties > 1:
        found.append(f"{ties} of {len(values)} pairs of alpha and beta have the best accuracy on validation")
    if edges and ties < len(values):
        found.append(f"the best {' and '.join(edges)} at the edge of the grid: a wider grid may do better")
    return tuple(found)
