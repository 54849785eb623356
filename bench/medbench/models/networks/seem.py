"""SEEM's image backbone, Focal-Tiny: FocalNet with two more 3 x 3 depth-wise convolutions per block ("focal_dw").

Own code, because no library has it: timm's FocalNet lacks these convolutions, pads the stem by 2 instead of 3, and
normalises a branch before the sum, not the sum. Parameters have the names of the official file after its `backbone.`.
Sizes and the order of operations are those of SEEM's focal_dw.py and focalt_unicl_lang_v0.yaml (Zou et al., NeurIPS
2023), after "Focal Modulation Networks" (Yang et al., NeurIPS 2022). All maps are (b, h, w, c): linear layers and norms
take them as they are, convolutions take a permuted view, which is their channels-last layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, pad

from medbench.errors import MedbenchError

KERNELS = (3, 5, 7)
"""Sides of the context convolutions of a block: three focal levels, from a window of 3, each 2 wider than the last."""
LAYER_SCALE = 1e-4
"""First value of the layer scales."""
GreyStem = Literal["whole", "bare"]


def _convolved(convolution: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution to a map (b, h, w, c); returns (b, h', w', d)."""
    found: Tensor = convolution(x.permute(0, 3, 1, 2))
    return found.permute(0, 2, 3, 1)


class Embed(nn.Module):
    """A strided convolution, then a layer norm: the stem, and the step from one stage to the next.

    The official code first pads the right and bottom with zeros to a multiple of the stride. With a kernel of
    2 * stride - 1 and half of it as padding, the convolution pads the same zeros: a side of n gives ceil(n / stride).
    """

    output_fmt = "NHWC"

    def __init__(self, in_chans: int, dim: int, stride: int, bare: bool = False) -> None:
        super().__init__()
        side = 2 * stride - 1
        self.proj = nn.Conv2d(in_chans, dim, side, stride, padding=0 if bare else side // 2)
        self.norm = nn.LayerNorm(dim)
        self.bare = bare

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedded map (b, h', w', d) of a map (b, h, w, c)."""
        if self.bare:
            return _convolved(self.proj, pad(x, (0, 0, 0, -x.shape[2] % 4, 0, -x.shape[1] % 4))).contiguous()
        found: Tensor = self.norm(_convolved(self.proj, x).contiguous())
        return found


class FocalModulation(nn.Module):
    """The query of each position, multiplied by its context at several scales."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.levels = len(KERNELS) + 1  # the last level is the mean of the map
        self.parts = [dim, dim, self.levels]  # outputs of `f`: query, context, gates
        self.f = nn.Linear(dim, sum(self.parts))
        self.h = nn.Conv2d(dim, dim, 1)
        self.proj = nn.Linear(dim, dim)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, k, padding=k // 2, groups=dim, bias=False), nn.GELU()) for k in KERNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the modulated map, (b, h, w, c) like x."""
        query, context, gates = self.f(x).split(self.parts, dim=-1)
        gates = gates / self.levels  # mean over levels (SEEM's scaling_modulator), where it is cheapest
        total = 0.0
        for i, layer in enumerate(self.focal_layers):
            context = _convolved(layer, context)
            total = total + context * gates[..., i : i + 1]
        total = total + gelu(context.mean(dim=(1, 2), keepdim=True)) * gates[..., -1:]
        found: Tensor = self.proj(query * linear(total, self.h.weight.flatten(1), self.h.bias))
        return found


class FocalBlock(nn.Module):
    """A residual block: modulation, then a perceptron, each between a depth-wise convolution and a norm."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.full((dim,), LAYER_SCALE))
        self.gamma_2 = nn.Parameter(torch.full((dim,), LAYER_SCALE))
        self.dw1 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.dw2 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.modulation = FocalModulation(dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next map, (b, h, w, c) like x."""
        x = x + _convolved(self.dw1, x)
        x = self.norm1(torch.addcmul(x, self.gamma_1, self.drop_path(self.modulation(x))))
        x = x + _convolved(self.dw2, x)
        found: Tensor = self.norm2(torch.addcmul(x, self.gamma_2, self.drop_path(self.mlp(x))))
        return found


class Stage(nn.Module):
    """Blocks of one width, and the step to the next stage, which the network applies."""

    def __init__(self, dim: int, drop_paths: Sequence[float], last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FocalBlock(dim, rate) for rate in drop_paths)
        self.downsample: Embed | None = None if last else Embed(dim, 2 * dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the blocks' output, (b, h, w, c) like x."""
        for block in self.blocks:
            x = block(x)
        return x


class SeemFocalNet(nn.Module):
    """Stages of focal blocks, with timm's names.

    Attributes:
        layers: The stages, each (b, h, w, c) -> (b, h, w, c): the units that freezing and truncation count.
        num_features: Width of the last stage.

    Args:
        in_chans: Channels of the input.
        embed_dim: Width of the first stage; each next one is twice as wide.
        depths: Blocks of each stage.
        drop_path_rate: Stochastic depth of the last block in training; it grows linearly from 0 at the first block.
        grey_stem: The stem for one-channel input. `whole`: the official stem. `bare`: the stem in the code of WACV 2024
            (Q3), without padding and without norm: at 224 pixels its grid is 55 x 55 instead of 56 x 56. As there, a
            side that is not a multiple of 4 is first padded with zeros, right and bottom.
        num_classes: 0, because there is no classifier.

    Raises:
        ValueError: `num_classes` is not 0, or `grey_stem` is unknown.
    """

    output_fmt = "NHWC"

    def __init__(
        self,
        in_chans: int = 3,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        drop_path_rate: float = 0.3,
        grey_stem: GreyStem = "whole",
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        if num_classes:
            raise ValueError(f"num_classes {num_classes}: SEEM's backbone has no classifier")
        if grey_stem not in get_args(GreyStem):
            raise ValueError(f"grey_stem '{grey_stem}' is not one of {', '.join(get_args(GreyStem))}")
        self.num_classes = num_classes
        self.default_cfg = {"first_conv": "patch_embed.proj"}
        self.patch_embed = Embed(in_chans, embed_dim, 4, bare=grey_stem == "bare" and in_chans == 1)
        total = sum(depths)
        rates = [drop_path_rate * i / max(total - 1, 1) for i in range(total)]
        self.layers = nn.ModuleList()
        for i, depth in enumerate(depths):
            done, dim = sum(depths[:i]), embed_dim * 2**i
            self.layers.append(Stage(dim, rates[done : done + depth], last=i == len(depths) - 1))
            self.add_module(f"norm{i}", nn.LayerNorm(dim))

    @property
    def norm(self) -> nn.LayerNorm:
        """The norm after the last stage."""
        return self.get_submodule(f"norm{len(self.layers) - 1}")  # type: ignore[return-value]

    @property
    def num_features(self) -> int:
        """Width d of the last stage."""
        return self.norm.normalized_shape[0]

    def truncate(self, units: int) -> None:
        """Keep the first `units` stages; the features are then the output of the last one after its own norm.

        Raises:
            MedbenchError: `units` is below 1, or more than the number of stages.
        """
        held = len(self.layers)
        if not 1 <= units <= held:
            raise MedbenchError(f"SEEM has {held} stages, so it cannot keep {units}", f"keep 1 to {held}")
        for i in range(units, held):
            delattr(self, f"norm{i}")
        self.layers = self.layers[:units]
        last = self.layers[-1]
        assert isinstance(last, Stage)
        last.downsample = None

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last stage's map after its norm, (b, h, w, d), of images (b, c, H, W).

        With the official stem, a side H gives ceil(H / 4) after the first stage and ceil(H / 32) after the fourth.
        """
        x = self.patch_embed(x.permute(0, 2, 3, 1))
        for stage in self.layers:
            x = stage(x)
            if isinstance(stage.downsample, Embed):
                x = stage.downsample(x)
        found: Tensor = self.norm(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over the last map, (b, d), of images (b, c, H, W)."""
        return self.forward_features(x).mean(dim=(1, 2))


def seem_focal_tiny(in_chans: int, **args: Any) -> SeemFocalNet:
    """Return SEEM's Focal-Tiny: 29,922,288 parameters; `args` are those of `SeemFocalNet`."""
    return SeemFocalNet(in_chans, **args)
