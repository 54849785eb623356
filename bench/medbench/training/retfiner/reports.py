"""Reports as token ids, and the batches of a refinement with their draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from medbench.cards.recipes import RetFiner
from medbench.models.text.bert import BertSource
from medbench.models.text.tokenizers import Tokenizer
from medbench.models.text.vocabulary import SPECIAL
from medbench.seeding import generator
from medbench.training.retfiner.masking import Ids, Words, masked
from medbench.training.retfiner.network import Batch

AFTER_MASK = 3
"""From the id of [MASK] to the first word in the vocabularies of BERT's authors: 103 and 106."""


class Reports(NamedTuple):
    """The reports of some pairs.

    Attributes:
        ids: Token ids, (n, t).
        texts: Number of each report, (n,); equal ids have equal numbers.
    """

    ids: Ids
    texts: NDArray[np.int64]

    def batch(
        self, rows: Sequence[int] | Ids, settings: RetFiner, words: Words, device: torch.device, *names: str | int
    ) -> Batch:
        """Return the reports of some pairs with the draws called `names`, on a device."""
        source, ids = generator(*names), self.ids[rows]
        mlm, gm = (masked(ids, rate, words, source) for rate in (settings.mlm_rate, settings.gm_rate))
        arrays = (ids, self.texts[rows], *mlm, *gm, source.random((2, len(rows))))
        return Batch(*(torch.from_numpy(one).to(device, non_blocking=True) for one in arrays))


@dataclass(frozen=True)
class Reader:
    """What reads reports: a BERT that is not built yet, and its tokenizer.

    Attributes:
        source: What the BERT is made of.
        tokenizer: Turns texts into ids, as its rule says.
        words: What masking must know of the vocabulary.
    """

    source: BertSource
    tokenizer: Tokenizer
    words: Words

    def read(self, texts: Sequence[str]) -> Reports:
        """Return the token ids of reports."""
        ids = self.tokenizer(texts).ids.numpy()
        return Reports(ids, np.unique(ids, axis=0, return_inverse=True)[1].reshape(-1))

    def cut(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return the reports that are longer than what is read."""
        return self.tokenizer(texts).cut


def reader_of(settings: RetFiner, texts: Sequence[str], folder: Path) -> Reader:
    """Return what reads the reports: the BERT of the settings, or a random one with the words of some reports.

    Args:
        settings: The recipe.
        texts: The training reports.
        folder: Where the vocabulary's file is written.

    Raises:
        WeightsError: Files of the BERT are missing, or not of a BERT.
    """
    source = BertSource.of(settings, texts)
    tokenizer = source.tokenizer(folder, settings.max_tokens, "fixed")
    tokens = source.tokens
    mask = tokens.index("[MASK]")
    first = len(SPECIAL) if source.files is None else mask + AFTER_MASK
    return Reader(source, tokenizer, Words(tokenizer.rule.pad_id, mask, first, len(tokens)))
