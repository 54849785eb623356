"""Reports as token ids, and the batches of a refinement with their draws."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from medbench.cards.model import Tokenizer as TokenizerRule
from medbench.cards.model import Vocabulary
from medbench.cards.recipes import RetFiner
from medbench.models.text.tokenizers import Tokenizer
from medbench.models.text.vocabulary import SPECIAL, word_vocabulary
from medbench.models.weights.bert_files import VOCABULARY, BertFiles
from medbench.models.weights.locate import WeightsFile
from medbench.seeding import generator
from medbench.storage import files
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
        shape: Fields of transformers' configuration that make the network.
        files: The BERT's files; None: it is drawn.
        vocabulary: Content of the vocabulary's file.
        rule: How a text becomes ids.
        tokenizer: Does so.
        words: What masking must know.
    """

    shape: dict[str, Any]
    files: BertFiles | None
    vocabulary: bytes
    rule: TokenizerRule
    tokenizer: Tokenizer
    words: Words

    @property
    def file(self) -> str:
        """Name of the vocabulary's file, beside the weights."""
        return VOCABULARY

    def read(self, texts: Sequence[str]) -> Reports:
        """Return the token ids of reports."""
        ids = self.tokenizer(texts).ids.numpy()
        return Reports(ids, np.unique(ids, axis=0, return_inverse=True)[1].reshape(-1))

    def cut(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return the reports that are longer than what is read."""
        return self.tokenizer(texts).cut


def reader_of(settings: RetFiner, texts: Sequence[str], folder: Path) -> Reader:
    """Return what reads the reports: the BERT of the settings, or one that is drawn with the words of some reports.

    Args:
        settings: The recipe.
        texts: The training reports.
        folder: Where the vocabulary's file is written, since the tokenizer's library reads a file.

    Raises:
        WeightsError: Files of the BERT are missing, or not of a BERT.
    """
    read = None if settings.bert is None else BertFiles.find(Path(settings.bert).expanduser())
    if read is None:
        content = word_vocabulary(texts).encode()
        shape = {
            "hidden_size": settings.bert_width,
            "num_hidden_layers": settings.bert_layers,
            "num_attention_heads": settings.bert_heads,
            "intermediate_size": 4 * settings.bert_width,
            "max_position_embeddings": settings.max_tokens,
        }
    else:
        content, shape = (read.folder / VOCABULARY).read_bytes(), read.arguments()
    names = content.decode("utf-8").splitlines()
    shape = {"pad_token_id": 0, **shape, "vocab_size": shape.get("vocab_size", len(names))}
    digest = hashlib.sha256(content).hexdigest()
    rule = TokenizerRule(
        kind="bert",
        source=Vocabulary(file=VOCABULARY, sha256=digest),
        tokens=shape["vocab_size"],
        context=settings.max_tokens,
        pad_id=shape["pad_token_id"],
    )
    with files.atomic(folder / VOCABULARY) as part:
        part.write_bytes(content)
    tokenizer = Tokenizer(rule, WeightsFile(folder / VOCABULARY, digest, "file"))
    mask = names.index("[MASK]")
    first = len(SPECIAL) if read is None else mask + AFTER_MASK
    return Reader(shape, read, content, rule, tokenizer, Words(rule.pad_id, mask, first, len(names)))
