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
from medbench.training.heads.logistic import Logistic, fit_logistic
from medbench.training.selection import Criterion, choose


def run(context: Context[LpFt]) -> dict[int, Outcome]:
    """Fit the regression on clean training features, choose its strength on validation, fine-tune from there."""
    strength, fitted, warnings = _regression(context)
    head = torch.from_numpy(fitted.weight).float(), torch.from_numpy(fitted.bias).float()
    found = tune(context, lambda seed: whole(context, seed, head))
    return {
        seed: dataclasses.replace(
            outcome, chosen={**outcome.chosen, "C": strength}, warnings=(*warnings, *outcome.warnings)
        )
        for seed, outcome in found.items()
    }


def _regression(context: Context[LpFt]) -> tuple[float, Logistic, tuple[str, ...]]:
    """Return the best strength on validation, the first of equals, with its fit and what a reader must know of both."""
    settings = context.settings
    by = context.criterion if len(settings.C) > 1 else Criterion(context.metric)
    train, val = (np.asarray(context.inputs.clean(split)) for split in ("train", "val"))
    fits = fit_logistic(
        train,
        context.train_targets,
        context.classes,
        C=settings.C,
        balanced=settings.balanced,
        scale=settings.scale,
        max_iter=settings.max_iter,
    )
    heads = np.stack([np.concatenate([fit.weight, fit.bias[:, None]], axis=1) for fit in fits])
    log_odds = predict(torch.from_numpy(heads).float(), torch.from_numpy(val).float(), multilabel=context.multilabel)
    values = metrics.score_many(by.metric, metrics.scores_for(by.metric, log_odds), context.val_targets)
    choice = choose(values[None], log_odds[None], context.val_targets, by, {"C": settings.C}, context.val_groups)
    best = fits[choice.winner]
    return settings.C[choice.winner], best, (*choice.warnings, *best.warnings)
