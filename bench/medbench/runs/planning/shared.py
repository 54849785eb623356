"""What the jobs of a plan share, made once: results of calls, and the JSON texts that keys are digests of."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar, cast

from medbench.cards.recipes import EXECUTION, Settings
from medbench.storage import files

T = TypeVar("T")

MANY = {"inputs", "encoders", "slices", "stride", "balance"}
"""Settings that are used only where samples have several inputs."""
ABSORBED = {"split", "image_size", "library", "pooled", "transform", "precision", "prompts", "template"} | {
    *("bert", "dictionary")
}
"""Settings whose effect is elsewhere in the key: digests, size, model card, other settings, precision, texts."""

LATER = {"cosine_by", "decay_all", "keep_rest", "select_batch", "distance"}
"""Settings that were added after records had been made: at their defaults they are not part of the key."""


def recipe_of(settings: Settings, several: bool) -> dict[str, Any]:
    """Return the entry of a recipe: its kind, the version of the kind's code, and the settings that change numbers.

    Args:
        settings: The settings.
        several: Whether samples have several inputs.
    """
    fields = type(settings).model_fields
    plain = {name for name in LATER & set(fields) if getattr(settings, name) == fields[name].default}
    unused = ABSORBED | EXECUTION | plain | (set() if several else MANY)
    return {
        "kind": settings.kind.name,
        "version": settings.kind.version,
        **settings.model_dump(mode="json", exclude=unused),
    }


class Once:
    """Results of calls that many jobs repeat.

    What it returns stays alive as long as it does, so that `id` of such an object may be part of a key.
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def __call__(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returned when it was first called for this key."""
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])


class Entry(NamedTuple):
    """An entry of a job's material that other jobs have, too.

    Attributes:
        value: As the record shows it; do not change it, jobs share it.
        text: Its canonical JSON.
    """

    value: Any
    text: str


class Texts:
    """Entries of cards, settings and texts that many jobs have in their material; each is written as JSON once."""

    def __init__(self) -> None:
        self._parts: dict[Hashable, tuple[tuple[object, ...], Entry]] = {}

    def part(self, make: Callable[[], Any], *about: object, how: Hashable = None) -> Entry:
        """Return the entry that `make` makes of objects which never change, such as a card.

        Args:
            make: Makes the value of the entry.
            about: The objects.
            how: What else the value depends on.
        """
        key = (*map(id, about), how)
        if key not in self._parts:  # the objects are kept, too: after their end others could have their ids
            value = make()
            self._parts[key] = about, Entry(value, files.canonical(value))
        return self._parts[key][1]
