"""A head on the frozen features of a few samples of each class, drawn anew for each seed.

- `logistic`: FLAIR's balanced logistic regression, fitted on train alone. C is chosen on as many validation samples;
  with one shot, or without validation, nothing can be chosen, and C is FLAIR's 0.316.
- `nearest-mean`: the class with the nearest mean.
- `zs-lp`: a linear probe that starts at the vectors of the classes' texts (Silva-Rodríguez et al. 2024, CLAP), on the
  clean images; the protocol of that name trains on augmented views.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from medbench.cards.recipes import FewShot, LinearProbe, NearestMean, Settings, ZsLp
from medbench.protocols import linear_probe, nearest_mean
from medbench.protocols.adapters import clap
from medbench.protocols.context import Context, Outcome

S = TypeVar("S", bound=Settings)


def run(context: Context[FewShot]) -> dict[int, Outcome]:
    """Fit the head on train, choose on validation where that can be done, score test once."""
    settings = context.settings
    if settings.head == "nearest-mean":
        return nearest_mean.run(_with(context, NearestMean(temperature=settings.temperature)))
    if settings.head == "logistic":
        return _logistic(context)
    return clap.run(_with(context, ZsLp(views=0)))


def _logistic(context: Context[FewShot]) -> dict[int, Outcome]:
    settings = context.settings
    why = _fixed(settings)
    probe = LinearProbe(
        C=[settings.C_fixed] if why else settings.C,
        balanced=settings.balanced,
        scale=settings.scale_features,
        refit=False,
        max_iter=settings.max_iter,
    )
    found = linear_probe.run(_with(context, probe))
    if not why:
        return found
    said = f"C = {settings.C_fixed:g} is fixed: {why}"
    return {
        seed: dataclasses.replace(outcome, selection={**outcome.selection, "by": said})
        for seed, outcome in found.items()
    }


def _with(context: Context[Any], settings: S) -> Context[S]:
    """Return the same job under another protocol's settings."""
    return dataclasses.replace(context, settings=settings)


def _fixed(settings: FewShot) -> str:
    """Return why C cannot be chosen; empty: it can."""
    if settings.val == "none":
        return "no validation is used"
    return "one validation sample of each class cannot choose" if settings.shots == 1 else ""
