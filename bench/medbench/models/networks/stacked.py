"""The stacked classifier of WACV 2024: a DeiT on the patch tokens of another encoder (published code, deit.py)."""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.checkpoint import checkpoint

from medbench.errors import CardError
from medbench.models.encoder import Encoder
from medbench.seeding import seed_of


class Stacked(nn.Module):
    """Projector, DeiT without its patch embedding, and head; everything is trainable, in train mode.

    A linear layer and a layer norm project tokens (b, n, d_f) to the DeiT's width w (768 in DeiT-B). They replace its
    patch embeddings, after its own class token, with its own position table at their grid. A linear head takes the
    class token after the last norm.

    Attributes:
        projector: Linear(d_f, w) and LayerNorm(w) with torch's epsilon, 1e-5.
        deit: The DeiT, without its patch embedding and head.
        head: Linear(w, classes).
    """

    def __init__(self, deit: Encoder, dim: int, classes: int, seed: int) -> None:
        """Use the network of an encoder, and draw projector and head with a seed each.

        Args:
            deit: A vision transformer of timm with one class token and a position table. Its network is not copied
                and loses its patch embedding, so the encoder cannot take images any more.
            dim: Width d_f of the tokens.
            classes: Number of outputs of the head.
            seed: Seed of the run.

        Raises:
            CardError: The network is not such a transformer.
        """
        super().__init__()
        network = _checked(deit)
        width, place = network.embed_dim, network.cls_token
        for unused in ("patch_embed", "fc_norm", "head"):
            setattr(network, unused, nn.Identity())
        norm = nn.LayerNorm(width, device=place.device, dtype=place.dtype)
        self.projector = nn.Sequential(_linear("projector", seed, dim, width, place), norm)
        self.deit = network
        self.head = _linear("head", seed, width, classes, place)
        self.checkpointing = False
        self.requires_grad_(True)
        self.train()

    @property
    def blocks(self) -> list[nn.Module]:
        """The DeiT's transformer blocks in order."""
        return list(self.deit.blocks.children())

    def set_grad_checkpointing(self, enable: bool = True) -> Stacked:
        """Keep each block's input only and compute the rest again in the backward pass, or stop doing so."""
        self.checkpointing = enable
        return self

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (b, classes) of tokens (b, n, d_f)."""
        logits: Tensor = self.head(self.features(tokens))
        return logits

    def features(self, tokens: Tensor) -> Tensor:
        """Return the class token after the last norm, (b, w), of tokens (b, n, d_f), in row-major order of the grid.

        Raises:
            CardError: The position table cannot be resized to n tokens.
        """
        net = self.deit
        x = self.projector(tokens)
        x = torch.cat([net.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = net.norm_pre(net.patch_drop(net.pos_drop(x + self._positions(tokens.shape[1]))))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointing else block(x)
        found: Tensor = net.norm(x)[:, 0]
        return found

    def _positions(self, n: int) -> Tensor:
        """Return the position table for n tokens, (1, 1 + n, w), the class token's row first.

        As in the published code it is resized in each forward pass, bicubic without antialiasing, by the scale factor
        sqrt(n / g^2), so that training changes the table of g x g. Rounding of the factor can make the resized grid too
        small (14 to 29); the published code fails then, too.
        """
        table: Tensor = self.deit.pos_embed
        own = math.isqrt(table.shape[1] - 1)
        if n == own * own:
            return table
        factor = math.sqrt(n / own**2)
        if int(own * factor) ** 2 != n:
            raise CardError(
                f"a position table of {own} x {own} cannot be resized to the {n} tokens of an image",
                "stack on an encoder, or at an --image-size, whose tokens form another, square grid",
            )
        cells = table[:, 1:].reshape(1, own, own, -1).permute(0, 3, 1, 2)
        resized = interpolate(cells, scale_factor=factor, mode="bicubic", align_corners=False)
        return torch.cat([table[:, :1], resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def _checked(deit: Encoder) -> Any:
    """Return the network of an encoder that can be stacked: it has no parts that `Stacked.features` does not call."""
    network: Any = deit.network
    fits = isinstance(network, VisionTransformer) and network.cls_token is not None and network.num_prefix_tokens == 1
    if fits and network.pos_embed is not None and network.attn_pool is None:
        cells = network.pos_embed.shape[1] - 1
        if cells > 0 and math.isqrt(cells) ** 2 == cells and not isinstance(network.norm, nn.Identity):
            return network
    raise CardError(
        f"{deit.card.name} cannot be a stacked classifier: it takes a vision transformer of timm with one class token,"
        " a square position table and a last norm",
        "stack imagenet (DeiT-B)",
    )


def _linear(name: str, seed: int, inputs: int, outputs: int, place: Tensor) -> nn.Linear:
    """Return a linear layer on the device of `place`, drawn as torch.nn.Linear: U(-1/sqrt(inputs), 1/sqrt(inputs))."""
    made = nn.Linear(inputs, outputs, device="meta", dtype=place.dtype).to_empty(device=place.device)
    source = torch.Generator().manual_seed(seed_of("stacked", name, seed))
    bound = 1 / math.sqrt(inputs)
    with torch.no_grad():
        for value in (made.weight, made.bias):
            value.copy_(torch.empty(value.shape).uniform_(-bound, bound, generator=source))
    return made
