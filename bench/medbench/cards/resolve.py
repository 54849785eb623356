"""From a protocol card, a preset, a data set and `--set` to one checked set of numbers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from medbench.cards.find import dataset_kind, find_dataset, is_card, is_file_name
from medbench.cards.load import fields_at, parse_yaml
from medbench.cards.model import ModelCard
from medbench.cards.protocol import DATASETS, ProtocolCard
from medbench.cards.recipes import KINDS, SETTINGS, Settings
from medbench.errors import CardError, MedbenchError, unknown

S = TypeVar("S", bound=Settings)

OWN = "own"
SEED = "{seed}"
"""In a split's name: each seed has a split of its own, as FLAIR's five hold-outs."""


def resolve(card: ProtocolCard, preset: str, dataset: str, changes: dict[str, Any]) -> Settings:
    """Return the settings of one job: the card's defaults, preset, data set, the preset's data set, then `changes`.

    Args:
        card: The protocol's card.
        preset: One of its presets.
        dataset: The data set's name in the card, of `dataset_entry`; empty: none.
        changes: Field -> value, dots in the name of a nested field.

    Raises:
        CardError: The preset is unknown, a field is unknown or a value does not fit, in the card or in `changes`.
    """
    if preset not in card.presets:
        raise unknown("preset", preset, card.presets, f"All: medbench show {card.name}")
    schema = SETTINGS[card.kind]
    merged = _merge({}, card.defaults)
    chosen = dict(card.presets[preset])
    own = chosen.pop(DATASETS, {})
    for layer in (chosen, card.datasets.get(dataset, {}), own.get(dataset, {})):
        merged = _merge(merged, layer)
    _check(schema, merged, f"protocol card {card.name}", "fix the card")
    return _check(schema, _merge(merged, _nest(changes)), "--set", f"see: medbench show {card.name}")


def dataset_entry(name: str) -> str:
    """Return the name under which a protocol card lists a data set's numbers: that of the data set's card.

    Sets of one's own share the entry `own`, whatever they are called: a label file, a folder, or a card file whose name
    no known card has.

    Raises:
        CardError: There is no such card.
    """
    if dataset_kind(name) != "card":
        return OWN
    found = find_dataset(name).name
    return OWN if is_file_name(name) and not is_card("datasets", found) else found


def per_seed(split: str | None) -> bool:
    """Tell whether a split's name (`flair-holdout@{seed}`) gives each seed a split of its own."""
    return SEED in (split or "")


def split_of(split: str, seed: int) -> str:
    """Return the name of one seed's split."""
    return split.replace(SEED, str(seed))


def fitting(kind: str, changes: dict[str, Any], kinds: Iterable[str]) -> dict[str, Any]:
    """Return the changes that are for this kind of protocol: all but those of fields that only others of `kinds` have.

    A field that no kind has stays, so that `resolve` names it.
    """
    own = SETTINGS[kind].model_fields
    others = {field for other in kinds for field in SETTINGS[other].model_fields}
    return {key: value for key, value in changes.items() if key.split(".")[0] in own or key.split(".")[0] not in others}


def related(kind: str) -> list[str]:
    """Return the kinds whose settings a request for one kind may hold: itself, and those whose jobs it plans too."""
    known = KINDS[kind]
    return [kind, *filter(None, (known.first, known.last)), *known.tunes]


def parse_changes(words: Iterable[str]) -> dict[str, Any]:
    """Parse `key=value` words; values are read as in cards: `[1e-4, 1e-3]`, `true` and `12` mean what they look like.

    Raises:
        MedbenchError: A word has no `=`, or the value is not YAML.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, sign, text = word.partition("=")
        if not sign or not key.strip():
            raise MedbenchError(f"--set {word}: not in the form key=value", "e.g. --set epochs=50 --set augment.hue=0")
        try:
            found[key.strip()] = parse_yaml(text)
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or str(error)
            raise MedbenchError(
                f"--set {word[:200]}: the value cannot be read: {problem}", "put texts with : or [ in quotes"
            ) from error
    return found


def _nest(changes: dict[str, Any]) -> dict[str, Any]:
    """Turn dotted keys into nested ones."""
    found: dict[str, Any] = {}
    for key, value in changes.items():
        *outer, last = key.split(".", 10)
        place = found
        for step in outer:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise MedbenchError(
                    f"--set {key}: '{step}' is also set as a whole", "set either the field or its parts, not both"
                )
        place[last] = value
    return found


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` on top, mappings merged field by field."""
    found = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = _merge(found[key], value) if both else value
    return found


def _check(schema: type[Settings], values: dict[str, Any], source: str, hint: str) -> Settings:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(step) for step in fault["loc"])
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(
                str(fault["loc"][-1]), fields_at(schema, fault["loc"][:-1]), n=3, cutoff=0.5
            )
            meant = ", ".join(".".join([*map(str, fault["loc"][:-1]), name]) for name in near)
            raise CardError(
                f"{source}: unknown field '{field}'", f"did you mean: {meant}?" if near else hint
            ) from error
        text = str(fault["msg"]).removeprefix("Value error, ")
        raise CardError(f"{source}: {field}={fault['input']!r}: {text}", hint) from error


def native(settings: S, model: ModelCard) -> S:
    """Return the settings with the model's own way from an image to an input, if they ask for it.

    Its whole way: crop, resize, padding, and its mean and deviation. Whoever asks for it cannot change a part of it;
    settings that do not ask are returned as they are. To do it twice is to do it once.

    Args:
        settings: The protocol's.
        model: The card as resolved.
    """
    if settings.transform == "protocol":
        return settings
    own = model.input
    changes: dict[str, Any] = {
        "fit": own.fit,
        "interpolation": own.interpolation,
        "foreground": own.foreground,
        "resize_ratio": 1.0 if own.fit in ("canvas", "longest") else 1 / own.crop,
        "fill": [round(255 * value) for value in own.mean] if own.fit == "longest" else None,
        "normalise": "model",
        "draft": False,
    }
    return settings.model_copy(update=changes)
