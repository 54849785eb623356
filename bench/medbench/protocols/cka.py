"""Linear CKA of a network's layers before and after fine-tuning (WACV 2024, Figure 7; the stacked DeiT's: Figure A.1).

Rows are layers of the fine-tuned network, columns are layers of the initial network. Of a stacked classifier, each of
the two sees the tokens of its own encoder, which are the same if it is frozen. Its initial network is the stack before
fine-tuning: ImageNet weights and the seed's projector (the paper does not say what it compares with).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from medbench.cards.recipes import CkaRecipe
from medbench.errors import MedbenchError
from medbench.features.extract import exact
from medbench.features.layers import Layer, Watched, layers_of, layerwise
from medbench.models.networks.stacked import Stacked
from medbench.models.weights.read import read_file
from medbench.progress import bar
from medbench.protocols.context import Context, Outcome
from medbench.seeding import generator
from medbench.storage import files
from medbench.training.finetune.networks import Classifier, OnTokens, linear_head


def run(context: Context[CkaRecipe]) -> dict[int, Outcome]:
    """Compare all pairs of layers on test images; labels are not used."""
    settings = context.settings
    started, tuned = network_of(context), network_of(context, tuned=True)
    sides = _watched(tuned, settings), _watched(started, settings)
    rows = chosen_images(context, settings.images)
    with bar(context.name, len(rows), "images") as advance:
        found = layerwise(
            sides[0],
            sides[1],
            batches(context, rows, settings.batch),
            form=settings.form,
            estimator=settings.estimator,
            advance=advance,
        )
    tuned_layer, start_layer = np.indices(found.shape)
    same = min(found.shape)
    return {
        context.seeds[0]: Outcome(
            metrics={"cka_last": float(found[-1, -1]), "cka_diagonal_mean": float(np.diagonal(found)[:same].mean())},
            chosen={"images": len(rows), "layers": [layer.name for layer in sides[0].layers]},
            tables={
                "cka": {
                    "tuned_layer": tuned_layer.ravel().tolist(),
                    "start_layer": start_layer.ravel().tolist(),
                    "cka": found.ravel().tolist(),
                }
            },
        )
    }


def network_of(context: Context[CkaRecipe], *, tuned: bool = False) -> nn.Module:
    """Return the network before fine-tuning, or after it (`tuned`), in eval mode.

    Raises:
        MedbenchError: The kept weights do not fit this network.
    """
    stacked = getattr(context.settings, "second", None) is not None
    encoder, seed = context.inputs.encoder(), context.seeds[0]
    if stacked:
        one = context.inputs.normalise(context.inputs.images("test")[[0]].to(context.device))
        with torch.inference_mode():
            width = encoder.tokens(one).shape[-1]
        stack = Stacked(context.inputs.second(), width, context.classes, seed)
        network: nn.Module = OnTokens(encoder, stack, frozen=False)
    else:
        network = Classifier(encoder, linear_head(encoder.dim, context.classes, seed))
    if tuned:
        assert context.tuned is not None
        state, own = read_file(context.tuned), network.state_dict()
        # A stack that was trained on cached tokens has names without the prefix that the encoder adds.
        state = {name if name in own else f"stack.{name}": value for name, value in state.items()}
        if missing := sorted(state.keys() - own.keys()):
            raise MedbenchError(
                f"{context.tuned} has {missing[0]}, but {context.name} does not", "delete the file and run again"
            )
        network.load_state_dict({**own, **state})
    return network.to(context.device).eval()


def _watched(network: nn.Module, settings: CkaRecipe) -> Watched:
    if isinstance(network, OnTokens):
        blocks = network.stack.blocks
        return Watched(network, [Layer(f"block {i}", module, prefix=1) for i, module in enumerate(blocks)])
    assert isinstance(network, Classifier)
    return Watched(network, layers_of(network.encoder, settings.layers, settings.form))


def chosen_images(context: Context[CkaRecipe], n: int | None) -> list[int]:
    """Return the compared test images in the test split's order: the first n of a named shuffle; None: all."""
    total = len(context.inputs.images("test"))  # type: ignore[arg-type]
    return [int(row) for row in np.sort(generator("cka", "images").permutation(total)[:n])]


def batches(context: Context[CkaRecipe], rows: list[int], size: int) -> Iterator[Tensor]:
    """Yield the chosen images as a network's input, (b, c, h, w)."""
    images = context.inputs.images("test")
    for start in range(0, len(rows), size):
        yield context.inputs.normalise(images[rows[start : start + size]].to(context.device))


def run_models(context: Context[CkaRecipe]) -> dict[int, Outcome]:
    """Keep the pooled features of test images, to be compared among models; labels are not used."""
    settings = context.settings
    network = network_of(context, tuned=True)
    assert isinstance(network, Classifier)
    rows, parts = chosen_images(context, settings.images), []
    with bar(context.name, len(rows), "images") as advance, torch.inference_mode(), exact("fp32"):
        for x in batches(context, rows, settings.batch):
            parts.append(network.encoder.pooled(x).float().cpu().numpy())
            advance(len(x))
    features = np.concatenate(parts).astype(np.float32)
    return {
        context.seeds[0]: Outcome(
            metrics={"feature_rank": _effective_rank(features)},
            chosen={"images": len(rows), "ids": files.digest([context.split_digest, rows])},
            arrays={"features": features},
        )
    }


def _effective_rank(features: np.ndarray) -> float:
    """Return exp(entropy) of the normalised singular values of centred features (Roy and Vetterli, 2007)."""
    values = np.linalg.svd(features.astype(np.float64) - features.mean(0), compute_uv=False)
    share = values / values.sum() if values.sum() else np.ones(1)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))
