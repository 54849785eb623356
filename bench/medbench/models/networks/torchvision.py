"""Convolutional networks of torchvision, with the names of timm that medbench uses. Parameters keep their names.

A family is supported if its modules run one after the other, give the last map, and its vector is the mean of that map.
With the argument `hidden`, the vector is what the last layer of the classifier sees (AlexNet, VGG: 4096 numbers).
It has units if no trainable module is between them, so that freezing and truncation include everything. DenseNet and
ConvNeXt (transitions between blocks), VGG and AlexNet (no blocks) have no units.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import torchvision
from torch import Tensor, nn

from medbench.errors import CardError


@dataclass(frozen=True)
class Family:
    """The structure of a family of torchvision.

    Attributes:
        body: Children that run in this order; the output of the last is the last map.
        units: Regular expression of the units, `place:Class`.
        relu: Whether torchvision applies a ReLU after the body that is not a module (DenseNet).
        normed: Whether the classifier's first module, a norm, is applied to the mean (ConvNeXt).
    """

    body: tuple[str, ...] = ("features",)
    units: str = "none"
    relu: bool = False
    normed: bool = False


FAMILIES = {
    "AlexNet": Family(),
    "ConvNeXt": Family(normed=True),
    "DenseNet": Family(relu=True),
    "EfficientNet": Family(units=r"features\.\d+:Sequential"),
    "MNASNet": Family(("layers",), r"layers\.\d+:Sequential"),
    "MobileNetV2": Family(units=r"features\.\d+:InvertedResidual"),
    "MobileNetV3": Family(units=r"features\.\d+:InvertedResidual"),
    "RegNet": Family(("stem", "trunk_output"), r"trunk_output\.block\d:AnyStage"),
    "ResNet": Family(("conv1", "bn1", "relu", "maxpool", *(f"layer{i}" for i in range(1, 5))), r"layer\d:Sequential"),
    "ShuffleNetV2": Family(("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"), r"stage\d:Sequential"),
    "SqueezeNet": Family(units=r"features\.\d+:Fire"),
    "VGG": Family(),
}
"""Class in torchvision -> structure of its networks."""


def listed() -> list[str]:
    """Return the names of torchvision's classifiers."""
    return torchvision.models.list_models(module=torchvision.models)  # type: ignore[no-any-return]


def tower(arch: str, args: dict[str, Any]) -> Tower:
    """Return a network of `listed()` without its classifier, for images (b, 3, h, w); nothing is downloaded.

    Args:
        arch: One of `listed()`.
        args: Further arguments of torchvision's constructor, and `hidden`.

    Raises:
        CardError: The family of the network is not supported, or has no hidden layers.
    """
    args = dict(args)
    hidden = bool(args.pop("hidden", False))
    if taken := sorted({"weights", "weights_backbone"} & set(args)):
        raise ValueError(f"medbench sets {taken[0]}")
    network = torchvision.models.get_model(arch, weights=None, **args)
    family = FAMILIES.get(type(network).__name__)
    if family is None:
        known = ", ".join(sorted(FAMILIES))
        raise CardError(
            f"torchvision's {arch} is a {type(network).__name__}; medbench supports {known} of torchvision",
            "use timm, which has most networks of torchvision",
        )
    if hidden and type(network).__name__ not in ("AlexNet", "VGG"):
        raise ValueError("this network has no hidden layers")
    return Tower(network, family, hidden=hidden)


class Tower(nn.Module):
    """The body of a network of torchvision, without the classifier; its parameters keep their names.

    Attributes:
        num_features: Length of the pooled vector.
    """

    def __init__(self, network: nn.Module, family: Family, *, hidden: bool = False) -> None:
        super().__init__()
        self.body = family.body
        for name in self.body:
            self.add_module(name, network.get_submodule(name))
        head = getattr(network, "classifier", None) or network.get_submodule("fc")
        if family.normed:
            self.classifier = nn.Sequential(head.get_submodule("0"))
        self.relu_behind = family.relu
        self.places = [n for n, m in self.named_modules() if re.fullmatch(family.units, f"{n}:{type(m).__name__}")]
        self.num_features = _width(head, getattr(network, "avgpool", None))
        if hidden and isinstance(head, nn.Sequential):
            self.avgpool, self.classifier = network.get_submodule("avgpool"), head[:-1]
            self.num_features = head[-1].get_parameter("weight").shape[1]
        first = next(name for name, module in self.named_modules() if isinstance(module, nn.Conv2d))
        self.default_cfg = {"first_conv": first}

    @property
    def stages(self) -> nn.ModuleList:
        """The units in order."""
        return nn.ModuleList(self.get_submodule(place) for place in self.places)

    def truncate(self, keep: int) -> bool:
        """Keep the first units and the modules before them; False: the feature is the raw map of the last unit."""
        last = self.places[keep - 1]
        outer, _, _ = last.rpartition(".")
        beside = [f"{outer}.{name}" for name, _ in self.get_submodule(outer).named_children()] if outer else [last]
        for names, mark in ((list(self.body), last.split(".")[0]), (beside, last)):
            for name in names[names.index(mark) + 1 :]:
                self.set_submodule(name, nn.Identity())
        self.places = self.places[:keep]
        return False

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last map (b, d, h, w) of images (b, c, H, W)."""
        for name in self.body:
            x = self.get_submodule(name)(x)
        return x.relu() if self.relu_behind else x

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of the last map, or what the hidden layers make of it, (b, d)."""
        if isinstance(pool := getattr(self, "avgpool", None), nn.Module):
            hidden: Tensor = self.classifier(pool(self.forward_features(x)).flatten(1))
            return hidden
        found = self.forward_features(x).mean(dim=(2, 3), keepdim=True)
        if isinstance(norm := getattr(self, "classifier", None), nn.Module):
            found = norm(found)
        return found.flatten(1)


def _width(head: nn.Module, pool: nn.Module | None) -> int:
    """Return the channels of the last map: the inputs of the classifier's first layer, per cell of the pool."""
    first = next(module for module in head.modules() if isinstance(module, nn.Linear | nn.Conv2d))
    if isinstance(first, nn.Conv2d):
        return first.in_channels
    size = getattr(pool, "output_size", 1)
    return first.in_features // (math.prod(size) if isinstance(size, tuple) else size * size)
