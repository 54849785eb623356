"""A BERT for a text tower that is to be trained: with random weights, or read from the files of its authors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from medbench.cards import ModelCard
from medbench.cards.model import Text, Vocabulary
from medbench.cards.model import Tokenizer as TokenizerRule
from medbench.cards.recipes import WithBert
from medbench.errors import WeightsError
from medbench.models.text.builders import AveragedBert, construct_text
from medbench.models.text.tokenizers import Tokenizer
from medbench.models.text.vocabulary import SPECIAL, word_vocabulary
from medbench.models.weights.bert_files import CONFIG, VOCABULARY, BertFiles
from medbench.models.weights.locate import WeightsFile
from medbench.models.weights.read import fill
from medbench.seeding import seed_of
from medbench.storage import files

MOST_TOKENS = 512
"""What a BERT reads whose configuration does not say it: the default of transformers."""
TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
"""Tensors of the language head that have another name in a file."""


@dataclass(frozen=True)
class BertSource:
    """What a BERT is made of that is to be trained.

    Attributes:
        shape: Fields of transformers' configuration that make the network.
        files: The BERT's files; None: it is drawn.
        vocabulary: Content of the vocabulary's file.
    """

    shape: dict[str, Any]
    files: BertFiles | None
    vocabulary: bytes

    @classmethod
    def of(cls, settings: WithBert, texts: Iterable[str]) -> BertSource:
        """Return the BERT in the folder that the settings name, or a drawn one with the words of some texts.

        Raises:
            WeightsError: Files of the BERT are missing, or not of a BERT, or it reads fewer tokens than the settings.
        """
        if settings.bert is not None:
            found = BertFiles.find(Path(settings.bert).expanduser())
            content, shape = (found.folder / VOCABULARY).read_bytes(), found.arguments()
        else:
            found = None
            content = word_vocabulary(texts).encode()
            shape = {
                "hidden_size": settings.bert_width,
                "num_hidden_layers": settings.bert_layers,
                "num_attention_heads": settings.bert_heads,
                "intermediate_size": 4 * settings.bert_width,
                "max_position_embeddings": settings.max_tokens,
            }
        if found and settings.max_tokens > (most := shape.get("max_position_embeddings", MOST_TOKENS)):
            raise WeightsError(
                f"max_tokens is {settings.max_tokens}, but the BERT in {found.folder} reads {most}",
                f"give --set max_tokens={most}, or another BERT",
            )
        made = cls({"pad_token_id": 0, "vocab_size": len(_lines(content)), **shape}, found, content)
        made._check_vocabulary()
        return made

    @property
    def tokens(self) -> list[str]:
        """The tokens, by their ids."""
        return _lines(self.vocabulary)

    def _check_vocabulary(self) -> None:
        where = self.files.folder / VOCABULARY if self.files else VOCABULARY
        if len(self.tokens) > self.shape["vocab_size"]:
            raise WeightsError(
                f"{where} has {len(self.tokens)} tokens, but the BERT has embeddings of {self.shape['vocab_size']}",
                "get all files of the BERT from one place",
            )
        if lacking := [token for token in SPECIAL if token not in self.tokens]:
            raise WeightsError(
                f"{where} has no token {lacking[0]}", "give the folder of a BERT, with its own vocabulary"
            )

    def tokenizer(self, folder: Path, context: int, padding: Literal["fixed", "longest"]) -> Tokenizer:
        """Return the tokenizer; the vocabulary's file is written to a folder, since its library reads a file.

        Args:
            folder: Where.
            context: Largest number of tokens of a text.
            padding: As in a model card.
        """
        digest = hashlib.sha256(self.vocabulary).hexdigest()
        rule = TokenizerRule(
            kind="bert",
            source=Vocabulary(file=VOCABULARY, sha256=digest),
            tokens=len(self.tokens),
            context=context,
            padding=padding,
            pad_id=self.shape["pad_token_id"],
        )
        with files.atomic(folder / VOCABULARY) as part:
            part.write_bytes(self.vocabulary)
        return Tokenizer(rule, WeightsFile(folder / VOCABULARY, digest, "file"))


def _lines(vocabulary: bytes) -> list[str]:
    """Return the lines of a vocabulary file. Other line breaks than these are part of a token."""
    return vocabulary.decode("utf-8").replace("\r\n", "\n").removesuffix("\n").split("\n")


def build_reader(shape: dict[str, Any], read: BertFiles | None, dropout: float, *names: str | int) -> Any:
    """Return a BERT with language head and cross-attention (`BertLMHeadModel`), ready to be trained.

    Cross-attention gets random weights, because no file has it; so does a language head that the file lacks.

    Args:
        shape: Fields of transformers' configuration that define the network.
        read: The BERT's files; None: all weights are random.
        dropout: Of hidden states and of attention.
        names: Name the first weights that are drawn.

    Raises:
        WeightsError: The files are not of this BERT.
    """
    from transformers import BertConfig, BertLMHeadModel

    rates: dict[str, Any] = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    config = BertConfig(**{**shape, **rates, "attn_implementation": "sdpa"}, is_decoder=True, add_cross_attention=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(*names))
        network = BertLMHeadModel(config)
    if read is not None:
        held = read.tensors(head=True)
        state = {name if name.startswith("cls.") else f"bert.{name}": value for name, value in held.items()}
        own = {name: state.get(TIED.get(name, name), value) for name, value in network.state_dict().items()}
        drawn = {name for name in own if "crossattention" in name or name.startswith("cls.")}
        if lacking := sorted(own.keys() - state.keys() - drawn):
            raise WeightsError(f"{read.weights} has no tensor {lacking[0]}", "get all the BERT's files from one source")
        fill(network, own, read.weights)
    return network


def build_bert(card: ModelCard, text: Text, read: BertFiles | None, *names: str | int) -> AveragedBert:
    """Return a text tower of a BERT with a linear map, ready to be trained.

    Args:
        card: The model that it will belong to.
        text: The tower, of kind `bert`.
        read: The BERT's files; None: its weights are random.
        names: Name the random first weights: those of the map and, without files, those of the BERT.

    Raises:
        WeightsError: The files are not of this BERT.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(*names))
        found = construct_text(card, text)
    assert isinstance(found, AveragedBert)
    if read is not None:
        missing, strange = found.model.load_state_dict(read.tensors(), strict=False)
        if lacking := [name for name in (*missing, *strange) if not name.startswith("pooler.")]:
            raise WeightsError(
                f"{read.weights} does not fit {read.folder / CONFIG}: tensor {lacking[0]}",
                "get all files of the BERT from one source",
            )
    return found
