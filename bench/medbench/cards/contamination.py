"""Which pre-training has seen which data set: a test on such images says little."""

from __future__ import annotations

from medbench.cards.dataset import DatasetCard
from medbench.cards.model import ModelCard


def seen(model: ModelCard, dataset: DatasetCard) -> list[str]:
    """Return the entries of the model's pre-training data that name the data set; none: not known to be seen.

    Names agree when their letters and digits do: `ISIC-2019` is `isic2019`.
    """
    names = {_plain(text) for text in (dataset.name, *dataset.also)}
    return [text for text in model.pretraining.data if _plain(text) in names]


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())
