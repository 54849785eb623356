"""A BERT for a text tower that is to be trained: drawn at random, or read from the files of its authors."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medbench.cards import ModelCard
from medbench.cards.model import Text
from medbench.errors import WeightsError
from medbench.models.text.builders import AveragedBert, construct_text
from medbench.models.weights.read import fill, read_file
from medbench.seeding import seed_of
from medbench.storage import files
from medbench.storage.digests import file_digests

CONFIG, VOCABULARY = "config.json", "vocab.txt"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
FIELDS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    *("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id"),
)
"""What of the configuration makes the network; dropout is the recipe's."""
TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
"""Tensors of the language head that have another name in a file."""


@dataclass(frozen=True)
class BertFiles:
    """The files of a BERT.

    Attributes:
        folder: Where they are.
        weights: The tensors' file.
    """

    folder: Path
    weights: Path

    @classmethod
    def find(cls, folder: Path) -> BertFiles:
        """Return the files in a folder.

        Raises:
            WeightsError: One of them is missing.
        """
        weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), folder / WEIGHTS[0])
        for path in (folder / CONFIG, folder / VOCABULARY, weights):
            if not path.is_file():
                raise WeightsError(
                    f"{folder} is not the folder of a BERT: it has no {path.name}",
                    f"put {CONFIG}, {VOCABULARY} and {' or '.join(WEIGHTS)} there, or leave `bert` out to draw one",
                )
        return cls(folder, weights)

    @property
    def digest(self) -> str:
        """The digest of all three files."""
        return files.digest(file_digests([self.folder / CONFIG, self.folder / VOCABULARY, self.weights]))

    def arguments(self) -> dict[str, Any]:
        """Return the fields of the configuration that make the network.

        Raises:
            WeightsError: The configuration cannot be read.
        """
        path = self.folder / CONFIG
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            return {name: held[name] for name in FIELDS if name in held}
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(f"cannot read {path}: {error}", "get the file from the BERT's authors again") from error

    def tensors(self, *, head: bool = False) -> dict[str, Tensor]:
        """Return the tensors of the BERT alone, under the names of today's transformers.

        Args:
            head: Whether also those of the language head, `cls.…`; not every file has them.
        """
        found = {}
        for full, value in read_file(self.weights).items():
            name = full.removeprefix("bert.")
            if (
                (head or not name.startswith("cls."))
                and not name.endswith("position_ids")
                and isinstance(value, Tensor)
            ):
                found[re.sub(r"LayerNorm\.(gamma|beta)$", _new_name, name)] = value
        return found


def _new_name(match: re.Match[str]) -> str:
    return "LayerNorm." + {"gamma": "weight", "beta": "bias"}[match[1]]


def build_reader(shape: dict[str, Any], read: BertFiles | None, dropout: float, *names: str | int) -> Any:
    """Return a BERT with language head and cross-attention (`BertLMHeadModel`), ready to be trained.

    Cross-attention is drawn, since no file has it, and so is a language head that the file lacks.

    Args:
        shape: Fields of transformers' configuration that make the network.
        read: The BERT's files; None: all is drawn.
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
            raise WeightsError(f"{read.weights} has no tensor {lacking[0]}", "get all files of the BERT from one place")
        fill(network, own, read.weights)
    return network


def build_bert(card: ModelCard, text: Text, read: BertFiles | None, *names: str | int) -> AveragedBert:
    """Return a text tower of a BERT with a linear map, ready to be trained.

    Args:
        card: The model that it will belong to.
        text: The tower, of kind `bert`.
        read: The BERT's files; None: it is drawn.
        names: Name the first weights that are drawn: of the map, and without files of the BERT.

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
                "get all files from one place",
            )
    return found
