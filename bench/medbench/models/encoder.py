"""The interface of all encoders: pooled vector, patch tokens, outputs of blocks, and the transform of images."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize
from torch.utils.checkpoint import checkpoint

from medbench.cards import ModelCard, Settings
from medbench.errors import CardError, MedbenchError
from medbench.models.networks.units import layers, outputs, truncate, units
from medbench.models.weights.locate import WeightsFile

if TYPE_CHECKING:
    from medbench.data.prepared.transforms import Transform


class Encoder(nn.Module):
    """A frozen network in eval mode.

    Attributes:
        card: Its card, as resolved for a preset, a library and a pooled feature.
        weights: The file of its weights.
        network: The library's module.
        blocks: The units, in order: freezing, truncation and CKA count them.
        layers: The residual blocks, in order: the parts of the units, or the units.
        dim: Length d of the pooled vector.
        image_size: Side of the input.
        in_chans: Channels of the input.
        settings: The preset's settings, for the transform.
    """

    def __init__(
        self,
        card: ModelCard,
        weights: WeightsFile,
        network: nn.Module,
        image_size: int,
        in_chans: int,
        settings: Settings | None = None,
        keep: int | None = None,
    ) -> None:
        super().__init__()
        self.card, self.weights, self.image_size, self.in_chans = card, weights, image_size, in_chans
        self.settings = settings or Settings()
        self.network = network
        self.whole = keep in (None, len(units(network)))
        self.given = False  # whether stored outputs replace the first units, of other images than the input
        self.raw = False  # whether the feature is the last unit's output, because later modules were removed
        if keep is not None:
            self._truncate(keep)
        self.blocks, self.layers = units(network), layers(network)
        self.prefix = int(getattr(network, "num_prefix_tokens", None) or 0)
        self._check_prefix()
        self.requires_grad_(False)
        self.eval()
        self.dim = self._dim()

    @property
    def sequential(self) -> bool:
        """Whether the blocks take tokens (b, n, d), not maps (b, c, h, w)."""
        return hasattr(self.network, "pos_embed") or hasattr(self.network, "num_prefix_tokens")

    def channels_last(self) -> Encoder:
        """Store a convolutional encoder with channels last: up to 1.6 times faster on a CPU, equal up to rounding.

        Extraction does so. It is not the default, because in a very deep network rounding errors can add up: to 1e-4 in
        a ResNet-152 with random weights, which is also the error of the official layout.
        """
        return self if self.sequential else self.to(memory_format=torch.channels_last)

    def set_grad_checkpointing(self, enable: bool = True) -> Encoder:
        """Keep each layer's input only and compute the rest again in the backward pass, or stop doing so.

        It needs a third more computation and a fraction of the memory. Gradients and features are the same.
        """
        for layer in self.layers:
            layer.__dict__.pop("forward", None)
            if enable:
                layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return `pooled(x)`."""
        return self.pooled(x)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the features for a linear head or k-NN, (b, d), of images (b, c, h, w), by `card.features`."""
        rule = self.card.features
        if rule.pooled == "head" and not self.raw:
            found = self._head(x)
        elif rule.pooled == "last4":
            norm: Callable[[Tensor], Tensor] = self.network.norm if rule.norm else nn.Identity()  # type: ignore[assignment]
            found = torch.cat([norm(rows)[:, 0] for rows in outputs(self._features, self.blocks[-4:], x)], dim=1)
        else:
            rows = self._last(x) if rule.norm else self._raw(x)
            parts = "mean" if self.raw and rule.pooled == "head" else rule.pooled
            found = torch.cat([self._picked(rows, part) for part in parts.split("+")], dim=1)
        found = found if rule.layer_norm is None else layer_norm(found, found.shape[1:], eps=rule.layer_norm)
        return found if rule.projection is None or self.raw else self._projected(found)

    def _projected(self, found: Tensor) -> Tensor:
        unit = self.card.features.l2
        found = self.network.get_submodule("projection")(normalize(found, dim=1) if unit else found)
        return normalize(found, dim=1) if unit else found

    def _picked(self, rows: Tensor, part: str) -> Tensor:
        if part == "mean":
            return rows[:, self.prefix :].mean(dim=1)
        return rows[:, {"cls": 0, "token1": 1}[part]]

    def _head(self, x: Tensor) -> Tensor:
        found: Tensor
        if not self.card.features.l2 or self.card.features.projection:
            found = self.network(x)
            return found
        pooled = self.network.forward_head(self._features(x), pre_logits=True)  # type: ignore[operator]
        found = self.network.get_classifier()(normalize(pooled, dim=1))  # type: ignore[operator]
        return normalize(found, dim=1)

    def tokens(self, x: Tensor, norm: bool | None = None) -> Tensor:
        """Return the patch tokens for a stacked classifier, (b, n, d), in row-major order of the grid.

        The tokens of a convolutional encoder are the positions of its last map.

        Args:
            x: Images (b, c, h, w).
            norm: Whether to apply the last norm; None: the card's `features.token_norm`.
        """
        raw = self.sequential and not (self.card.features.token_norm if norm is None else norm)
        return (self._raw(x) if raw else self._last(x))[:, self.prefix :]

    def sequence(self, x: Tensor, norm: bool) -> Tensor:
        """Return all tokens of the last unit, (b, n, d), prefix tokens (the class token first) before the patches.

        Args:
            x: Images (b, c, h, w).
            norm: Whether a transformer's tokens pass the last norm; those of a convolutional encoder, the positions of
                its last map, always do.
        """
        return self._last(x) if norm or not self.sequential else self._raw(x)

    def depths(self, x: Tensor, kept: Sequence[int]) -> list[Tensor]:
        """Return the `tokens` of the encoder cut after each number of units, (b, n_i, d_i), from one forward pass.

        Args:
            x: Images (b, c, h, w).
            kept: Numbers of units from 1 to n - 1, ascending.
        """
        found = []
        for units_kept, raw in zip(kept, outputs(self._features, [self.blocks[k - 1] for k in kept], x), strict=True):
            rows = _rows(raw, blocks_end(self.network))
            if self.sequential:
                rows = self.network.norm(rows) if self.card.features.token_norm else rows  # type: ignore[operator]
            elif callable(norm := getattr(self.network, f"norm{units_kept - 1}", None)):  # SEEM has one for each stage
                rows = norm(rows)
            found.append(rows[:, self.prefix :])
        return found

    def _features(self, x: Tensor) -> Tensor:
        found = self.network.forward_features(x)  # type: ignore[operator]
        if not isinstance(found, Tensor):
            raise CardError(f"{self.card.name} has several last maps", "use its own pooled feature, head")
        return found

    def _last(self, x: Tensor) -> Tensor:
        """Return the network's last map after the last norm, as rows (b, n, d), prefix tokens first."""
        return self._raw(x) if self.raw else _rows(self._features(x), _channels_end(self.network))

    def _raw(self, x: Tensor) -> Tensor:
        """Return the output of the last unit as rows (b, n, d)."""
        return _rows(self.block(x, len(self.blocks) - 1), False)

    def block(self, x: Tensor, i: int) -> Tensor:
        """Return the output of unit `i`, counted from 0: (b, n, d) with prefix tokens first, or (b, c, h, w).

        Later units do not run.
        """
        return self._output(x, self.blocks, i, "unit")

    def layer(self, x: Tensor, i: int) -> Tensor:
        """Return the output of residual block `i` of `layers`, counted from 0, in the form of `block`."""
        return self._output(x, self.layers, i, "layer")

    def _output(self, x: Tensor, modules: list[nn.Module], i: int, what: str) -> Tensor:
        if not 0 <= i < len(modules):
            raise MedbenchError(f"{self.card.name} has {len(modules)} {what}s; there is no {what} {i}", "count from 0")
        found = outputs(self._features, [modules[i]], x)[0]
        if not isinstance(found, Tensor) or (len(found) != len(x) and not self.given):
            raise CardError(f"the {what}s of {self.card.name} do not give one map per image", "please report this card")
        return found.flatten(1, 2) if found.ndim == 4 and blocks_end(self.network) else found

    @property
    def transform(self) -> Transform:
        """The evaluation transform, PIL image -> (c, h, w) float32, with the model's mean and deviation.

        A run uses those of the data set, on the same pixels, if the preset says so.
        """
        from medbench.data.images.square import rule_of
        from medbench.data.prepared.transforms import Transform

        mean, std = self.card.input.mean, self.card.input.std
        if len(mean) != self.in_chans:
            mean, std = ([sum(v) / len(v)] * self.in_chans for v in (mean, std))
        return Transform(rule_of(self.settings, self.image_size, self.in_chans), self.image_size, mean, std)

    def state_digest(self) -> str:
        """Return a digest of all parameters and buffers; it is the same as before if nothing changed."""
        found = 0
        for name, value in self.network.state_dict().items():
            found = zlib.crc32(name.encode(), found)
            flat = value.detach().cpu().contiguous().reshape(-1)
            found = zlib.crc32(flat.view(torch.uint8).numpy() if flat.numel() else b"", found)
        return f"{found:08x}"

    def _truncate(self, keep: int) -> None:
        n = len(units(self.network))
        if not 1 <= keep <= n:
            raise MedbenchError(f"{self.card.name} has {n} units, so it cannot keep {keep}", f"give 1 to {n}")
        if not self.whole:
            self.raw = not truncate(self.network, keep)

    def _check_prefix(self) -> None:
        rule = self.card.features.pooled
        classed = rule in ("last4", "token1") or "cls" in rule.split("+")
        if classed and not self.prefix:
            raise CardError(f"{self.card.name} has no class token: {rule} cannot be its pooled feature", "choose mean")
        if rule == "last4" and not hasattr(self.network, "norm"):
            raise CardError(f"{self.card.name} has no last norm: last4 cannot be its pooled feature", "choose cls")

    def _dim(self) -> int:
        rule, network = self.card.features, self.network
        width = getattr(network, "num_features", None)
        if rule.projection is not None and not self.raw:
            found = rule.projection[1]
        elif self.raw or not isinstance(width, int):  # a cut network does not state the width of its map
            with torch.inference_mode():
                place = next(network.parameters())
                shape = (1, self.in_chans, self.image_size, self.image_size)
                return self.pooled(torch.zeros(shape, dtype=place.dtype, device=place.device)).shape[1]
        elif rule.pooled == "head":
            found = int(getattr(network, "num_classes", 0) or getattr(network, "head_hidden_size", 0) or width)
        else:
            found = width * len(self.blocks[-4:] if rule.pooled == "last4" else rule.pooled.split("+"))
        if self.whole and rule.dim not in (None, found):
            raise CardError(
                f"model card {self.card.name}: features.dim is {rule.dim}, the network gives {found}",
                "fix the card: another architecture, or another pooling",
            )
        return found


def _rows(found: Tensor, channels_end: bool) -> Tensor:
    """Return tokens (b, n, d) as they are; of a map its positions (b, h*w, d), row by row."""
    if found.ndim == 3:
        return found
    return found.flatten(1, 2) if channels_end else found.flatten(2).transpose(1, 2)


def _channels_end(network: nn.Module) -> bool:
    """Return whether the last map of a network is (b, h, w, c), as in a Swin."""
    return getattr(getattr(network, "core", network), "output_fmt", "") == "NHWC"


def blocks_end(network: nn.Module) -> bool:
    """Return whether maps between the blocks of a network are (b, h, w, c): as its last map, and in SAM."""
    return _channels_end(network) or getattr(getattr(network, "patch_embed", None), "output_fmt", "") == "NHWC"
