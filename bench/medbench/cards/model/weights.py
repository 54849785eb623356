"""Where a weights file is, and how its tensors map to a network."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from medbench.cards.base import Pattern, Strict


class Hub(Strict):
    """A file in a Hugging Face repository, at a fixed revision."""

    repo: str = Field(description="Repository id, owner/name.")
    file: str = Field(description="File in the repository.")
    alike: list[str] = Field(default_factory=list, description="Other names of this file in repositories.")
    revision: str = Field(description="Commit hash (or tag) of the repository for which the card was written.")


class Weights(Strict):
    """Where the official file is, and how its tensors map to the network's parameters.

    The mapping runs in this order: `key` selects the state dict, names without `prefix` are ignored and the
    prefix is removed, `rename` rewrites, `drop` removes, `transpose` turns, `absent` adds. After it every name must be
    one of the network's and every parameter of the network must be filled.
    """

    noun: ClassVar[str] = "weights"  # what messages call it

    url: str | None = Field(None, description="Web address of the official file.")
    hub: Hub | None = Field(None, description="File on the Hugging Face hub, used if there is no `url`.")
    file: str | None = Field(None, description="Local file: absolute path, or path relative to the card's folder.")
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{8,64}$", description="SHA-256 digest of the file, or the first digits of it."
    )
    bytes: int | None = Field(None, gt=0, description="Size of the file in bytes.")
    key: str | None = Field(None, description="Dotted path to the state dict in the file, e.g. `model`.")
    prefix: str | list[str] = Field(
        "",
        description="Prefix of the encoder's tensors; other tensors are ignored. Of several prefixes, the first "
        "one found is used.",
    )
    rename: dict[Pattern, str] = Field(
        default_factory=dict, description="Regular expression -> replacement in tensor names, applied in order."
    )
    drop: list[Pattern] = Field(
        default_factory=list, description="Regular expressions for the complete names of tensors that are left out."
    )
    transpose: list[str] = Field(
        default_factory=list, description="Names of matrices that the file stores transposed, as (in, out)."
    )
    lead: list[str] = Field(
        default_factory=list,
        description="Names of tensors that the file stores without their leading axes of length 1.",
    )
    absent: dict[str, float] = Field(
        default_factory=dict, description="Parameter that is never in files of this kind -> constant that it is set to."
    )
    convert: Literal["library"] | None = Field(
        None, description="`library`: tensor names and position tables are converted by the library's own code instead."
    )
    licence: str = Field("", description="Licence of the weights.")
    gated: bool = Field(False, description="Whether a form or an access token is needed to get the file.")
    access: str = Field("", description="How to get the file if it cannot be downloaded directly.")

    @property
    def filename(self) -> str | None:
        """The name of the official file."""
        place = self.url or (self.hub.file if self.hub else self.file)
        return place.rstrip("/").split("/")[-1] if place else None


class Vocabulary(Weights):
    """Vocabulary file of a tokenizer, with the same fields for place and digest as weights."""

    noun: ClassVar[str] = "vocabulary"
