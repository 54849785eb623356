"""Logistic regression on frozen features, FLAIR's linear probe: C = 0.316, balanced classes, no scaling.

Each C is fitted on the training images and the best C is chosen on validation. With `refit` the test images are scored
by a second fit at that C on training and validation images together: FLAIR has no validation images and trains on all
images that are not test. Validation scores are always those of the first fit, and nothing is chosen after the second.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from medbench.cards.recipes import LinearProbe
from medbench.protocols.context import Context, Outcome
from medbench.training.heads.linear import predict
from medbench.training.heads.logistic import Logistic, fit_logistic
from medbench.training.selection import Choice, Criterion, choose, finite, scores_on


def run(context: Context[LinearProbe]) -> dict[int, Outcome]:
    """Fit each C on train, choose by the validation metric (the smallest C of equals), score test once."""
    settings = context.settings
    strengths = sorted(set(settings.C))
    by = context.criterion if len(strengths) > 1 else Criterion(context.metric)
    train, val = (np.asarray(context.inputs.clean(split)) for split in ("train", "val"))
    fits = _fits(context, train, context.train_targets, strengths)
    log_odds = np.stack([_log_odds(context, fit, val) for fit in fits])
    values = scores_on(context.val_targets, log_odds, by)
    choice = choose(values[None], log_odds[None], context.val_targets, by, {"C": strengths}, context.val_groups)
    best, told = choice.winner, {f"C = {c:g}": fit.warnings for c, fit in zip(strengths, fits, strict=True)}
    final = fits[best]
    if settings.refit:
        targets = np.concatenate([context.train_targets, context.val_targets])
        (final,) = _fits(context, np.concatenate([train, val]), targets, [strengths[best]])
        told["refit"] = final.warnings
    curve = [finite(value) for value in values]
    outcome = Outcome(
        log_odds_val=log_odds[best],
        log_odds_test=_log_odds(context, final, np.asarray(context.inputs.clean("test"))),
        chosen={"C": strengths[best], "val": curve[best], "refit": settings.refit},
        selection=_selection(settings, strengths, curve, choice),
        history={"C": strengths, "val": [float(value) for value in values]},
        warnings=(*choice.warnings, *_warnings(told)),
    )
    return {context.seeds[0]: outcome}


def _fits(
    context: Context[LinearProbe], features: NDArray[np.floating], targets: NDArray[np.integer], C: list[float]
) -> list[Logistic]:
    settings = context.settings
    return fit_logistic(
        features,
        targets,
        context.classes,
        C=C,
        balanced=settings.balanced,
        scale=settings.scale,
        max_iter=settings.max_iter,
    )


def _log_odds(context: Context[LinearProbe], fit: Logistic, features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the classes' log-odds (n, c), computed in double precision."""
    head = torch.from_numpy(np.concatenate([fit.weight, fit.bias[:, None]], axis=1))
    found: NDArray[np.float64] = predict(
        head[None], torch.from_numpy(features.astype(np.float64)), multilabel=context.multilabel
    )[0]
    return found


def _selection(
    settings: LinearProbe, strengths: list[float], curve: list[float | None], choice: Choice
) -> dict[str, object]:
    return {
        "by": "validation metric of the fit on train alone",
        "test": "fit on train and val at the chosen C" if settings.refit else "fit on train alone",
        "gap": finite(choice.gap),
        "gap_error": finite(choice.error),
        "candidates": [{"C": c, "val": value} for c, value in zip(strengths, curve, strict=True)],
    }


def _warnings(told: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return each text once, after the names of its fits unless it is a warning of all fits."""
    texts = dict.fromkeys(text for found in told.values() for text in found)
    of = {text: [fit for fit, found in told.items() if text in found] for text in texts}
    return tuple(text if len(fits) == len(told) else f"{', '.join(fits)}: {text}" for text, fits in of.items())
