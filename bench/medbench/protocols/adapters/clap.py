"""ZS-LP and CLAP (Silva-Rodríguez et al., CVPR 2024): linear probes that start at the classes' texts.

One recipe for all data sets and shots, the last epoch, and no validation image: nothing is chosen. The fits of all
shots and seeds of a request are one batched problem.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import normalize

from medbench.cards.recipes import Clap, ZsLp
from medbench.protocols.adapters.parts import labels, outcome, views
from medbench.protocols.context import Context, Outcome
from medbench.training.adapters.clap import Fit, Fitted, logits, strengths, train
from medbench.training.adapters.steps import drawn_orders, steps_of

UNCHOSEN = "no validation data used"


def run(context: Context[ZsLp]) -> dict[int, Outcome]:
    """Train the probes of all jobs that differ in shots and split alone, and score this one's."""
    solve = functools.partial(_solved, context.settings)
    fitted: dict[int, Fitted] = context.together(solve) if context.together else solve([context])[0]
    return {seed: _scored(context, fitted[seed]) for seed in context.seeds}


def _solved(settings: ZsLp, contexts: Sequence[Context[Any]]) -> list[dict[int, Fitted]]:
    """Return the probes of each job, by seed."""
    asked = [
        (job, seed, _fit(settings, context, seed)) for job, context in enumerate(contexts) for seed in context.seeds
    ]
    found: list[dict[int, Fitted]] = [{} for _ in contexts]
    for (job, seed, _), one in zip(asked, train([fit for _, _, fit in asked]), strict=True):
        found[job][seed] = one
    return found


def _fit(settings: ZsLp, context: Context[Any], seed: int) -> Fit:
    seen = views(context, settings.views, settings.augment)
    images, classes = normalize(torch.cat(seen), dim=1), labels(context).repeat(len(seen))
    text, scale = torch.from_numpy(context.words.prototypes()).to(context.device), context.words.scale
    held = isinstance(settings, Clap)
    orders = drawn_orders("clap", seed, settings.epochs, len(images))
    return Fit(
        images,
        classes,
        text,
        strengths(images, classes, text, scale) if held else torch.zeros_like(text[:, 0]),
        scale,
        steps_of(orders, settings.batch_size, "warm"),
        settings.learning_rate,
    )


def _scored(context: Context[ZsLp], fitted: Fitted) -> Outcome:
    losses, penalties = fitted.losses.tolist(), fitted.penalties.tolist()
    return outcome(
        context,
        lambda found: logits(normalize(found, dim=1), fitted.prototypes, context.words.scale),
        chosen={"images": len(context.train_targets)},
        selection={"by": UNCHOSEN, "epoch": "last"},
        warnings=(UNCHOSEN,),
        history={"step": list(range(len(losses))), "loss": losses, "penalty": penalties},
    )
