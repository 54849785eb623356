"""Errors that users see."""

from __future__ import annotations

import pickle

import pytest

from medbench import errors
from medbench.errors import (
    CardError,
    MedbenchError,
    MissingDataError,
    WeightsError,
    collected,
    few,
    first_line,
    joined,
    parts_of,
    unknown,
    visible,
)


def test_an_error_has_a_message_and_a_hint():
    error = MedbenchError("labels.csv:3: no such grade", "use 0 to 4")
    assert (error.message, error.hint) == ("labels.csv:3: no such grade", "use 0 to 4")
    assert str(error) == "labels.csv:3: no such grade\nuse 0 to 4"
    assert str(MedbenchError("only this")) == "only this"


def test_one_clause_catches_them_all():
    kinds = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(kinds) >= 6
    assert all(issubclass(kind, MedbenchError) for kind in kinds)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("dinov3", "did you mean: dinov2, dino"),
        ("dinov2x", "did you mean: dinov2, dino"),
        ("zzz", "known: dino, dinov2, sam"),
    ],
)
def test_an_unknown_name_comes_with_the_most_similar_ones(name, hint):
    error = unknown("model", name, {"sam", "dinov2", "dino"})
    assert isinstance(error, CardError)
    assert error.message == f"unknown model '{name}'"
    assert error.hint == hint


def test_a_long_list_is_cut_and_the_place_of_all_is_named():
    error = unknown("model", "?", [f"{i:03}" for i in range(50)], "All: medbench ls models")
    assert error.hint == f"known: {', '.join(f'{i:03}' for i in range(12))} …. All: medbench ls models"
    assert unknown("model", "x", []).hint == "known: (none)"


def test_several_mistakes_are_told_together() -> None:
    found: dict[str, MedbenchError] = {}
    for text in ("one", "two", "one"):
        with collected(found):
            raise MedbenchError(text, "do this")
    error = joined(found.values())
    assert error.message == "2 errors:\n  one\n  two"
    assert error.hint == "do this"
    assert joined([MedbenchError("one")]).message == "one"
    both = joined([error, MedbenchError("two", "do this"), MedbenchError("three", "first\nthen")])
    assert both.message == "3 errors:\n  one\n  two\n  three"
    assert both.hint == "do this\n      first\n      then"


def test_several_mistakes_pass_between_processes() -> None:
    error = joined([MissingDataError("one", "do this"), WeightsError("two")])
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert [type(part) for part in parts_of(copy)] == [MissingDataError, WeightsError]
    assert parts_of(copy)[0].hint == "do this"


@pytest.mark.parametrize(
    ("error", "line"), [(ValueError("one\ntwo"), "one"), (OSError("\n \ntwo"), "two"), (EOFError(), "EOFError")]
)
def test_an_error_of_a_library_is_one_line(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_control_characters_are_spelled_out() -> None:
    assert visible("a\x1b[31m\x07\r\u202e\x9b\ud800 é\t\n") == r"a\u001b[31m\u0007\u000d\u202e\u009b\ud800 é" + "\t\n"
    assert MedbenchError("\x1b", "\x1b").message == r"\u001b"


def test_long_lists_are_cut():
    assert few("abc") == "a, b, c"
    assert few(name for name in "abcde") == "a, b, c and 2 more"
    assert few(range(5), 1) == "0 and 4 more"
