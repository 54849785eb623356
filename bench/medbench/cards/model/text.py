"""The text tower of a vision-language pair."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from medbench.cards.base import Strict
from medbench.cards.model.weights import Weights


class Text(Strict):
    """The text tower that belongs to an image encoder; it is in the same file."""

    library: Literal["open_clip", "transformers"] = Field(description="The library that builds it.")
    arch: str = Field(description="The library's name of the architecture: open_clip's model, or `bert`.")
    args: dict[str, Any] = Field(default_factory=dict, description="Fields of the library's configuration.")
    weights: Weights = Field(default_factory=Weights, description="How the file's tensors map to the tower.")
    hidden: list[int] = Field(
        default_factory=list, description="`bert`: hidden states averaged over all positions, padding included (FLAIR)."
    )
    l2: bool = Field(False, description="Unit length before and after the projection (FLAIR).")
    dim: int = Field(gt=0, description="Length of an embedding.")
    image: str | None = Field(
        None, description="The pooled feature in the space shared with texts: one of `alternatives`; none: the card's."
    )
    template: str = Field("{}", description="The sentence that the model's authors put a class name into, as {}.")
    scale: float | None = Field(
        None, gt=0, description="Factor on cosines in the authors' zero-shot code; none: exp of the file's logit_scale."
    )

    def material(self) -> dict[str, Any]:
        """Return what can change an embedding; the texts themselves are in the key with their template."""
        found = self.model_dump(mode="json", exclude={"dim", "template"}, exclude_defaults=True)
        found.get("weights", {}).pop("licence", None)
        return found
