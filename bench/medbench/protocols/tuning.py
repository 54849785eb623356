"""What all protocols that train a network share: the search for the learning rate, the seeds, the outcome.

One training is one seed at one learning rate. The first `lr_search_seeds` seeds are trained at all rates, the rate is
chosen on validation, and the other seeds are trained at the chosen rate only. (WACV 2024 does not say on how many seeds
it searched.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medbench.cards.recipes import FinetuneRecipe, Settings
from medbench.models.encoder import Encoder
from medbench.protocols.context import Context, Outcome
from medbench.training.finetune.fit import Fit
from medbench.training.finetune.networks import Classifier, leave_out_unused, linear_head, thaw
from medbench.training.finetune.result import Fitted
from medbench.training.finetune.task import FitData, FitTask
from medbench.training.machine import Machine, agreed, frozen_digest
from medbench.training.selection import Choice, choose, finite

CHECKPOINTING_FROM = 512  # pixels: a step at 1024 then fits an 80 GB card


@dataclass(frozen=True)
class Built:
    """A new network and its data.

    Attributes:
        network: The network.
        source: Its data.
        export: Returns the weights of the trained network to keep; none: all that training changed.
    """

    network: nn.Module
    source: FitData
    export: Callable[[nn.Module], dict[str, torch.Tensor]] | None = None


Build = Callable[[int], Built]
"""Returns for a seed a new network at its initial weights, and its data."""


def tune(context: Context[FinetuneRecipe], build: Build) -> dict[int, Outcome]:
    """Search the rate, train all seeds at it, score test with the best epoch of each.

    Where an earlier run has searched, its rate is taken over, and only the further seeds are trained.
    """
    rates, task = context.settings.learning_rates, _task(context, context.settings)
    if context.chosen is not None:
        found: _Search | str = _Search(context.chosen["learning_rate"], {}, context.chosen["selection"])
    else:
        found = _Search(rates[0], {}, {}) if len(rates) == 1 else _search(context, task, build)
    if isinstance(found, str):
        return {seed: Outcome(failed=found) for seed in context.seeds}
    outcomes = {}
    for seed in context.seeds:
        at = seed, found.rate
        fits = found.fits if at in found.fits else found.fits | {at: _fit(context, task, build, *at)}
        selection = found.selection or _selection(fits, Choice(0, None, 0.0, None, context.criterion.warnings), [seed])
        outcomes[seed] = _outcome(context, task, build, fits, at, selection)
    return outcomes


@dataclass(frozen=True)
class _Search:
    """A rate, the trainings of its search by (seed, rate), and what records say of the choice."""

    rate: float
    fits: dict[tuple[int, float], Fitted]
    selection: dict[str, Any]


def _search(context: Context[FinetuneRecipe], task: FitTask, build: Build) -> _Search | str:
    """Train the searched seeds at all rates and choose one; or return why all failed."""
    rates, searched = context.settings.learning_rates, context.seeds[: context.settings.lr_search_seeds]
    fits = {(seed, rate): _fit(context, task, build, seed, rate) for seed in searched for rate in rates}
    sound = [rate for rate in rates if not any(fits[seed, rate].failed for seed in searched)] or [
        rate for rate in rates if not all(fits[seed, rate].failed for seed in searched)
    ]
    if not sound:
        return "; ".join(dict.fromkeys(fit.failed for fit in fits.values()))
    choice = _choose(context, fits, searched, sound)
    return _Search(sound[choice.winner], fits, _selection(fits, choice, searched))


def _task(context: Context[FinetuneRecipe], settings: FinetuneRecipe) -> FitTask:
    targets = torch.from_numpy(np.ascontiguousarray(context.train_targets))
    return FitTask(
        settings=settings,
        train_targets=targets.float() if context.multilabel else targets.long(),
        val_targets=context.val_targets,
        classes=context.classes,
        metric=context.criterion.metric,
        machine=machine_of(context),
    )


def machine_of(context: Context[Settings]) -> Machine:
    """Return the context's machine, which every protocol that trains has."""
    assert context.machine is not None
    return context.machine


def _fit(context: Context[FinetuneRecipe], task: FitTask, build: Build, seed: int, rate: float) -> Fitted:
    """Train one seed at one rate, or read the result if a killed run had finished it."""
    name = f"seed{seed}-{rate:g}"
    finished, state = context.partial / f"{name}.done.safetensors", context.partial / f"{name}.safetensors"
    if (known := Fitted.load(finished)) is not None:
        return known
    built = build(seed)
    before = frozen_digest(built.network)
    fitted = Fit(
        built.network, built.source, task, seed, rate, f"{context.name}, seed {seed}, learning rate {rate:g}"
    ).run(state)
    if frozen_digest(built.network) != before:
        raise AssertionError("a frozen part of the network changed while it was trained")
    if task.machine.rank == 0:
        fitted.save(finished)
        state.unlink(missing_ok=True)
    agreed(None)  # no process reads it before it is written
    return fitted


def _choose(
    context: Context[FinetuneRecipe], fits: dict[tuple[int, float], Fitted], seeds: list[int], rates: list[float]
) -> Choice:
    best = np.array([[fits[seed, rate].best for rate in rates] for seed in seeds])
    log_odds = np.stack([[fits[seed, rate].log_odds for rate in rates] for seed in seeds])
    return choose(best, log_odds, context.val_targets, context.criterion, {"learning rate": rates}, context.val_groups)


def _outcome(
    context: Context[FinetuneRecipe],
    task: FitTask,
    build: Build,
    fits: dict[tuple[int, float], Fitted],
    at: tuple[int, float],
    selection: dict[str, Any],
) -> Outcome:
    seed, rate = at
    fitted = fits[at]
    if fitted.failed:
        return Outcome(failed=fitted.failed)
    tested, kept = _test(context, task, build, fitted, seed, rate)
    return Outcome(
        log_odds_val=fitted.log_odds,
        log_odds_test=tested,
        chosen={
            "learning_rate": rate,
            "epoch": fitted.epoch,
            "step": fitted.step,
            "val": finite(fitted.best),
            "val_metric": task.metric,
        },
        selection=selection,
        history=_history({r: fit for (s, r), fit in fits.items() if s == seed}),
        warnings=(*selection["warnings"], *several(task.machine)),
        counts=dict(fitted.facts),
        weights=kept,
    )


def _test(
    context: Context[FinetuneRecipe], task: FitTask, build: Build, fitted: Fitted, seed: int, rate: float
) -> tuple[NDArray[np.float64], dict[str, torch.Tensor]]:
    """Return the log-odds of the test images by the best epoch, and the weights to keep of it."""
    built = build(seed)
    fit = Fit(built.network, built.source, task, seed, rate, context.name)
    fit.load(fitted.state)
    found = fit.test(len(built.source.test))  # type: ignore[arg-type]
    if not context.keep_weights:
        return found, {}
    return found, fitted.state if built.export is None else built.export(built.network)


def several(machine: Machine) -> tuple[str, ...]:
    """Return the warning that a record of several processes has."""
    if machine.world == 1:
        return ()
    return (
        f"trained by {machine.world} processes: statistics of batch norm, if any, differ from those of one process",
    )


def _selection(fits: dict[tuple[int, float], Fitted], choice: Choice, searched: list[int]) -> dict[str, Any]:
    rates = list(dict.fromkeys(rate for _, rate in fits))
    failed = [f"learning rate {rate:g}, seed {seed}: {fit.failed}" for (seed, rate), fit in fits.items() if fit.failed]
    return {
        "by": "mean over the searched seeds of the best epoch's validation metric",
        "seeds": searched,
        "gap": finite(choice.gap),
        "gap_error": finite(choice.error),
        "warnings": [*choice.warnings, *failed],
        "candidates": [
            {
                "learning_rate": rate,
                "mean": finite(float(np.mean([fits[seed, rate].best for seed in searched]))),
                "failed": "; ".join(dict.fromkeys(fits[s, rate].failed for s in searched if fits[s, rate].failed)),
                "curves": {str(seed): [finite(v) for v in fits[seed, rate].curve.val] for seed in searched},
            }
            for rate in rates
        ],
    }


def _history(fits: dict[float, Fitted]) -> dict[str, list[Any]]:
    rows = [(rate, epoch, fit.curve) for rate, fit in fits.items() for epoch in range(len(fit.curve.val))]
    return {
        "candidate": [rate for rate, _, _ in rows],
        "epoch": [epoch for _, epoch, _ in rows],
        "step": [curve.step[epoch] for _, epoch, curve in rows],
        "loss": [curve.loss[epoch] for _, epoch, curve in rows],
        "val": [curve.val[epoch] for _, epoch, curve in rows],
        "learning_rate": [curve.rate[epoch] for _, epoch, curve in rows],
    }


def checkpointed(context: Context[Settings], image_size: int) -> bool:
    """Tell whether the backward pass recomputes blocks (gradient checkpointing)."""
    asked = getattr(context.settings, "checkpointing", None)
    return bool(context.device.type == "cuda" and image_size >= CHECKPOINTING_FROM) if asked is None else bool(asked)


def whole(
    context: Context[FinetuneRecipe],
    seed: int,
    head: tuple[torch.Tensor, torch.Tensor] | None = None,
    prepare: Callable[[Encoder], None] = thaw,
    *,
    still: bool | None = None,
) -> Built:
    """Return an encoder and a linear head; the head is trained, and every parameter for which `prepare` sets gradients.

    Args:
        context: The job.
        seed: Seed of the head's initial weights and of the order of the data.
        head: Initial weight (c, d) and bias (c,); None: drawn.
        prepare: Chooses what is trained of a frozen encoder, and may add parameters to it; if any of the encoder's own
            parameters stay frozen, it stays in eval mode.
        still: Whether it stays in eval mode; None: as just said.
    """
    settings, inputs = context.settings, context.inputs
    encoder = inputs.encoder(drop_path=settings.drop_path).to(context.device)
    prepare(encoder)
    if still is None:
        still = not all(value.requires_grad for value in encoder.parameters())
    encoder.set_grad_checkpointing(checkpointed(context, inputs.image_size))
    last = linear_head(encoder.dim, context.classes, seed, settings.head_std)
    if head is not None:
        with torch.no_grad():
            last.weight.copy_(head[0])
            last.bias.copy_(head[1])
    network = Classifier(encoder, last, still=still).to(context.device)
    leave_out_unused(network, sample(context))
    return Built(network, pictures(context, seed))


def pictures(context: Context[FinetuneRecipe], seed: int) -> FitData:
    """Return the images: augmented for training, clean for validation and test."""
    inputs = context.inputs
    return FitData(
        inputs.drawn(seed, context.settings.views, context.settings.augment),
        inputs.images("val"),
        inputs.images("test"),
        inputs.normalise,
    )


def sample(context: Context[Settings]) -> torch.Tensor:
    """Return one clean image as a network's input, (1, c, h, w)."""
    return context.inputs.normalise(context.inputs.images("val")[[0]].to(context.device))
