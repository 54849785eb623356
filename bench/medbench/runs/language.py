"""The texts of a job's classes, and the text files that it reads. Imports no torch; `inputs.towers` embeds texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.cards import DatasetCard, ModelCard, Settings
from medbench.cards.find import find_prompts
from medbench.cards.prompts.sets import Prompts, prompt_sets
from medbench.cards.recipes import Prompted, ZeroShot
from medbench.errors import CardError, MedbenchError
from medbench.models.prototypes import Rule
from medbench.models.weights.bert_files import BertFiles
from medbench.models.weights.locate import RANDOM, WeightsFile, locate_vocabulary
from medbench.storage import files


@dataclass(frozen=True)
class JobLanguage:
    """The texts of a job's classes, and how they are used.

    Attributes:
        prompts: The chosen texts.
        others: Further sets of texts, to show how much the number depends on the texts.
        prototype: Rule of a class's vector.
        scale: Factor on cosines that the settings ask for.
        vocabulary: The tokenizer's file; None: CLIP's, which open_clip holds.
    """

    prompts: Prompts
    others: tuple[Prompts, ...]
    prototype: Rule = "unit"
    scale: float | None = None
    vocabulary: WeightsFile | None = None

    @classmethod
    def of(
        cls,
        model: ModelCard,
        dataset: DatasetCard,
        settings: Settings,
        weights: WeightsFile = RANDOM,
        *,
        download: bool = True,
    ) -> JobLanguage | None:
        """Return the language side of a job; None where the text tower is not used.

        Raises:
            CardError: The model has no text tower, or a class has no text.
            WeightsError: The tokenizer's file is missing, or its digest is not the card's.
        """
        if not settings.language:
            return None
        assert isinstance(settings, Prompted)
        if model.text is None:
            raise CardError(
                f"{model.name} has no text tower, which this protocol needs",
                "choose a vision-language model, such as clip, biomedclip or flair",
            )
        if settings.pooled not in (None, model.text.image):
            raise CardError(
                f"pooled={settings.pooled}: the text embeddings of {model.name} belong to another feature",
                f"remove pooled{f', or give {model.text.image}' if model.text.image else ''}",
            )
        chosen, *others = prompt_sets(dataset, settings, model.text.template)
        vocabulary = locate_vocabulary(model, weights, download=download)
        return cls(
            chosen,
            tuple(others) if isinstance(settings, ZeroShot) else (),
            settings.prototype or model.text.prototype,
            settings.scale,
            vocabulary,
        )

    def material(self, model: ModelCard) -> dict[str, Any]:
        """Return what can change a number: tower, tokenizer and texts."""
        return {
            "tower": model.text.material() if model.text else None,
            **({"vocabulary": self.vocabulary.sha256} if self.vocabulary else {}),
            "texts": self.prompts.material(),
            "others": [one.material() for one in self.others],
        }

    def described(self) -> dict[str, Any]:
        """Return every text that is embedded, and how, for the record."""
        sets = [self.prompts, *self.others]
        return {
            "prototype": self.prototype,
            "scale": self.scale,
            "vocabulary": self.vocabulary.sha256 if self.vocabulary else None,
            "prompts": self.prompts.source,
            "sets": {
                one.source: {"template": one.template, "texts": one.texts, "negatives": one.negatives} for one in sets
            },
            "digest": files.digest(self.prompts.material()),
        }


def with_digests(settings: Settings) -> Settings:
    """Return settings with the digests of the files that they name; these are part of the key, the names are not.

    Raises:
        MedbenchError: A file is missing, or the settings ask for another digest.
    """
    found: dict[str, str] = {}
    if (bert := getattr(settings, "bert", None)) is not None:
        found["bert"] = BertFiles.find(Path(bert).expanduser()).digest
    if (dictionary := getattr(settings, "dictionary", None)) is not None:
        found["dictionary"] = files.digest(find_prompts(dictionary).prompts)
    for name, digest in found.items():
        if (asked := getattr(settings, f"{name}_sha256")) not in (None, digest):
            raise MedbenchError(
                f"{name}={getattr(settings, name)}: its digest is {digest}, not {asked}",
                f"remove {name}_sha256, or get the right files",
            )
    return settings.model_copy(update={f"{name}_sha256": digest for name, digest in found.items()})
