"""Outputs of all layers of a network from one forward, and linear CKA between the layers of two networks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medbench.errors import CardError, MedbenchError, unknown
from medbench.features.extract import exact
from medbench.features.memory import kept_buffers
from medbench.features.minibatch_cka import Cka, Estimator, gram
from medbench.models.encoder import Encoder, blocks_end
from medbench.models.networks.units import layers
from medbench.progress import say

What = Literal["blocks", "all"]
Form = Literal["flat", "cls", "pooled"]
"""`flat`: all tokens or positions times channels; `cls`: the class token; `pooled`: mean over patches or positions."""


@dataclass(frozen=True)
class Layer:
    """A module of a network whose output is compared.

    Attributes:
        name: Its name, for people.
        module: The module. The network's forward calls it once; it gives tokens (b, n, d) or a map (b, c, h, w).
        prefix: Number of tokens before the patch tokens, the class token first.
        channels_end: Whether its maps are (b, h, w, c).
    """

    name: str
    module: nn.Module
    prefix: int = 0
    channels_end: bool = False

    def formed(self, output: Tensor, form: Form) -> Tensor:
        """Return its output as one row per image, (b, p).

        Raises:
            MedbenchError: `form` is `cls` and there is no class token.
        """
        if form == "flat":
            return output.flatten(1)
        if form == "cls":
            if not self.prefix:
                raise MedbenchError(f"{self.name} has no class token", "compare flat or pooled features")
            return output[:, 0].clone()  # a view would keep all tokens in memory
        if output.ndim == 3:
            return output[:, self.prefix :].mean(dim=1)
        return output.mean(dim=(1, 2)) if self.channels_end else output.mean(dim=(2, 3))


@dataclass(frozen=True)
class Watched:
    """A network and the layers of it that are compared, in order.

    Attributes:
        network: The network; it takes one tensor, a batch.
        layers: Any of its modules.
    """

    network: nn.Module
    layers: Sequence[Layer]


def layers_of(encoder: Encoder, what: What = "blocks", form: Form = "flat") -> list[Layer]:
    """Return the layers of an encoder that are compared, in order.

    Args:
        encoder: The encoder, complete or cut after some units.
        what: `blocks`: its residual blocks, 12 in a ViT-B and in SEEM. `all`: the patch embedding, then the outputs of
            each block's attention and MLP before they are scaled and added, 25 in a ViT-B, as compared by the group
            behind WACV 2024.
        form: With `cls` the patch embedding is left out, as it has no class token.

    Raises:
        CardError: `what` is unknown.
        MedbenchError: The blocks do not consist of attention and MLP.
    """
    if what not in get_args(What):
        raise unknown("set of layers", what, get_args(What))
    end = blocks_end(encoder.network)
    if what == "blocks":
        return [Layer(f"block {i}", m, encoder.prefix, end) for i, m in enumerate(encoder.layers)]
    parts = parts_of(encoder.network, encoder.card.name)
    found = [Layer(name, module, encoder.prefix if i else 0, end) for i, (name, module) in enumerate(parts.items())]
    return found[1:] if form == "cls" else found


def parts_of(network: nn.Module, model: str) -> dict[str, nn.Module]:
    """Return the patch embedding, and of each block the attention and the MLP, by name and in order.

    SEEM's focal modulation takes the place of attention.

    Raises:
        MedbenchError: The blocks do not consist of attention and MLP.
    """
    found = {"patch embedding": getattr(network, "patch_embed", None)}
    for i, block in enumerate(layers(network)):
        mixer = getattr(block, "attn", None) or getattr(block, "modulation", None)
        found |= {f"attn {i}": mixer, f"mlp {i}": getattr(block, "mlp", None)}
    modules = {name: module for name, module in found.items() if isinstance(module, nn.Module)}
    if len(modules) < len(found):
        raise MedbenchError(
            f"the blocks of {model} do not consist of attention and MLP, so layers=all has nothing to compare",
            "compare the outputs of blocks: --set layers=blocks",
        )
    return modules


def outputs_of(
    forward: Callable[[Tensor], Any],
    layers: Sequence[Layer],
    x: Tensor,
    form: Form = "flat",
    then: Callable[[Tensor], Tensor] | None = None,
) -> list[Tensor]:
    """Run `forward(x)` once and return the output of each layer, as rows (b, p), in the order of `layers`.

    Args:
        forward: A network, or a function that calls each layer once, in any order.
        layers: The layers.
        x: A batch of b images.
        form: What of the outputs; see `Form`.
        then: Applied to the rows of a layer as soon as they are computed, and its result is returned instead of them.
            So the rows of only one layer are in memory, and no later in-place module has changed them.

    Raises:
        CardError: `form` is unknown, the forward does not call a layer exactly once, or the layer's output is not one
            row per image.
        MedbenchError: `form` is `cls` and a layer has no class token.
    """
    if form not in get_args(Form):
        raise unknown("form of features", form, get_args(Form))
    found: dict[int, Tensor] = {}

    def keep(i: int, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output
        if i in found or not isinstance(output, Tensor) or len(output) != len(x):
            raise CardError(f"{layers[i].name} does not give one output per image, once", "compare other layers")
        rows = layers[i].formed(output, form)
        found[i] = rows if then is None else then(rows)

    with _hooked(layers, keep):
        forward(x)
    if missed := [layer.name for i, layer in enumerate(layers) if i not in found]:
        raise CardError(f"{missed[0]} is not used in the network's forward pass", "compare other layers")
    return [found[i] for i in range(len(layers))]


@contextlib.contextmanager
def _hooked(layers: Sequence[Layer], keep: Callable[[int, Any], None]) -> Iterator[None]:
    """Call `keep(i, output)` for each call of layer i inside this block."""
    handles = [
        layer.module.register_forward_hook(lambda _module, _inputs, output, i=i: keep(i, output))
        for i, layer in enumerate(layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def layerwise(
    a: Encoder | Watched,
    b: Encoder | Watched,
    batches: Iterable[Tensor | tuple[Tensor, Tensor]],
    *,
    what: What = "blocks",
    form: Form = "flat",
    estimator: Estimator = "hsic",
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float64]:
    """Return the linear CKA of every layer of `a` (rows: the tuned network) with every layer of `b` (columns).

    Each network runs one forward per batch, in float32, without gradients. Only the Gram matrices of a batch's layers
    are kept in memory, not their features. Both networks are put into eval mode.

    Args:
        a: The network whose layers are the rows.
        b: The network whose layers are the columns; it may be on another device.
        batches: Normalised images or other input (b, ...), the same for both networks; or a pair, one for each.
        what: Which layers of an encoder; see `layers_of`.
        form: What of their outputs; see `Form`.
        estimator: `hsic`, or `batch` with batches of 64 as in the literature; see `minibatch_cka`.
        advance: Called with the number of images after each batch.

    Raises:
        CardError: An argument is unknown, or a network does not call one of its layers exactly once.
        MedbenchError: No batch had 4 images, or there is no class token.
    """
    sides = [_watched(side, what, form) for side in (a, b)]
    cka = Cka(len(sides[0].layers), len(sides[1].layers), estimator, _place(sides[0].network))
    for side in sides:
        side.network.eval()
    with torch.inference_mode(), exact("fp32"), kept_buffers():
        for batch in batches:
            inputs = batch if isinstance(batch, tuple) else (batch, batch)
            cka.add_grams(*(_grams(side, x, form) for side, x in zip(sides, inputs, strict=True)))
            advance(len(inputs[0]))
    if cka.left_out:
        say(f"{cka.left_out} images are left out of CKA: their batch has fewer than 4")
    return cka.value()


def _watched(side: Encoder | Watched, what: What, form: Form) -> Watched:
    return side if isinstance(side, Watched) else Watched(side, layers_of(side, what, form))


def _grams(side: Watched, x: Tensor, form: Form) -> list[Tensor]:
    return outputs_of(side.network, side.layers, x.to(_place(side.network), non_blocking=True), form, gram)


def _place(network: nn.Module) -> torch.device:
    """Return the device of a network; one without parameters gets its input on the CPU."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))
