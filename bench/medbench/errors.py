"""Errors that users see: what is wrong and where, then what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MedbenchError(Exception):
    """A user's mistake: shown as two lines, without a traceback.

    Attributes:
        message: What is wrong, and where.
        hint: What to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

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


class OutputError(MedbenchError):
    """A folder that cannot be written."""


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
