"""YAML to card, with the file, the line and the field in every error."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from medbench.cards.base import FILE_NAME, Card
from medbench.errors import CardError, first_line, visible
from medbench.storage.files import open_regular

C = TypeVar("C", bound=Card)


MOST_BYTES, MOST_NODES, DEEPEST = 10_000_000, 200_000, 50
"""Bounds of a YAML text: its size, its values (those of an alias count each time), and brackets within brackets."""

MOST_FAULTS = 20
"""Faults of one card that are shown."""

REFUSED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What PyYAML's constructors raise for a value that does not fit its tag, such as `!!int abc`."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, with faults of YAML 1.1 fixed.

    A key given twice is refused (YAML would silently keep the last), and `1e-3` is a number, as in YAML 1.2. `0012`
    and `12:30` are texts: YAML 1.1 takes them for numbers to the base of 8 and 60. Dates are texts, too. What no card
    holds is refused: infinities, control characters, keys that are no single value, bytes and YAML's own sets.
    """

    yaml_constructors: ClassVar[dict[Any, Any]] = {
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if str(tag).rpartition(":")[2] not in ("binary", "omap", "pairs", "set")
    }
    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {
        first: [(tag, text) for tag, text in pairs if not tag.endswith(":timestamp")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node.

        Raises:
            yaml.MarkedYAMLError: The value does not fit its tag, is not finite, or holds a control character.
        """
        try:
            value = super().construct_object(node, deep=deep)
        except REFUSED as error:
            raise _fault_at(node, f"not a value of its kind: {str(error)[:200]}") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise _fault_at(node, f"{value} is not a finite number")
        if isinstance(value, str) and visible(value) != value:
            raise _fault_at(node, f"'{value[:80]}' contains a control character")
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node, whose keys must differ."""
        if not isinstance(node, yaml.MappingNode):
            raise _fault_at(node, "not a mapping")
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault_at(key, "a key must be one text or number")
            if key.value in seen:
                raise _fault_at(key, f"duplicate key '{key.value}'")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)  # type: ignore[no-any-return]

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int | str:
        """Return a whole number, or the text that only YAML 1.1 takes for one."""
        text = str(node.value)
        if ":" in text or re.match(r"[-+]?0[0-9]", text):
            return text
        return super().construct_yaml_int(node)  # type: ignore[no-any-return]


def _fault_at(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)
NUMBER = re.compile(r"[-+]?[0-9]{1,4}(\.[0-9]*)?[eE][-+]?[0-9]{1,2}$")
"""Numbers with an exponent that a person would write; too short to be a digest."""
Loader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+0123456789"))


def parse_yaml(text: str) -> Any:
    """Return the content of a YAML text, safely loaded.

    Raises:
        yaml.YAMLError: It is not YAML, is larger or deeper than any card, or holds what no card holds.
    """
    _bounded(text)
    loader = Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _bounded(text: str) -> None:
    """Check the size and depth of a YAML text before anything is built of it: its parts are counted one by one."""
    if len(text) > MOST_BYTES:
        raise yaml.YAMLError(f"it is longer than {MOST_BYTES:,} characters")
    sizes, open_, anchors = [0], [], {}
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            sizes.append(1)
            open_.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = sizes.pop(), open_.pop()
            anchors[anchor] = size
            sizes[-1] += size
        elif isinstance(event, yaml.AliasEvent):
            within = event.anchor in open_  # a collection in itself has no end; an unknown name is the composer's fault
            sizes[-1] += MOST_NODES if within else anchors.get(event.anchor, 0)
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
            anchors[event.anchor] = 1
        if len(sizes) > DEEPEST or sum(sizes) > MOST_NODES:
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(
                problem=f"more than {DEEPEST} nested brackets, or more than {MOST_NODES:,} values", problem_mark=mark
            )


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file, safely loaded.

    Raises:
        CardError: The file does not exist, or is not text or not YAML; names the line.
    """
    return _parsed(path, _read(path))


def _read(path: Path) -> bytes:
    """Return the content of a file; if it is too long, only its first `MOST_BYTES` + 1 bytes."""
    try:
        with open_regular(path) as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise CardError(f"cannot read the card {path}: {error.strerror}", "check the path") from error


def _parsed(path: Path, text: bytes) -> Any:
    """Return the content of a YAML text; `path` is the file that messages name."""
    try:
        return parse_yaml(text.decode("utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CardError(f"{path}:{line}: not YAML: {error.problem}", "fix that line; indentation matters") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CardError(f"{path}: not a YAML text file: {first_line(error)}", "cards are UTF-8 YAML files") from error


def load_card(path: Path, schema: type[C]) -> C:
    """Read and check one card. The same text of the same file is checked once, and gives the same card.

    Raises:
        CardError: One line per fault as `file:line: field: what`, all faults of the card at once.
    """
    card = _checked(path, schema, _read(path))
    assert isinstance(card, schema)
    return card.model_copy(deep=True)  # it holds dictionaries, which others may change


@lru_cache(512)  # a figure asks hundreds of times for the cards of its models and protocols
def _checked(path: Path, schema: type[Card], text: bytes) -> Card:
    """Return the card that a text describes; `path` is the file it was read from."""
    content = _parsed(path, text)
    if not isinstance(content, dict):
        raise CardError(f"{path}:1: a card is a mapping of fields", "for an example: medbench data card toy")
    if "name" not in content and not re.fullmatch(FILE_NAME, path.stem):
        raise CardError(
            f"{path}: the file name must be a valid card name, and '{path.stem}' is not",
            "rename the file: letters, digits, dots, dashes and underscores, no spaces",
        )
    content.setdefault("name", path.stem)
    try:
        card = schema.model_validate(content)
    except ValidationError as error:
        node = yaml.compose(text.decode("utf-8"), Loader=Loader) or yaml.MappingNode("", [])
        lines = [
            _fault(path, node, schema, fault)
            for fault in error.errors(include_url=False, include_input=False)[:MOST_FAULTS]
        ]
        if error.error_count() > MOST_FAULTS:
            lines.append(f"{path}: {error.error_count() - MOST_FAULTS:,} more errors")
        raise CardError("\n".join(lines), f"fix the card, then: {schema.checked_by} {path}") from error
    card._folder = path.parent
    return card


def line_of(path: Path, *keys: str) -> int:
    """Return the line, from 1, of a class in the file of a prompts card that was read before."""
    return _line_of(yaml.compose(path.read_text(encoding="utf-8"), Loader=Loader), ("prompts", *keys))[0]


def _fault(path: Path, node: yaml.Node | None, schema: type[BaseModel], fault: Any) -> str:
    location: tuple[int | str, ...] = fault["loc"]
    line, spot = _line_of(node, location)
    field = ".".join(str(part) for part in spot) or "card"
    text = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = fields_at(schema, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        more = f", did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}" if known else ""
        text = "unknown field" + more
    elif fault["type"] == "missing":
        text = "missing field"
    return f"{path}:{line}: {field}: {text}"


def _line_of(node: yaml.Node | None, location: Sequence[int | str]) -> tuple[int, list[int | str]]:
    """Follow `location` down the YAML nodes as far as it goes: (line from 1, the part that exists or is missing).

    pydantic puts the tags of unions between the steps; those that name no key are passed over.
    """
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


def fields_at(schema: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the field names of the model that `location` points into, as far as plain nesting can tell."""
    kind: Any = schema
    for step in location:
        if get_origin(kind) is dict:  # any key
            kind = get_args(kind)[1]
            continue
        field = getattr(kind, "model_fields", {}).get(step)
        inner = getattr(field, "annotation", None)
        options = [inner] if get_origin(inner) is dict else [inner, *get_args(inner)]
        kind = next((o for o in options if get_origin(o) is dict or _is_model(o)), None)
    return list(kind.model_fields) if _is_model(kind) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
