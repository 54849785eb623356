"""Regular expressions of cards, with a limit of time: some, such as `(a+)+b`, take longer than anyone waits."""

from __future__ import annotations

from typing import Any

import regex  # the standard library's has no limit

from medbench.errors import CardError

LIMIT = 5.0
"""Seconds for one text."""


class Expression:
    """A regular expression as Python's `re` understands it; a match that takes too long is an error.

    Attributes:
        text: The expression.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._compiled = regex.compile(text)
        except (regex.error, OverflowError, RecursionError) as error:
            raise CardError(f"'{text}' is not a regular expression: {error}", "fix it in the card") from error

    def search(self, text: str) -> Any:
        """Return the first match in a text, or None."""
        try:
            return self._compiled.search(text, timeout=LIMIT)
        except TimeoutError as error:
            raise self._endless(text) from error

    def fullmatch(self, text: str) -> Any:
        """Return the match of the whole text, or None."""
        try:
            return self._compiled.fullmatch(text, timeout=LIMIT)
        except TimeoutError as error:
            raise self._endless(text) from error

    def sub(self, new: str, text: str) -> str:
        """Return the text with all matches replaced.

        Raises:
            CardError: The replacement names a part that the expression has not, or it takes too long.
        """
        try:
            return str(self._compiled.sub(new, text, timeout=LIMIT))
        except TimeoutError as error:
            raise self._endless(text) from error
        except (regex.error, IndexError) as error:
            raise CardError(
                f"'{self.text}' cannot be replaced by '{new}': {error}", "fix layout.replace or weights.rename"
            ) from error

    def _endless(self, text: str) -> CardError:
        return CardError(
            f"the regular expression '{self.text}' did not finish within {LIMIT:.0f} s on '{text[:80]}'",
            "rewrite it in the card without nested repeats such as (a+)+",
        )
