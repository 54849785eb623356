"""What must be downloaded before a request can run: weights files and data sets, with sizes and places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from medbench.cards import DatasetCard, ModelCard
from medbench.cards.model import Weights
from medbench.models.weights.locate import held, own_file
from medbench.runs.planning.work import NUMBER


@dataclass(frozen=True)
class Download:
    """One file or one data set that is not here.

    Attributes:
        what: What it is, such as `weights of dinov2`.
        size: Bytes; None: no card tells, and they cannot be estimated.
        exact: Whether the size is the card's. Otherwise it is four bytes for each parameter of the encoder: a file that
            also holds a decoder or an optimizer is larger.
        source: Address, repository, or page.
        access: Who may get it: `open`, `gated`, or as the data set's card says.
    """

    what: str
    size: int | None
    exact: bool
    source: str
    access: str

    @property
    def is_data(self) -> bool:
        """Whether it is a data set."""
        return self.what.startswith(DATA)


DATA = "data set "


def of_models(models: Iterable[ModelCard]) -> Iterator[Download]:
    """Yield the weights and vocabularies that models lack here; files of the user's own count, if they are missing."""
    for card in models:
        source = card.text.tokenizer.source if card.text else None
        if (weights := card.weights) is not None and _is_lacking(card):
            told = weights.bytes or (None if card.text or card.parameters is None else round(card.parameters * 1e6))
            size = told if weights.bytes or told is None else told * NUMBER
            yield Download(f"weights of {card.name}", size, weights.bytes is not None, _source(weights), _gate(weights))
        if source is not None and _is_lacking(card.model_copy(update={"weights": source})):
            what = f"vocabulary of {card.name}"
            yield Download(what, source.bytes, source.bytes is not None, _source(source), _gate(source))


def of_datasets(datasets: Iterable[DatasetCard]) -> Iterator[Download]:
    """Yield data sets as downloads; their size is the sum over the files of the card, if it tells all of them."""
    for card in datasets:
        sizes = [file.bytes for file in card.access.files]
        told = sum(size for size in sizes if size) if sizes and all(sizes) else None
        source = card.access.url or next((file.urls[0] for file in card.access.files), "")
        yield Download(f"{DATA}{card.name}", told, told is not None, source, card.access.kind)


def _is_lacking(model: ModelCard) -> bool:
    weights = model.weights
    return weights is not None and own_file(model) is None and weights.filename is not None and not held(model)


def _source(weights: Weights) -> str:
    if weights.url is not None:
        return weights.url
    return f"{weights.hub.repo} ({weights.hub.file}) on the Hugging Face hub" if weights.hub else weights.access


def _gate(weights: Weights) -> str:
    return "gated" if weights.gated else "open"
