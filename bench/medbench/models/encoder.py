"""One view of every encoder: pooled vector, patch tokens, raw blocks, and the transform that belongs to it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from medbench.cards import ModelCard, Settings
from medbench.errors import CardError, MedbenchError
from medbench.models.files import WeightsFile

if TYPE_CHECKING:
    from medbench.data.transforms import Transform


class Encoder(nn.Module):
    """A frozen network in eval mode.

    Attributes:
        card: Its card.
        weights: The file its weights are from.
        network: The library's module.
        blocks: The units that freezing, truncation and CKA count, in order.
        dim: Length d of the pooled vector.
        image_size: Side of the input.
        in_chans: Channels of the input.
        settings: What the preset decides about the transform.
    """

    def __init__(
        self,
        card: ModelCard,
        weights: WeightsFile,
        network: nn.Module,
        image_size: int,
        in_chans: int,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        self.card, self.weights, self.image_size, self.in_chans = card, weights, image_size, in_chans
        self.settings = settings or Settings()
        self.network = network
        self.blocks = units(network)
        self.prefix = int(getattr(network, "num_prefix_tokens", 0))
        self.dim = self._dim()
        self.requires_grad_(False)
        self.eval()

    @property
    def sequential(self) -> bool:
        """Whether the blocks pass tokens (b, n, d) rather than maps (b, c, h, w)."""
        return hasattr(self.network, "pos_embed") or hasattr(self.network, "num_prefix_tokens")

    def channels_last(self) -> Encoder:
        """Lay a convolutional encoder out with its channels last: up to 1.6 times faster on a CPU, equal to rounding.

        Extraction does so. It is not the default because in a very deep network rounding can add up (1e-4 in a
        ResNet-152 of noise weights, as far from the exact result as the official layout is).
        """
        return self if self.sequential else self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Return `pooled(x)`."""
        return self.pooled(x)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the vector that a linear head or k-NN sees, (b, d), of images (b, c, h, w)."""
        rule = self.card.features.pooled
        found: Tensor
        if rule == "head":
            found = self.network(x)
            return found
        last = self._last(x)
        return last[:, 0] if rule == "cls" else last[:, self.prefix :].mean(dim=1)

    def tokens(self, x: Tensor) -> Tensor:
        """Return the patch tokens that a stacked classifier sees, (b, n, d), row-major over the grid.

        Whether they have passed the last norm is the card's `features.token_norm`; a convolutional encoder's tokens
        are the places of its last map.
        """
        if self.sequential and not self.card.features.token_norm:
            return self.block(x, len(self.blocks) - 1)[:, self.prefix :]
        return self._last(x)[:, self.prefix :]

    def _last(self, x: Tensor) -> Tensor:
        """Return the network's last map, after the last norm, as rows (b, n, d), prefix tokens first."""
        last: Tensor = self.network.forward_features(x)  # type: ignore[operator]
        if last.ndim == 3:
            return last
        return last.flatten(1, 2) if _channels_end(self.network) else last.flatten(2).transpose(1, 2)

    def block(self, x: Tensor, i: int) -> Tensor:
        """Return the raw output of unit `i`, from 0: (b, n, d) with prefix tokens first, or (b, c, h, w).

        The later units are not run.
        """

        def stop(module: nn.Module, inputs: object, output: Tensor) -> None:
            raise _Reached(output)

        if not 0 <= i < len(self.blocks):
            raise MedbenchError(f"{self.card.name} has {len(self.blocks)} units; there is no unit {i}", "count from 0")
        handle = self.blocks[i].register_forward_hook(stop)
        try:
            self.network.forward_features(x)  # type: ignore[operator]
        except _Reached as reached:
            found = reached.output
            return found.flatten(1, 2) if found.ndim == 4 and _blocks_end(self.network) else found
        finally:
            handle.remove()
        raise CardError(f"unit {i} of {self.card.name} is not passed by its forward", "report this card")

    @property
    def transform(self) -> Transform:
        """The evaluation transform, PIL image -> (c, h, w) float32, with the model's own mean and deviation.

        A run uses the data set's statistics where the preset says so, on the same pixels.
        """
        from medbench.data.store import rule_of
        from medbench.data.transforms import Transform

        mean, std = self.card.input.mean, self.card.input.std
        if len(mean) != self.in_chans:
            mean, std = ([sum(v) / len(v)] * self.in_chans for v in (mean, std))
        return Transform(rule_of(self.settings, self.image_size, self.in_chans), self.image_size, mean, std)

    def state_digest(self) -> str:
        """Return a digest over all parameters and buffers: the same before and after means unchanged."""
        found = 0
        for name, value in self.network.state_dict().items():
            found = zlib.crc32(name.encode(), found)
            flat = value.detach().cpu().contiguous().reshape(-1)
            found = zlib.crc32(flat.view(torch.uint8).numpy() if flat.numel() else b"", found)
        return f"{found:08x}"

    def _dim(self) -> int:
        network = self.network
        classes = int(getattr(network, "num_classes", 0) or 0)
        if self.card.features.pooled != "head":
            found = int(network.num_features)  # type: ignore[arg-type]
        else:
            found = classes or int(getattr(network, "head_hidden_size", 0) or network.num_features)  # type: ignore[arg-type]
        if self.card.features.dim not in (None, found):
            raise CardError(
                f"model card {self.card.name}: features.dim is {self.card.features.dim}, the network gives {found}",
                "mend the card: another architecture, or another pooling",
            )
        return found


def _channels_end(network: nn.Module) -> bool:
    """Tell whether the last map of a network is (b, h, w, c), as in a Swin."""
    return getattr(network, "output_fmt", "") == "NHWC"


def _blocks_end(network: nn.Module) -> bool:
    """Tell whether maps between the blocks of a network are (b, h, w, c): in a Swin, and in SAM."""
    return getattr(getattr(network, "patch_embed", None), "output_fmt", "") == "NHWC"


class _Reached(Exception):  # noqa: N818 - not an error: it ends a forward pass at the wanted block
    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


def units(network: nn.Module) -> list[nn.Module]:
    """Return the units of a network: transformer blocks, or the stages of a convolutional one."""
    for name in ("blocks", "stages", "layers"):
        held = getattr(network, name, None)
        if isinstance(held, nn.Sequential | nn.ModuleList):
            return list(held.children())
    if hasattr(network, "layer1"):
        return [getattr(network, f"layer{i}") for i in range(1, 5)]
    listed = getattr(network, "feature_info", None)
    return [network.get_submodule(stage["module"]) for stage in listed] if isinstance(listed, list) else []
