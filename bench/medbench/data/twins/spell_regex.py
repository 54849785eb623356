"""A text that a regular expression is likely to find, spelled out from the expression itself.

For synthetic twins alone, which hold every name made so against the expression. The tree of an expression comes from
the standard library's own parser, which is not a public module: should it change, twins of some cards cannot be made.
"""

from __future__ import annotations

import importlib
import string
import sys
from collections.abc import Callable, Mapping
from typing import Any

_parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
LETTERS = string.ascii_lowercase + string.digits + string.ascii_uppercase + string.punctuation + " "
CATEGORIES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": str.isdigit,
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_WORD": lambda c: c.isalnum() or c == "_",
}
REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


class Speller:
    """Spells one expression.

    Args:
        pattern: The regular expression.
        fixed: Named part -> the text it gets, as it stands.
        digits: Named part (empty: all else) -> the digits that its open places get.
        branch: Which of several alternatives is taken, from 0; the last where there are fewer.
        ahead: Whether what is looked ahead for is spelled where that is done; else it must follow by itself.
    """

    def __init__(
        self,
        pattern: str,
        fixed: Mapping[str, str],
        digits: Mapping[str, str],
        branch: int = 0,
        *,
        ahead: bool = False,
    ) -> None:
        self.fixed, self.digits, self.branch, self.ahead = fixed, digits, branch, ahead
        self.tree = _parser.parse(pattern)
        self.names = {number: name for name, number in self.tree.state.groupdict.items()}
        self.said: dict[int, str] = {}

    def text(self) -> str:
        """Return the text."""
        return self._all(self.tree, self.digits.get("", "0"))

    def _all(self, tree: Any, digits: str) -> str:
        return "".join(self._one(str(op), args, digits) for op, args in tree)

    def _one(self, op: str, args: Any, digits: str) -> str:
        if op == "LITERAL":
            return chr(args)
        if op in ("ANY", "IN", "NOT_LITERAL"):
            return _letter(op, args, digits)
        if op == "BRANCH":
            return self._all(args[1][min(self.branch, len(args[1]) - 1)], digits)
        if op == "SUBPATTERN":
            return self._group(args[0], args[-1], digits)
        if op in REPEATS:
            return self._repeat(args, digits)
        if op == "GROUPREF":
            return self.said.get(args, "")
        if op == "ATOMIC_GROUP":
            return self._all(args, digits)
        if op == "ASSERT" and self.ahead and args[0] > 0:
            return self._all(args[1], digits)
        return ""  # anchors and looks ahead and behind take no place

    def _group(self, number: int, tree: Any, digits: str) -> str:
        name = self.names.get(number, "")
        if name in self.fixed:
            said = self.fixed[name]
        else:
            said = self._all(tree, self.digits.get(name, digits) if name else digits)
        self.said[number] = said
        return said

    def _repeat(self, args: Any, digits: str) -> str:
        low, high, tree = int(args[0]), int(args[1]), list(args[2])
        if high == 1 and low == 0:
            return ""
        op, inner = str(tree[0][0]), tree[0][1]
        if len(tree) == 1 and op in ("ANY", "IN", "NOT_LITERAL") and _takes(op, inner, "0"):
            return digits.zfill(low)[-high:]
        return self._all(tree, digits) * max(low, 1)


def _letter(op: str, args: Any, digits: str) -> str:
    return next((c for c in digits[-1] + LETTERS if _takes(op, args, c)), "x")


def _takes(op: str, args: Any, letter: str) -> bool:
    """Tell whether a place of an expression takes a letter."""
    if op == "ANY":
        return True
    if op == "NOT_LITERAL":
        return letter != chr(args)
    negated = str(args[0][0]) == "NEGATE"
    return negated != any(_among(str(kind), value, letter) for kind, value in args[negated:])


def _among(kind: str, value: Any, letter: str) -> bool:
    if kind == "LITERAL":
        return letter == chr(value)
    if kind == "RANGE":
        return bool(value[0] <= ord(letter) <= value[1])
    name = str(value)
    found = CATEGORIES[name.replace("_NOT_", "_")](letter)
    return found != ("_NOT_" in name)
