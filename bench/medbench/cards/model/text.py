"""The text tower of a vision-language pair, and how texts become its token ids."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from medbench.cards.base import Strict
from medbench.cards.model.weights import Vocabulary, Weights
from medbench.cards.prompts.card import Template


class Tokenizer(Strict):
    """Tokenizer of a text tower."""

    kind: Literal["clip", "bert", "sentencepiece"] = Field(
        description="`clip`: CLIP's byte-pair encoding, part of open_clip; `bert`: WordPiece with a vocab.txt; "
        "`sentencepiece`: a tokenizer.json of the library `tokenizers`."
    )
    source: Vocabulary | None = Field(None, description="File of the vocabulary; not used by `clip`.")
    tokens: int | None = Field(None, gt=0, description="Size of the vocabulary; checked if given.")
    lower: bool = Field(True, description="Whether texts are converted to lower case, even if the vocabulary is cased.")
    context: int = Field(77, gt=2, le=100_000, description="Maximum number of tokens; longer texts are cut.")
    padding: Literal["fixed", "longest"] = Field(
        "fixed", description="Pad to the maximum number of tokens, or to the longest text of the batch (FLAIR)."
    )
    pad_id: int = Field(0, ge=0, description="Id of the padding token.")
    clean: Literal["none", "whitespace", "canonicalize"] = Field(
        "none", description="How texts are cleaned first; `canonicalize` removes punctuation (SigLIP)."
    )

    @model_validator(mode="after")
    def _file_where_needed(self) -> Tokenizer:
        if (self.source is None) != (self.kind == "clip"):
            raise ValueError(
                "source: kind `clip` takes no file, since its vocabulary comes with open_clip; other kinds need one"
            )
        return self


class Text(Strict):
    """The text tower of a vision-language model; it is in the same weights file as the image encoder."""

    library: Literal["open_clip", "transformers"] = Field(description="Library that builds the text tower.")
    arch: str = Field(
        description="Name of the architecture in the library: a model of open_clip, or `bert` or `siglip` of "
        "transformers."
    )
    args: dict[str, Any] = Field(default_factory=dict, description="Fields of the library's model configuration.")
    weights: Weights = Field(
        default_factory=Weights, description="How the tensors of the weights file map to the text tower."
    )
    hidden: list[int] = Field(
        default_factory=list,
        description="`bert`: numbers of the hidden states that are averaged over all "
        "positions, including padding (FLAIR).",
    )
    l2: bool = Field(False, description="Scale vectors to unit length before and after the projection (FLAIR).")
    dim: int = Field(gt=0, description="Length of an embedding.")
    tokenizer: Tokenizer = Field(
        default_factory=lambda: Tokenizer(kind="clip"), description="Tokenizer; default: CLIP's."
    )
    image: str | None = Field(
        None,
        description="Pooled feature in the embedding space shared with texts: one of `alternatives`; default: "
        "the card's.",
    )
    template: Template = Field("{}", description="Template of the model's authors; `{}` is replaced by the class name.")
    prototype: Literal["unit", "flair", "raw"] = Field(
        "unit",
        description="How the model's authors combine the texts of a class into one vector; see the setting "
        "`prototype`.",
    )
    scale: float | None = Field(
        None,
        gt=0,
        description="Factor that the authors' zero-shot code applies to cosine similarities; default: "
        "exp(logit_scale) of the weights file.",
    )

    def material(self) -> dict[str, Any]:
        """Return what can change an embedding; the texts and the vocabulary's digest are in the key next to it."""
        found = self.model_dump(mode="json", exclude={"dim", "template"}, exclude_defaults=True)
        found.get("weights", {}).pop("licence", None)
        found.get("tokenizer", {}).pop("source", None)
        return found
