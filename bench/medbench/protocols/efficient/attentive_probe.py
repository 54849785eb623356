"""Attentive probe: one learned query pools the frozen encoder's patch tokens for a linear head (AIM, V-JEPA).

The encoder is in eval mode, so its tokens are computed once for each image and view. The heads of all seeds, learning
rates and weight decays are trained on them together (`training.heads.attentive`). The pair of rate and decay with the
highest mean over seeds of the best validation metric is chosen, as in `linear_frozen`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from medbench.cards.recipes import AttentiveProbe
from medbench.errors import CardError, MedbenchError
from medbench.protocols.context import Context, FeatureBank, Outcome
from medbench.protocols.deit import token_outputs
from medbench.protocols.linear_frozen import grid_outcomes
from medbench.protocols.tuning import sample
from medbench.training.heads.attentive import candidates_of, train_attentive
from medbench.training.heads.grid import Problem
from medbench.training.selection import choose


def run(context: Context[AttentiveProbe]) -> dict[int, Outcome]:
    """Train the grid, choose rate and decay on validation, score validation and test with the chosen heads.

    Raises:
        CardError: The encoder has no patch tokens, or only one.
        MedbenchError: The tokens need more space than there is.
    """
    settings, by, bank = context.settings, context.criterion, _tokens(context)
    targets = torch.from_numpy(np.ascontiguousarray(context.train_targets))
    problem = Problem(
        train=bank.views,
        train_targets=targets.float() if context.multilabel else targets.long(),
        val=bank.splits["val"],
        val_targets=context.val_targets,
        classes=context.classes,
        metric=by.metric,
    )
    grid, trained = train_attentive(
        problem, settings, context.seeds, context.device, context.partial / "grid.safetensors"
    )
    labels = [{"learning_rate": rate, "weight_decay": decay} for rate, decay in candidates_of(settings)]
    with torch.inference_mode():
        log_odds = grid.predict(trained.weight, bank.splits["val"])
        values = {name.replace("_", " "): [one[name] for one in labels] for name in labels[0]}
        choice = choose(trained.best, log_odds, context.val_targets, by, values, context.val_groups)
        winners = trained.weight[:, [choice.winner]].contiguous()
        tested = grid.predict(winners, bank.splits["test"])[:, 0]
    counts = {"trainable_parameters": grid.layout.total}
    found = grid_outcomes(context.seeds, labels, trained, choice, log_odds, tested, counts)
    if not context.keep_weights:
        return found
    kept = zip(found.items(), winners[:, 0], strict=True)
    return {seed: dataclasses.replace(one, weights=grid.named(weight)) for (seed, one), weight in kept}


def _tokens(context: Context[AttentiveProbe]) -> FeatureBank:
    """Return the bank of the encoder's patch tokens."""
    settings, encoder = context.settings, context.inputs.encoder().to(context.device)
    with torch.inference_mode():
        number = encoder.tokens(sample(context)).shape[1]
    if number < 2:
        raise CardError(
            f"attentive-probe: {encoder.card.name} gives {number} patch token at {context.inputs.image_size} pixels,"
            " so there is nothing to pool",
            "use a larger --image-size, or run linear-frozen",
        )
    bank = context.inputs.bank(token_outputs(()), "tokens", settings.cache_gb, settings.views, settings.augment)
    if bank is None:
        raise MedbenchError(
            f"{number} tokens for each image and view need more than {settings.cache_gb:g} GiB, or more than half of "
            f"the free disk space",
            "use fewer views, --set views=1, or allow more space, --set cache_gb=N",
        )
    return bank
