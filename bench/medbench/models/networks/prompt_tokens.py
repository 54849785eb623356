"""Learned tokens next to the patch tokens of a transformer: visual prompt tuning (Jia et al., 2022), own code.

The prompts follow the class and register tokens in front of the patch tokens. They get no position, and they are
removed after the last block, so that every pooled feature is made of the encoder's own tokens.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from medbench.errors import CardError
from medbench.models.encoder import Encoder
from medbench.seeding import seed_of

REFUSED = (RuntimeError, ValueError, IndexError, AssertionError, TypeError)
"""Errors of blocks that accept only a fixed number of tokens."""


class Prompts(nn.Module):
    """The learned tokens.

    Attributes:
        values: (k, p, d) for p prompts before each of k blocks.
    """

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)


def add_prompts(encoder: Encoder, one: Tensor, number: int, seed: int, *, deep: bool) -> None:
    """Insert prompts into a frozen encoder, in place; they alone get gradients.

    First values are U(-v, v), v = sqrt(6 / (3 s^2 + d)) for patches of s pixels and tokens of length d, as in VPT.

    Args:
        encoder: The encoder.
        one: An image as its input, (1, c, h, w).
        number: Number p of prompts.
        seed: Names the draw.
        deep: New prompts before each block, which replace those of the block before it; else only before the first.

    Raises:
        CardError: The blocks accept no tokens, or no additional ones.
    """
    tokens, prefix = _checked(encoder, one), encoder.prefix
    blocks, width = encoder.blocks, tokens.shape[-1]
    source = torch.Generator().manual_seed(seed_of("training", "prompts", seed))
    side = one.shape[-1] / math.sqrt(max(tokens.shape[1] - prefix, 1))
    bound = math.sqrt(6 / (3 * side**2 + width))
    drawn = torch.empty(len(blocks) if deep else 1, number, width).uniform_(-bound, bound, generator=source)
    prompts = Prompts(drawn.to(tokens.device))
    encoder.add_module("prompts", prompts)
    end = prefix + number

    def before(i: int) -> Any:
        def insert(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            x, *rest = inputs
            own = prompts.values[i].to(x.dtype).expand(len(x), -1, -1)
            return (torch.cat([x[:, :prefix], own, x[:, end if i else prefix :]], dim=1), *rest)

        return insert

    def remove(module: nn.Module, inputs: object, output: Any) -> Any:
        x = output[0] if isinstance(output, tuple) else output
        kept = torch.cat([x[:, :prefix], x[:, end:]], dim=1)
        return (kept, *output[1:]) if isinstance(output, tuple) else kept

    for i, block in enumerate(blocks[: len(drawn)]):
        block.register_forward_pre_hook(before(i))
    blocks[-1].register_forward_hook(remove)
    for module in (inner for block in blocks for inner in block.modules()):
        if isinstance(held := getattr(module, "num_prefix_tokens", None), int):
            module.num_prefix_tokens = held + number  # type: ignore[assignment]  # rotary positions skip the prompts
    _tried(encoder, one)


def _checked(encoder: Encoder, one: Tensor) -> Tensor:
    """Return the tokens that enter the first block, (1, n, d)."""
    seen: list[Any] = []
    first = encoder.blocks[0] if encoder.blocks else encoder.network
    handle = first.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs[:1]))
    try:
        with torch.inference_mode():
            encoder.pooled(one)
    finally:
        handle.remove()
    if not encoder.sequential or not seen or not isinstance(seen[0], Tensor) or seen[0].ndim != 3:
        raise CardError(
            f"visual-prompt: {encoder.card.name} has no sequence of tokens to add prompts to",
            "run it on a vision transformer, or run lora, bitfit or norm-tuning",
        )
    return seen[0]


def _tried(encoder: Encoder, one: Tensor) -> None:
    try:
        with torch.inference_mode():
            encoder.pooled(one)
    except REFUSED as error:
        raise CardError(
            f"visual-prompt: the blocks of {encoder.card.name} accept no additional tokens: {error}",
            "run lora, bitfit or norm-tuning",
        ) from error
