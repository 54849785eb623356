"""Linear probing, then fine-tuning: logistic regression gives the initial head (Kumar et al. 2022; FLAIR's LP-FT).

FLAIR's own code does this only for two classes (it takes every head for one logit); here it works for any number.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from medbench import metrics
from medbench.cards.recipes import LpFt
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import tune, whole
from medbench.training.heads.linear import predict
from medbench.training.heads.logistic import fit_logistic


def run(context: Context[LpFt]) -> dict[int, Outcome]:
    """Fit the regression on clean training features, choose its strength on validation, fine-tune from there."""
    settings = context.settings
    head, strength, warnings = _regression(context, settings)
    found = tune(context, lambda seed: whole(context, seed, head))
    return {
        seed: dataclasses.replace(
            outcome, chosen={**outcome.chosen, "C": strength}, warnings=(*warnings, *outcome.warnings)
        )
        for seed, outcome in found.items()
    }


def _regression(
    context: Context[LpFt], settings: LpFt
) -> tuple[tuple[torch.Tensor, torch.Tensor], float, tuple[str, ...]]:
    """Return the head (weight, bias) of the best strength on validation, the first of equals, that, and warnings."""
    train, val = (np.asarray(context.inputs.clean(split)) for split in ("train", "val"))
    kept: tuple[torch.Tensor, float, tuple[str, ...]] | None = None
    best = -np.inf
    for strength in settings.C:
        fitted = fit_logistic(
            train,
            context.train_targets,
            context.classes,
            C=strength,
            balanced=settings.balanced,
            scale=settings.scale,
            max_iter=settings.max_iter,
        )
        both = torch.from_numpy(np.concatenate([fitted.weight, fitted.bias[:, None]], axis=1)).float()
        scores = predict(both[None], torch.from_numpy(val).float(), multilabel=context.multilabel)[0]
        value = metrics.score(settings.select or context.metric, scores, context.val_targets)
        if kept is None or value > best:
            kept, best = (both, strength, fitted.warnings), value
    assert kept is not None
    return (kept[0][:, :-1], kept[0][:, -1]), kept[1], kept[2]
