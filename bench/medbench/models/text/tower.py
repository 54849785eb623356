"""Text towers of vision-language pairs: token ids to embeddings, for zero-shot classification of images."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from medbench.cards import ModelCard, find_model
from medbench.errors import CardError, MedbenchError, WeightsError
from medbench.models.networks.builders import Undrawn
from medbench.models.text.builders import AveragedBert, construct_text
from medbench.models.text.tokenizers import Ids, Tokenizer
from medbench.models.weights.locate import WeightsFile, locate, locate_vocabulary, require_unchanged
from medbench.models.weights.read import GET_ANOTHER, fill, map_names, read_file, select
from medbench.seeding import seed_of

SCALE = "logit_scale"  # in the file: logarithm of the factor on cosines
MOST_LOGARITHM = 700.0  # exp of more is infinite
BIAS = "logit_bias"  # in SigLIP's files: added to the scaled cosines


def load_text(
    name: str | Path | ModelCard,
    weights: str | Path | WeightsFile | None = None,
    *,
    vocabulary: WeightsFile | None = None,
    device: str = "cpu",
) -> TextEncoder:
    """Build the text tower of a vision-language pair and load its weights strictly.

    Args:
        name: Name of a card, a card file, or a card.
        weights: None for the official file, a path, or `random`.
        vocabulary: The tokenizer's file; None: it is looked for when a text is first embedded.
        device: Device for the tower.

    Raises:
        CardError: The card is unknown, has no text tower, or does not fit the library.
        WeightsError: The file is missing, damaged, unsafe or for another architecture.
    """
    card = name if isinstance(name, ModelCard) else find_model(str(name))
    if card.text is None:
        raise CardError(
            f"model card {card.name} has no text tower", "choose a vision-language model: its card has a section `text`"
        )
    file = weights if isinstance(weights, WeightsFile) else locate(card, str(weights) if weights is not None else None)
    drawing: Any = Undrawn() if file.path is not None else contextlib.nullcontext()
    with torch.random.fork_rng(devices=[]), drawing:
        torch.manual_seed(seed_of("text", "random" if file.path is None else "unused"))
        network = construct_text(card, card.text)
    scale = bias = None
    if file.path is not None:
        rules = card.text.weights
        held = select(read_file(file.path), rules.key, file.path)
        state = map_names(held, rules, file.path)
        for name in (SCALE, BIAS):  # they are among these if the tower's prefix is empty
            state.pop(name, None)
        fill(network, state, file.path, absent=rules.absent)
        logarithm, bias = (_number(held, name, file.path) for name in (SCALE, BIAS))
        scale = None if logarithm is None else _exp(logarithm, file.path)
        require_unchanged(file)
    return TextEncoder(card, file, network, scale, bias, vocabulary).to(device)


def _number(held: Mapping[str, object], name: str, path: Path) -> float | None:
    """Return a single number of the file, or None if it has none of this name."""
    found = held.get(name)
    if found is None:
        return None
    value = float(found.double()) if isinstance(found, Tensor) and found.numel() == 1 else math.nan
    if not math.isfinite(value):
        raise WeightsError(f"{path}: {name} is not a number", GET_ANOTHER)
    return value


def _exp(logarithm: float, path: Path) -> float:
    if logarithm > MOST_LOGARITHM:
        raise WeightsError(f"{path}: {SCALE} is not the logarithm of a factor", GET_ANOTHER)
    return math.exp(logarithm)


class TextEncoder(nn.Module):
    """A frozen text tower in eval mode.

    Attributes:
        card: Its card.
        weights: The file of its weights.
        network: The library's tower, without its projection.
        projection: Linear map to the space shared with images, as a module or a matrix (width, d); None: none.
        dim: Length d of an embedding.
        logit_scale: Factor on cosines: exp of the file's `logit_scale`; None if the file has none.
        logit_bias: Added to scaled cosines before a sigmoid (SigLIP); None if the file has none.
    """

    def __init__(
        self,
        card: ModelCard,
        weights: WeightsFile,
        network: nn.Module,
        logit_scale: float | None,
        logit_bias: float | None = None,
        vocabulary: WeightsFile | None = None,
    ) -> None:
        super().__init__()
        assert card.text is not None
        self.card, self.weights, self.logit_scale, self.logit_bias = card, weights, logit_scale, logit_bias
        self._vocabulary = vocabulary
        self._tokenizer: Tokenizer | None = None
        self.dim, self.l2 = card.text.dim, card.text.l2
        # Separate from the network, for `hidden`. The names are open_clip's, then ours.
        place = next(name for name in ("text_projection", "proj", "projection") if hasattr(network, name))
        self.projection = getattr(network, place)
        setattr(network, place, nn.Identity() if place == "proj" else None)
        self.network = network
        self.requires_grad_(False)
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the embeddings of the official code, (n, d); their length is one if the card sets `text.l2`.

        Args:
            input_ids: Token ids (n, t), int64, padded by the model's own tokenizer. FLAIR's mean includes the padding;
                open_clip's own transformers need t to be their context length.
            attention_mask: 1 for tokens, 0 for padding (n, t), for `library: transformers`; None: all are tokens.
                open_clip's towers recognise padding by its id and ignore the mask.

        Raises:
            MedbenchError: The tower has a fixed context length, and t is another.
        """
        found = self.hidden(input_ids, attention_mask)
        found = normalize(found, dim=-1) if self.l2 else found
        if self.projection is not None:
            found = found @ self.projection if isinstance(self.projection, Tensor) else self.projection(found)
        return normalize(found, dim=-1) if self.l2 else found

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings of texts (n, d), which go through the tower in one call.

        FLAIR pads to the longest text of the call and averages over the padding, so one text more changes all others.

        Raises:
            WeightsError: The vocabulary is missing, or is not the model's.
        """
        found = self.tokenize(texts)
        device = next(self.parameters()).device
        return self(found.ids.to(device), found.mask.to(device))  # type: ignore[no-any-return]

    def tokenize(self, texts: Sequence[str]) -> Ids:
        """Return the token ids of texts; raises as `embed`."""
        assert self.card.text is not None
        if self._tokenizer is None:
            file = self._vocabulary or locate_vocabulary(self.card, self.weights)
            self._tokenizer = Tokenizer(self.card.text.tokenizer, file)
        return self._tokenizer(texts)

    def hidden(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the vectors before the projection and before any L2 norm, (n, width); arguments as in `forward`."""
        if isinstance(self.network, AveragedBert):
            return self.network(input_ids, attention_mask)  # type: ignore[no-any-return]
        length = self.network.context_length
        if hasattr(self.network, "positional_embedding") and input_ids.shape[1] != length:
            raise MedbenchError(
                f"{input_ids.shape[1]} token ids per text; {self.card.name} takes {length}",
                "pad them with the model's own tokenizer",
            )
        return self.network(input_ids)  # type: ignore[no-any-return]
