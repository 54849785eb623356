"""Encoder and linear head fine-tuned together (WACV 2024, Table 2; RETFound's and FLAIR's recipes as presets)."""

from __future__ import annotations

import torch

from medbench.cards.recipes import Trained
from medbench.protocols.base import Context, Outcome
from medbench.protocols.tuning import Built, checkpointed, tune
from medbench.training.networks import Classifier, leave_out_unused, linear_head, thaw
from medbench.training.task import Source


def run(context: Context) -> dict[int, Outcome]:
    """Fine-tune everything."""
    return tune(context, lambda seed: whole(context, seed))


def whole(context: Context, seed: int, head: tuple[torch.Tensor, torch.Tensor] | None = None) -> Built:
    """Return an encoder and a linear head, all of it trained.

    Args:
        context: The job.
        seed: Of the head's first weights and of the data's order.
        head: First weight (c, d) and bias (c,); None: drawn.
    """
    settings, inputs = context.settings, context.inputs
    assert isinstance(settings, Trained)
    encoder = inputs.encoder(drop_path=settings.drop_path)
    encoder.set_grad_checkpointing(checkpointed(context, inputs.image_size))
    thaw(encoder)
    last = linear_head(encoder.dim, context.classes, seed, settings.head_std)
    if head is not None:
        with torch.no_grad():
            last.weight.copy_(head[0])
            last.bias.copy_(head[1])
    network = Classifier(encoder, last).to(context.device)
    leave_out_unused(network, sample(context))
    return Built(network, pictures(context, seed))


def pictures(context: Context, seed: int) -> Source:
    """Return the images as a training sees them: augmented for training, clean for validation and test."""
    inputs = context.inputs
    return Source(inputs.drawn(seed), inputs.images("val"), inputs.images("test"), inputs.normalise)


def sample(context: Context) -> torch.Tensor:
    """Return one clean image as a network's input, (1, c, h, w)."""
    return context.inputs.normalise(context.inputs.images("val")[[0]].to(context.device))
