"""A linear head on frozen features, WACV 2024's recipe (Palés Huix et al., section 3).

The encoder is frozen and in eval mode, so the features of a view do not depend on batch or order: a bank of views is
extracted once, and the heads of all seeds x learning rates are trained on it together (`training.heads.grid`). The
learning rate with the highest mean over seeds of the best validation metric is chosen; each seed's record has its head
at that rate.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from medbench.cards.recipes import LinearFrozen
from medbench.protocols.context import Context, Outcome
from medbench.training.heads.grid import GridResult, Problem, train_grid
from medbench.training.heads.linear import predict
from medbench.training.selection import Choice, choose, finite


def run(context: Context[LinearFrozen]) -> dict[int, Outcome]:
    """Train the grid, choose the rate on validation, score validation and test with the chosen heads."""
    settings, by = context.settings, context.criterion
    targets = torch.from_numpy(np.ascontiguousarray(context.train_targets))
    val = torch.from_numpy(np.array(context.inputs.clean("val")))
    problem = Problem(
        train=context.inputs.views(settings.views, settings.augment),
        train_targets=targets.float() if context.multilabel else targets.long(),
        val=val,
        val_targets=context.val_targets,
        classes=context.classes,
        metric=by.metric,
    )
    trained = train_grid(problem, settings, context.seeds, context.device, context.partial / "grid.safetensors")
    test = torch.from_numpy(np.array(context.inputs.clean("test")))
    s, heads, c, _ = trained.weight.shape
    with torch.inference_mode():
        flat = trained.weight.reshape(s * heads, c, -1)
        log_odds = predict(flat, val.to(context.device), multilabel=context.multilabel).reshape(s, heads, -1, c)
        choice = choose(
            trained.best,
            log_odds,
            context.val_targets,
            by,
            {"learning rate": settings.learning_rates},
            context.val_groups,
        )
        winners = trained.weight[:, choice.winner].contiguous()
        tested = predict(winners, test.to(context.device), multilabel=context.multilabel)
    labels = [{"learning_rate": rate} for rate in settings.learning_rates]
    counts = {"trainable_parameters": trained.weight[0, 0].numel()}
    return grid_outcomes(context.seeds, labels, trained, choice, log_odds, tested, counts)


def grid_outcomes(
    seeds: list[int],
    labels: list[dict[str, float]],
    trained: GridResult,
    choice: Choice,
    log_odds: NDArray[np.float64],
    tested: NDArray[np.float64],
    counts: Mapping[str, float],
) -> dict[int, Outcome]:
    """Return the outcome of each seed at the candidate that was chosen for all.

    Args:
        seeds: The s seeds.
        labels: Hyper-parameters of each of the l candidates, by name.
        trained: The heads.
        choice: The chosen candidate.
        log_odds: Of the validation images by all heads, (s, l, m, c).
        tested: Of the test images by the chosen heads, (s, t, c).
        counts: Costs and counts of each seed.
    """
    return {
        seed: Outcome(
            log_odds_val=log_odds[i, choice.winner],
            log_odds_test=tested[i],
            chosen=_chosen(labels, trained, choice, i),
            selection=_selection(labels, trained, choice, i, seeds),
            history=_history(labels, trained, i),
            warnings=choice.warnings,
            counts=counts,
        )
        for i, seed in enumerate(seeds)
    }


def _chosen(labels: list[dict[str, float]], trained: GridResult, choice: Choice, i: int) -> dict[str, object]:
    return {
        **labels[choice.winner],
        "epoch": int(trained.best_epoch[i, choice.winner]),
        "step": int(trained.best_epoch[i, choice.winner] + 1) * trained.steps,
        "val": finite(trained.best[i, choice.winner]),
    }


def _selection(
    labels: list[dict[str, float]], trained: GridResult, choice: Choice, i: int, seeds: list[int]
) -> dict[str, object]:
    return {
        "by": "mean over seeds of the best epoch's validation metric",
        "seeds": seeds,
        "gap": finite(choice.gap),
        "gap_error": finite(choice.error),
        "candidates": [
            {
                **label,
                "mean": finite(trained.best[:, j].mean()),
                "best": finite(trained.best[i, j]),
                "epoch": int(trained.best_epoch[i, j]),
                "curve": [finite(v) for v in trained.curve[:, i, j]],
            }
            for j, label in enumerate(labels)
        ],
    }


def _history(labels: list[dict[str, float]], trained: GridResult, i: int) -> dict[str, list[object]]:
    epochs = len(trained.curve)
    pairs = [(j, e) for j in range(len(labels)) for e in range(epochs)]
    names = [label["learning_rate"] if len(label) == 1 else _spelt(label) for label in labels]

    def column(values: NDArray[np.float64]) -> list[object]:
        return [float(values[e, i, j]) for j, e in pairs]

    return {
        "candidate": [names[j] for j, _ in pairs],
        "epoch": [e for _, e in pairs],
        "loss": column(trained.loss),
        "val": column(trained.curve),
        "learning_rate": column(trained.rate),
    }


def _spelt(label: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in label.items())
