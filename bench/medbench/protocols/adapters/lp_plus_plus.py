"""LP++ (Huang et al., CVPR 2024): a linear probe with the texts' logits added, whose step sizes come from the data.

The authors keep the last epoch of the best accuracy on validation, which has as many images as train (`best_epoch`);
otherwise, and without validation, the last epoch is kept.
"""

from __future__ import annotations

import numpy as np
from torch.nn.functional import normalize

from medbench.cards.recipes import LpPlusPlus
from medbench.protocols.adapters.parts import class_vectors, labels, may_choose, outcome, raw
from medbench.protocols.context import Context, Outcome
from medbench.training.adapters.lp_plus_plus import drawn_bias, initial, train
from medbench.training.selection import Criterion, best_of, finite


def run(context: Context[LpPlusPlus]) -> dict[int, Outcome]:
    """Train one probe a seed, choose its epoch on validation, score test once."""
    return {seed: _seed(context, seed) for seed in context.seeds}


def _seed(context: Context[LpPlusPlus], seed: int) -> Outcome:
    settings, text = context.settings, class_vectors(context)
    images, val = (normalize(raw(context, split), dim=1) for split in ("train", "val"))
    own, held = labels(context), labels(context, "val")
    start = initial(images, own, text, drawn_bias(seed, *text.shape).to(context.device))
    probes, losses = zip(*train(start, images, own, text, settings.epochs, reset=settings.reset), strict=True)
    chosen = settings.best_epoch and may_choose(context)
    values = np.full(len(probes), np.nan)
    if chosen:
        values[:] = [float((probe.logits(val, text).argmax(dim=1) == held).double().mean()) for probe in probes]
        # of equals the last, as in the authors' code
        epoch = len(probes) - 1 - int(best_of(values[::-1].copy(), Criterion("accuracy"), "epoch")[0])
    else:
        epoch = len(probes) - 1
    kept = probes[epoch]
    return outcome(
        context,
        lambda found: kept.logits(normalize(found, dim=1), text),
        chosen={"factors": kept.factors.tolist()} | ({"epoch": epoch, "val": finite(values[epoch])} if chosen else {}),
        selection={
            "by": "accuracy on validation, the last epoch of equals" if chosen else "the last epoch",
            "ties": int((values == values[epoch]).sum()) if chosen else 1,
        },
        history={"epoch": list(range(len(probes))), "loss": list(losses), "val": values.tolist()},
    )
