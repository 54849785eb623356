"""A linear head on an encoder whose weights are frozen, but which stays in training mode.

So Doerrich et al. (2025) probe: their batch norms use the statistics of each batch and update the running ones, which
validation and test then use, and dropout is active. The images go through such an encoder in each epoch. An encoder
without batch norm and dropout gives the same features in both modes: they are then extracted once.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from medbench.cards.recipes import LinearOnline
from medbench.models.encoder import Encoder
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import Built, sample, tune, whole
from medbench.training.finetune.cached import cached_views
from medbench.training.finetune.networks import linear_head


def run(context: Context[LinearOnline]) -> dict[int, Outcome]:
    """Train the head; the encoder is in the mode of the settings."""
    settings, inputs = context.settings, context.inputs
    encoder = inputs.encoder(drop_path=settings.drop_path).to(context.device)
    if settings.views is None or not (settings.mode == "eval" or same_in_training(encoder, sample(context))):
        still = settings.mode == "eval"
        return tune(context, lambda seed: whole(context, seed, prepare=_nothing, still=still))
    views = inputs.views(settings.views, settings.augment)
    source = cached_views(views, inputs.clean("val"), inputs.clean("test"))

    def head(seed: int) -> Built:
        last = linear_head(encoder.dim, context.classes, seed, settings.head_std)
        return Built(nn.Sequential(OrderedDict(head=last)).to(context.device), source)  # with the names of `whole`

    return tune(context, head)


def same_in_training(encoder: Encoder, sample: torch.Tensor) -> bool:
    """Tell whether an encoder gives the same features in training mode; it is left in eval mode.

    Args:
        encoder: A copy that may change: batch norms do.
        sample: Images as the network's input, (b, c, h, w).
    """
    with torch.random.fork_rng(), torch.inference_mode():
        expected = encoder.eval().pooled(sample)
        found = encoder.train().pooled(sample)
    encoder.eval()
    return torch.equal(found, expected)


def _nothing(encoder: Encoder) -> None:
    """Leave a frozen encoder as it is."""
