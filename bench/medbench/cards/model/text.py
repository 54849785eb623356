"""The text tower of a vision-language pair, and how texts become its token ids."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from medbench.cards.base import Strict
from medbench.cards.model.weights import Vocabulary, Weights
from medbench.cards.prompts.card import Template


class Tokenizer(Strict):
    """How a text becomes token ids."""

    kind: Literal["clip", "bert", "sentencepiece"] = Field(
        description="`clip`: CLIP's byte pairs, which come with open_clip; `bert`: word pieces from a vocab.txt;"
        " `sentencepiece`: from a tokenizer.json, as the library `tokenizers` writes it."
    )
    source: Vocabulary | None = Field(None, description="File of the vocabulary; none: that of `clip`.")
    tokens: int | None = Field(None, gt=0, description="Number of tokens, checked; none: not checked.")
    lower: bool = Field(True, description="Whether texts are lower-cased, also if the vocabulary is cased.")
    context: int = Field(77, gt=2, le=100_000, description="Largest number of tokens; longer texts are cut.")
    padding: Literal["fixed", "longest"] = Field(
        "fixed", description="Pad to the context, or to the longest text of the call (FLAIR)."
    )
    pad_id: int = Field(0, ge=0, description="Id of the padding.")
    clean: Literal["none", "whitespace", "canonicalize"] = Field(
        "none", description="How a text is cleaned first; `canonicalize` deletes punctuation (SigLIP)."
    )

    @model_validator(mode="after")
    def _file_where_needed(self) -> Tokenizer:
        if (self.source is None) != (self.kind == "clip"):
            raise ValueError(
                "source: kind `clip` takes no file, since its vocabulary comes with open_clip; other kinds need one"
            )
        return self


class Text(Strict):
    """The text tower that belongs to an image encoder; it is in the same file."""

    library: Literal["open_clip", "transformers"] = Field(description="The library that builds it.")
    arch: str = Field(
        description="The library's name of the architecture: open_clip's model, or `bert`, `siglip` of transformers."
    )
    args: dict[str, Any] = Field(default_factory=dict, description="Fields of the library's configuration.")
    weights: Weights = Field(default_factory=Weights, description="How the file's tensors map to the tower.")
    hidden: list[int] = Field(
        default_factory=list, description="`bert`: hidden states averaged over all positions, padding included (FLAIR)."
    )
    l2: bool = Field(False, description="Unit length before and after the projection (FLAIR).")
    dim: int = Field(gt=0, description="Length of an embedding.")
    tokenizer: Tokenizer = Field(
        default_factory=lambda: Tokenizer(kind="clip"), description="How a text becomes token ids; none: as in CLIP."
    )
    image: str | None = Field(
        None, description="The pooled feature in the space shared with texts: one of `alternatives`; none: the card's."
    )
    template: Template = Field("{}", description="The sentence that the model's authors put a class name into, as {}.")
    prototype: Literal["unit", "flair", "raw"] = Field(
        "unit", description="How the model's authors make one vector from a class's texts; see the setting `prototype`."
    )
    scale: float | None = Field(
        None, gt=0, description="Factor on cosines in the authors' zero-shot code; none: exp of the file's logit_scale."
    )

    def material(self) -> dict[str, Any]:
        """Return what can change an embedding; the texts and the vocabulary's digest are in the key beside it."""
        found = self.model_dump(mode="json", exclude={"dim", "template"}, exclude_defaults=True)
        found.get("weights", {}).pop("licence", None)
        found.get("tokenizer", {}).pop("source", None)
        return found
