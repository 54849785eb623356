"""Errors that users see: what is wrong and where, then what to do."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What steers a terminal, turns the order of letters or cannot be encoded; not the tab and the end of a line."""


def visible(text: str) -> str:
    """Return a text from elsewhere fit for a terminal: control characters are spelled out."""
    if text.isprintable():
        return text
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def first_line(error: BaseException) -> str:
    """Return the first line with text of another library's error; the name of its class if it says nothing."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def few(names: Iterable[object], n: int = 3) -> str:
    """Return the first `n` names and how many more there are."""
    texts = list(map(str, names))
    return ", ".join(texts[:n]) + (f" and {len(texts) - n} more" if len(texts) > n else "")


class MedbenchError(Exception):
    """A user's mistake: shown as two lines, without a traceback.

    Attributes:
        message: What is wrong, and where.
        hint: What to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(visible(message))
        self.message = visible(message)
        self.hint = visible(hint)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class CardError(MedbenchError):
    """A card that is malformed, incomplete or unknown."""


class DataError(MedbenchError):
    """Images, labels or splits that are missing, unreadable or inconsistent."""


class MissingDataError(DataError):
    """Files of a data set that are not on disk; the readers add how to get them."""


class WeightsError(MedbenchError):
    """A weights file that is missing, damaged, unsafe or of another architecture."""


class UnreachableError(WeightsError):
    """A weights file that could not be downloaded because there is no network, or the server does not answer."""


class OutputError(MedbenchError):
    """A folder that cannot be written."""


class JoinedError(MedbenchError):
    """Several mistakes, said at once.

    Attributes:
        parts: Each of them.
    """

    def __init__(self, parts: Sequence[MedbenchError]) -> None:
        lines = "".join(f"\n  {error.message}" for error in parts)
        hints = dict.fromkeys(error.hint for error in parts if error.hint)
        hint = "\n".join(hints).replace("\n", "\n      ")
        super().__init__(f"{len(parts)} errors:{lines}", hint)
        self.parts = tuple(parts)

    def __reduce__(self) -> tuple[type[JoinedError], tuple[tuple[MedbenchError, ...]]]:
        """Tell how to make a copy in another process: of the parts, not of the text, as other errors."""
        return type(self), (self.parts,)


@contextlib.contextmanager
def collected(found: dict[str, MedbenchError]) -> Iterator[None]:
    """Add a user's mistake inside this block to `found`, by its text, and go on after the block."""
    try:
        yield
    except MedbenchError as error:
        found.setdefault(str(error), error)


def joined(errors: Iterable[MedbenchError]) -> MedbenchError:
    """Return one error that says all of them; what some of them say in common is said once."""
    first, *others = {str(part): part for error in errors for part in parts_of(error)}.values()
    return JoinedError([first, *others]) if others else first


def parts_of(error: MedbenchError) -> tuple[MedbenchError, ...]:
    """Return each mistake that an error says; of most errors, the error itself."""
    return error.parts if isinstance(error, JoinedError) else (error,)


def is_absence(error: MedbenchError) -> bool:
    """Tell whether all that an error says is that data or weights are not here yet."""
    return all(isinstance(part, (MissingDataError, WeightsError)) for part in parts_of(error))


def unknown(what: str, name: str, known: Iterable[str], where: str = "") -> CardError:
    """Return the error for an unknown name, with the most similar known names.

    Args:
        what: What the name stands for, such as `model`.
        name: The unknown name.
        known: All known names.
        where: A sentence that says where to find all of them.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    listed = ", ".join(near or known[:12]) + (" …" if not near and len(known) > 12 else "")
    lead = "did you mean" if near else "known"
    return CardError(f"unknown {what} '{name}'", f"{lead}: {listed or '(none)'}{'. ' + where if where else ''}")
