"""Linear probing, then fine-tuning: logistic regression copied into the head (Kumar et al. 2022; FLAIR's LP-FT).

FLAIR's own code does this for two classes alone (it takes every head for one logit); here it is for any number.
"""

from __future__ import annotations

import numpy as np
import torch

from medbench import metrics
from medbench.cards.recipes import LpFt
from medbench.protocols.base import Context, Outcome
from medbench.protocols.linear_unfrozen import whole
from medbench.protocols.tuning import tune
from medbench.training.heads import predict
from medbench.training.logistic import fit_logistic


def run(context: Context) -> dict[int, Outcome]:
    """Fit the regression on clean training features, choose its strength on validation, fine-tune from there."""
    settings = context.settings
    assert isinstance(settings, LpFt)
    head = _regression(context, settings)
    return tune(context, lambda seed: whole(context, seed, head))


def _regression(context: Context, settings: LpFt) -> tuple[torch.Tensor, torch.Tensor]:
    train, val = (np.asarray(context.inputs.clean(split)) for split in ("train", "val"))
    best, value = None, -np.inf
    for strength in settings.C:
        weight, bias = fit_logistic(
            train,
            context.train_targets,
            context.classes,
            C=strength,
            balanced=settings.balanced,
            scale=settings.scale,
            max_iter=settings.max_iter,
        )[:2]
        both = torch.from_numpy(np.concatenate([weight, bias[:, None]], axis=1)).float()
        scores = predict(both[None], torch.from_numpy(val).float(), multilabel=context.multilabel)[0]
        found = metrics.score(settings.select or context.metric, scores, context.val_targets)
        if best is None or found > value:
            best, value = both, found
    assert best is not None
    return best[:, :-1], best[:, -1]
