"""What the layers of a network give, all in one forward, and linear CKA of the layers of two networks in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medbench.errors import CardError, MedbenchError, unknown
from medbench.features.extract import exact
from medbench.features.minibatch_cka import Cka, Estimator, gram
from medbench.models.encoder import Encoder, blocks_end
from medbench.progress import say

What = Literal["blocks", "all"]
Form = Literal["flat", "cls", "pooled"]


@dataclass(frozen=True)
class Layer:
    """A module of a network whose output is looked at.

    Attributes:
        name: What a reader calls it.
        module: It; the network's forward passes it once. It gives (b, n, d), or a map (b, c, h, w).
        prefix: Tokens before the patches' in its output, the class token first.
        channels_end: Whether its maps are (b, h, w, c).
    """

    name: str
    module: nn.Module
    prefix: int = 0
    channels_end: bool = False

    def formed(self, output: Tensor, form: Form) -> Tensor:
        """Return its output as one row for each image (b, p).

        Raises:
            MedbenchError: `cls` is asked for and there is no class token.
        """
        if form == "flat":
            return output.flatten(1)
        if form == "cls":
            if not self.prefix:
                raise MedbenchError(f"{self.name} has no class token", "compare flat or pooled features")
            return output[:, 0].clone()  # a view would hold all tokens
        if output.ndim == 3:
            return output[:, self.prefix :].mean(dim=1)
        return output.mean(dim=(1, 2)) if self.channels_end else output.mean(dim=(2, 3))


@dataclass(frozen=True)
class Watched:
    """A network and its layers, in order: rows or columns of a comparison.

    Attributes:
        network: It takes one tensor, a batch.
        layers: Any of its modules.
    """

    network: nn.Module
    layers: Sequence[Layer]


def layers_of(encoder: Encoder, what: What = "blocks", form: Form = "flat") -> list[Layer]:
    """Return the layers of an encoder that are compared, in order.

    Args:
        encoder: The encoder, whole or cut.
        what: `blocks`: its residual blocks, 12 in a ViT-B and in SEEM. `all`: the patch embedding, then the outputs of
            each block's attention and MLP before they are scaled and added, 25 in a ViT-B, as the group behind WACV
            2024 compares them.
        form: With `cls` the patch embedding, which has no class token, is not among them.

    Raises:
        CardError: `what` is unknown.
        MedbenchError: The blocks are not made of attention and MLP.
    """
    if what not in get_args(What):
        raise unknown("set of layers", what, get_args(What))
    end = blocks_end(encoder.network)
    if what == "blocks":
        return [Layer(f"block {i}", m, encoder.prefix, end) for i, m in enumerate(encoder.layers)]
    modules = {"patch embedding": getattr(encoder.network, "patch_embed", None)}
    for i, block in enumerate(encoder.layers):
        modules |= {f"{part} {i}": getattr(block, part, None) for part in ("attn", "mlp")}
    found = [
        Layer(name, module, encoder.prefix if i else 0, end)
        for i, (name, module) in enumerate(modules.items())
        if isinstance(module, nn.Module)
    ]
    if len(found) < len(modules):
        raise MedbenchError(f"the blocks of {encoder.card.name} are not made of attention and MLP", "compare blocks")
    return found[1:] if form == "cls" else found


def outputs_of(
    forward: Callable[[Tensor], Any],
    layers: Sequence[Layer],
    x: Tensor,
    form: Form = "flat",
    then: Callable[[Tensor], Tensor] | None = None,
) -> list[Tensor]:
    """Run `forward(x)` once and return what each layer gave, as rows (b, p), in the order of `layers`.

    Args:
        forward: A network, or a function that passes each layer once, in any order.
        layers: Which ones.
        x: A batch of b.
        form: `flat`: tokens or places times channels; `cls`: the class token; `pooled`: the mean over patches or
            places.
        then: What is kept of the rows; it is called as soon as they are there, so that only one layer's are held, and
            a later module that works in place has not changed them yet.

    Raises:
        CardError: `form` is unknown, the forward does not pass a layer exactly once, or what the layer gives
            is not one row an image.
        MedbenchError: `cls` is asked for and a layer has no class token.
    """
    if form not in get_args(Form):
        raise unknown("form of features", form, get_args(Form))
    found: dict[int, Tensor] = {}

    def keep(i: int, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output
        if i in found or not isinstance(output, Tensor) or len(output) != len(x):
            raise CardError(f"{layers[i].name} does not pass one map for each image, once", "compare other layers")
        rows = layers[i].formed(output, form)
        found[i] = rows if then is None else then(rows)

    handles = [
        layer.module.register_forward_hook(lambda _module, _inputs, output, i=i: keep(i, output))
        for i, layer in enumerate(layers)
    ]
    try:
        forward(x)
    finally:
        for handle in handles:
            handle.remove()
    if missed := [layer.name for i, layer in enumerate(layers) if i not in found]:
        raise CardError(f"{missed[0]} is not passed by its network's forward", "compare other layers")
    return [found[i] for i in range(len(layers))]


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

    One pass over the batches and one forward of each network for each, in float32, without gradients. Of a batch only
    the Gram matrices of its layers are held, not their features. Both networks are put into eval mode.

    Args:
        a: The network whose layers are the rows.
        b: The one whose layers are the columns; it may be on another device.
        batches: Normalised images or other input (b, ...), the same for both networks; or a pair, one for each.
        what: Which layers of an encoder; see `layers_of`.
        form: What of their outputs; see `outputs_of`.
        estimator: `hsic`, or `batch` with batches of 64 as in the literature; see `features.minibatch_cka`.
        advance: Called with the number of images after each batch.

    Raises:
        CardError: An unknown choice, or a network does not pass its layers.
        MedbenchError: No batch had 4 images, or there is no class token.
    """
    sides = [_watched(side, what, form) for side in (a, b)]
    places = [_place(side.network) for side in sides]
    cka = Cka(len(sides[0].layers), len(sides[1].layers), estimator, places[0])
    for side in sides:
        side.network.eval()
    with torch.inference_mode(), exact("fp32"):
        for batch in batches:
            inputs = batch if isinstance(batch, tuple) else (batch, batch)
            grams = [
                outputs_of(side.network, side.layers, x.to(place, non_blocking=True), form, gram)
                for side, place, x in zip(sides, places, inputs, strict=True)
            ]
            cka.add_grams(*grams)
            advance(len(inputs[0]))
    if cka.left_out:
        say(f"{cka.left_out} images in a batch of fewer than 4 are left out of CKA")
    return cka.value()


def _watched(side: Encoder | Watched, what: What, form: Form) -> Watched:
    return side if isinstance(side, Watched) else Watched(side, layers_of(side, what, form))


def _place(network: nn.Module) -> torch.device:
    """Return the device of a network; one without parameters works where it is given its input."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))
