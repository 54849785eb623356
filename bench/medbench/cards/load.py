"""YAML to card, with the file, the line and the field in every error."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from medbench.cards.base import Card
from medbench.errors import CardError

C = TypeVar("C", bound=Card)


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, with faults of YAML 1.1 fixed.

    A key given twice is refused (YAML would silently keep the last), and `1e-3` is a number, as in YAML 1.2. `0012`
    and `12:30` are texts: YAML 1.1 takes them for numbers to the base of 8 and 60.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node, whose keys must differ."""
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key '{key.value}' is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)  # type: ignore[no-any-return]

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int | str:
        """Return a whole number, or the text that only YAML 1.1 takes for one."""
        text = str(node.value)
        if ":" in text or re.match(r"[-+]?0[0-9]", text):
            return text
        return super().construct_yaml_int(node)  # type: ignore[no-any-return]


Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
NUMBER = re.compile(r"[-+]?[0-9]{1,4}(\.[0-9]*)?[eE][-+]?[0-9]{1,2}$")
"""Numbers with an exponent that a person would write; too short to be a digest."""
Loader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+0123456789"))


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file, safely loaded.

    Raises:
        CardError: The file does not exist, or is not text or not YAML; names the line.
    """
    try:
        loader = Loader(path.read_text(encoding="utf-8"))
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CardError(f"{path}:{line}: not YAML: {error.problem}", "fix that line; indentation matters") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CardError(f"{path}: not a YAML text file", "cards are UTF-8 YAML files") from error
    except OSError as error:
        raise CardError(f"cannot read the card {path}: {error.strerror}", "check the path") from error


def load_card(path: Path, schema: type[C]) -> C:
    """Read and check one card.

    Raises:
        CardError: One line per fault as `file:line: field: what`, all faults of the card at once.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise CardError(f"{path}:1: a card is a mapping of fields", "see those that ship with medbench")
    content.setdefault("name", path.stem)
    try:
        card = schema.model_validate(content)
    except ValidationError as error:
        lines = [_fault(path, schema, fault) for fault in error.errors()]
        raise CardError("\n".join(lines), f"fix the card, then: medbench validate {path}") from error
    card._folder = path.parent
    return card


def _fault(path: Path, schema: type[BaseModel], fault: Any) -> str:
    location: tuple[int | str, ...] = fault["loc"]
    line, spot = _line_of(path, location)
    field = ".".join(str(part) for part in spot) or "card"
    text = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = _fields_at(schema, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        more = f", did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}" if known else ""
        text = "unknown field" + more
    elif fault["type"] == "missing":
        text = "missing field"
    return f"{path}:{line}: {field}: {text}"


def _line_of(path: Path, location: Sequence[int | str]) -> tuple[int, list[int | str]]:
    """Follow `location` down the YAML nodes as far as it goes: (line from 1, the part that exists or is missing).

    pydantic puts the tags of unions between the steps; those that name no key are passed over.
    """
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line, spot = 1, []
    for depth, step in enumerate(location):
        if isinstance(node, yaml.MappingNode):
            match = next(((k, v) for k, v in node.value if k.value == str(step)), None)
            if match:
                line, node = match[0].start_mark.line + 1, match[1]
                spot.append(step)
            elif depth == len(location) - 1:
                spot.append(step)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
            spot.append(step)
    return line, spot


def _fields_at(schema: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the field names of the model that `location` points into, as far as plain nesting can tell."""
    model: Any = schema
    for step in location:
        field = getattr(model, "model_fields", {}).get(step)
        inner = getattr(field, "annotation", None)
        options = [inner, *getattr(inner, "__args__", ())]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
        if model is None:
            return []
    return list(model.model_fields)
