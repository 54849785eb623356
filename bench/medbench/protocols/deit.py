"""A DeiT on top of the patch tokens of an encoder: complete or decapitated, frozen or not (WACV 2024, 1.9, Figure 5).

The tokens of a frozen encoder are computed once per image and view where that is cheaper, those of all depths in one
forward pass.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from medbench.cards.recipes import DeitFrozen, FinetuneRecipe
from medbench.features.extract import Outputs
from medbench.models.encoder import Encoder
from medbench.models.networks.stacked import Stacked
from medbench.protocols.context import Context, FeatureBank, Outcome
from medbench.protocols.tuning import Built, checkpointed, pictures, sample, tune
from medbench.training.finetune.cached import cached_views
from medbench.training.finetune.networks import OnTokens, leave_out_unused, thaw


def run(context: Context[FinetuneRecipe]) -> dict[int, Outcome]:
    """Train the stack, and the encoder below it if it is not frozen."""
    settings = context.settings
    if not isinstance(settings, DeitFrozen):
        return tune(context, lambda seed: _both(context, seed, frozen=False))
    kept = context.depth
    outputs = token_outputs(context.sweep or ((kept,) if kept else ()))
    wanted = f"tokens:{kept}" if kept else "tokens"
    bank = context.inputs.bank(outputs, wanted, settings.cache_gb, settings.views, settings.augment)
    if bank is None:
        return tune(context, lambda seed: _both(context, seed, frozen=True))
    return tune(context, lambda seed: _on_bank(context, bank, seed))


def token_outputs(kept: tuple[int, ...]) -> dict[str, Outputs]:
    """Return the outputs of a bank: the tokens at each depth, or of the whole encoder."""
    if not kept:
        return {"tokens": lambda encoder, x: [encoder.tokens(x)]}
    depths = sorted(kept)
    return {f"tokens:{k}": partial(_at_depths, kept=depths) for k in depths}


def _at_depths(encoder: Encoder, x: Tensor, kept: list[int]) -> list[Tensor]:
    return encoder.depths(x, kept)


def _encoder(context: Context[FinetuneRecipe]) -> Encoder:
    return context.inputs.encoder(units=context.depth, drop_path=context.settings.drop_path)


def _stack(context: Context[FinetuneRecipe], dim: int, seed: int) -> Stacked:
    stack = Stacked(context.inputs.second(), dim, context.classes, seed)
    return stack.set_grad_checkpointing(checkpointed(context, context.inputs.image_size))


def _both(context: Context[FinetuneRecipe], seed: int, *, frozen: bool) -> Built:
    encoder = _encoder(context).to(context.device)
    one = sample(context)
    width = encoder.tokens(one).shape[-1]
    if not frozen:
        encoder.set_grad_checkpointing(checkpointed(context, context.inputs.image_size))
        thaw(encoder)
    network = OnTokens(encoder, _stack(context, width, seed), frozen=frozen).to(context.device)
    leave_out_unused(network, one)
    return Built(network, pictures(context, seed))


def _on_bank(context: Context[FinetuneRecipe], bank: FeatureBank, seed: int) -> Built:
    tokens: NDArray[np.floating] = bank.splits["val"]
    network: nn.Module = _stack(context, tokens.shape[-1], seed).to(context.device)
    return Built(network, cached_views(bank.views, bank.splits["val"], bank.splits["test"]))
