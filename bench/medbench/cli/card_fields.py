"""The reference of every field of a card, made from the schemas: name, what it takes, default, meaning."""

from __future__ import annotations

import inspect
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from medbench.cards.base import ClassNumber

WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "nothing"}
BOUNDS = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}
WIDTH = 80


@dataclass(frozen=True)
class FieldEntry:
    """One field of a card.

    Attributes:
        name: What stands before the colon in YAML.
        takes: The kind of value, with its bounds.
        default: The default as YAML shows it; `required` if there is none.
        text: What it means.
    """

    name: str
    takes: str
    default: str
    text: str


@dataclass(frozen=True)
class Part:
    """A mapping in a card: where it stands, such as `layout (kind: csv)`, what it is, and its fields."""

    place: str
    text: str
    fields: tuple[FieldEntry, ...]


def parts_of(schema: type[BaseModel]) -> list[Part]:
    """Return a card's fields, then those of each mapping in it, in the order in which they come up."""
    found: list[Part] = []
    waiting, known = [("", schema)], {schema}
    while waiting:
        place, model = waiting.pop(0)
        found.append(Part(place, _about(model), tuple(_entry(*pair) for pair in model.model_fields.items())))
        for name, field in model.model_fields.items():
            inner = [one for one in models_in(field.annotation) if one not in known]
            known.update(inner)
            of = f"{place.split(' (')[0]}.{name}".lstrip(".")
            waiting += [(of + _kind(one, len(inner)), one) for one in inner]
    return found


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the mappings that an annotation allows, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in models_in(inner)]


def lines_of(parts: list[Part]) -> Iterator[str]:
    """Yield the reference as lines of at most 80 characters."""
    for at, part in enumerate(parts):
        if at:
            yield ""
        if part.place:
            yield part.place
        yield from _wrapped(part.text, "  " if part.place else "")
        yield ""
        for field in part.fields:
            yield from _wrapped(f"{field.name}: {field.takes}; {field.default}", "  ", "      ")
            yield from _wrapped(field.text, "      ")


def _wrapped(text: str, indent: str, after: str | None = None) -> list[str]:
    rest = indent if after is None else after
    return [
        line
        for paragraph in text.split("\n")
        for line in textwrap.wrap(
            paragraph, WIDTH, initial_indent=indent, subsequent_indent=rest, break_on_hyphens=False
        )
    ]


def _about(model: type[BaseModel]) -> str:
    """Return a schema's docstring: paragraphs in one line each, points in a line of their own."""
    paragraphs = inspect.cleandoc(model.__doc__ or "").replace("\n- ", "\n\n- ").split("\n\n")
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _kind(model: type[BaseModel], of: int) -> str:
    """Return what tells a form of a mapping from the others, if there are several."""
    field = model.model_fields.get("kind")
    return f" (kind: {get_args(field.annotation)[0]})" if field is not None and of > 1 else ""


def _entry(name: str, field: FieldInfo) -> FieldEntry:
    bounds = [
        f"{word} {getattr(rule, sign):g}"
        for rule in field.metadata
        for sign, word in BOUNDS.items()
        if hasattr(rule, sign)
    ]
    takes = " ".join([_takes(field.annotation), *bounds])
    return FieldEntry(name, takes, _default(field), " ".join((field.description or "").split()))


def _takes(annotation: Any, several: bool = False) -> str:
    """Return what a field takes, in words; `several`: of many, for the plural."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation == ClassNumber:
        return "classes" if several else "class"
    if origin is Annotated:
        return _takes(args[0], several)
    if origin is Literal:
        return " | ".join(str(value) for value in args)
    if origin in (Union, types.UnionType):
        options = [one for one in args if one is not type(None)]
        words = dict.fromkeys(_takes(one, several) for one in options)
        return " or ".join(words)
    if origin is tuple:
        return f"list of {len(args)} numbers"
    if origin is dict:
        return f"mapping of {_takes(args[0], True)} to {_takes(args[1], several=True)}"
    if origin is list:
        return f"list of {_takes(args[0], several=True)}"
    if annotation is Any:
        return "any value"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mappings (below)" if several else "mapping (below)"
    word = WORDS.get(annotation, str(annotation))
    return f"{word}s" if several and word in ("text", "whole number", "number") else word


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if field.default_factory is not None:
        value = field.default_factory()  # type: ignore[call-arg]
    if isinstance(value, BaseModel) or value is None or value in ("", [], {}):
        return "optional"
    if isinstance(value, (list, tuple)):
        return f"default: [{', '.join(map(str, value))}]"
    return f"default: {str(value).lower() if isinstance(value, bool) else _shown(value)}"


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) and not value.replace("-", "").isalnum() else str(value)


def as_json(parts: list[Part]) -> list[Mapping[str, Any]]:
    """Return the reference as plain mappings."""
    return [{"place": p.place, "text": p.text, "fields": [vars(field) for field in p.fields]} for p in parts]
