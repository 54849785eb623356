"""Regular expressions with a limit of time."""

from __future__ import annotations

import re

import pytest

from medbench.errors import CardError
from medbench.storage.patterns import Expression


@pytest.mark.parametrize("pattern", [r"(\d+)_(?P<part>[a-z]*)", "^a|b$", r"\bx", "(?i)é.", ""])
@pytest.mark.parametrize("text", ["12_ab a", "b", "x x", "É1", ""])
def test_finds_what_re_finds(pattern: str, text: str) -> None:
    made = Expression(pattern)
    for ours, theirs in (
        (made.search(text), re.search(pattern, text)),
        (made.fullmatch(text), re.fullmatch(pattern, text)),
    ):
        assert (ours and (ours.span(), ours.groupdict())) == (theirs and (theirs.span(), theirs.groupdict()))
    assert made.sub(r"<\g<0>>", text) == re.sub(pattern, r"<\g<0>>", text)


def test_ends_where_re_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medbench.storage.patterns.LIMIT", 0.05)
    made, text = Expression("(a|aa|a?)+$"), "a" * 200 + "b"
    for match in (made.search, made.fullmatch, lambda text: made.sub("x", text)):
        with pytest.raises(CardError, match="did not finish"):
            match(text)


def test_what_is_no_expression_or_replacement() -> None:
    with pytest.raises(CardError, match="is not a regular expression"):
        Expression("(")
    with pytest.raises(CardError, match="cannot be replaced"):
        Expression("a").sub(r"\3", "a")
