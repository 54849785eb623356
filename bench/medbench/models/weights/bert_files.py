"""The files of a BERT as its authors publish it. Imports no torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.errors import WeightsError
from medbench.storage import files
from medbench.storage.digests import file_digests

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, VOCABULARY = "config.json", "vocab.txt"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
FIELDS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    *("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id"),
)
"""The fields of the configuration that define the network; the dropout is that of the recipe."""


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
                    f"put {CONFIG}, {VOCABULARY} and {' or '.join(WEIGHTS)} there; without `bert`, weights are random",
                )
        return cls(folder, weights)

    @property
    def digest(self) -> str:
        """The digest of all three files."""
        return files.digest(file_digests([self.folder / CONFIG, self.folder / VOCABULARY, self.weights]))

    def arguments(self) -> dict[str, Any]:
        """Return the fields of the configuration that define the network.

        Raises:
            WeightsError: The configuration cannot be read.
        """
        path = self.folder / CONFIG
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            return {name: held[name] for name in FIELDS if name in held}
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(f"cannot read {path}: {error}", "download the file again") from error

    def tensors(self, *, head: bool = False) -> dict[str, Tensor]:
        """Return the tensors of the BERT alone, under the names that transformers uses today.

        Args:
            head: Also return those of the language head, `cls.…`; not every file has them.
        """
        from medbench.models.weights.read import read_file

        found = {}
        for full, value in read_file(self.weights).items():
            name = full.removeprefix("bert.")
            if (head or not name.startswith("cls.")) and not name.endswith("position_ids"):
                found[re.sub(r"LayerNorm\.(gamma|beta)$", _new_name, name)] = value
        return found


def _new_name(match: re.Match[str]) -> str:
    return "LayerNorm." + {"gamma": "weight", "beta": "bias"}[match[1]]
