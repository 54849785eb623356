"""A linear head on frozen features, WACV 2024's recipe (Palés Huix et al., section 3).

The encoder is frozen and in eval mode, so the features of a view do not depend on batch or order: a bank of views is
extracted once, and the heads of all seeds x learning rates are trained on it together (`training.heads.grid`). The
learning rate with the highest mean over seeds of the best validation metric is chosen; each seed's record has its head
at that rate.
"""

from __future__ import annotations

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
            settings.learning_rates,
            "learning rate",
            context.val_groups,
        )
        winners = trained.weight[:, choice.winner].contiguous()
        tested = predict(winners, test.to(context.device), multilabel=context.multilabel)
    return {
        seed: Outcome(
            log_odds_val=log_odds[i, choice.winner],
            log_odds_test=tested[i],
            chosen=_chosen(settings, trained, choice, i),
            selection=_selection(settings, trained, choice, i, context.seeds),
            history=_history(settings, trained, i),
            warnings=choice.warnings,
        )
        for i, seed in enumerate(context.seeds)
    }


def _chosen(settings: LinearFrozen, trained: GridResult, choice: Choice, i: int) -> dict[str, object]:
    return {
        "learning_rate": settings.learning_rates[choice.winner],
        "epoch": int(trained.best_epoch[i, choice.winner]),
        "step": int(trained.best_epoch[i, choice.winner] + 1) * trained.steps,
        "val": finite(trained.best[i, choice.winner]),
    }


def _selection(
    settings: LinearFrozen, trained: GridResult, choice: Choice, i: int, seeds: list[int]
) -> dict[str, object]:
    rates = settings.learning_rates
    return {
        "by": "mean over seeds of the best epoch's validation metric",
        "seeds": seeds,
        "gap": finite(choice.gap),
        "gap_error": finite(choice.error),
        "candidates": [
            {
                "learning_rate": rate,
                "mean": finite(trained.best[:, j].mean()),
                "best": finite(trained.best[i, j]),
                "epoch": int(trained.best_epoch[i, j]),
                "curve": [finite(v) for v in trained.curve[:, i, j]],
            }
            for j, rate in enumerate(rates)
        ],
    }


def _history(settings: LinearFrozen, trained: GridResult, i: int) -> dict[str, list[object]]:
    epochs, rates = len(trained.curve), settings.learning_rates
    pairs = [(j, e) for j in range(len(rates)) for e in range(epochs)]

    def column(values: NDArray[np.float64]) -> list[object]:
        return [float(values[e, i, j]) for j, e in pairs]

    return {
        "candidate": [rates[j] for j, _ in pairs],
        "epoch": [e for _, e in pairs],
        "loss": column(trained.loss),
        "val": column(trained.curve),
        "learning_rate": column(trained.rate),
    }
