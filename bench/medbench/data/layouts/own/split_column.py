"""What the cells of a user's split column mean; nothing that they say is passed over in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from medbench.cards.dataset.splits import Split
from medbench.data.layouts.csv_table import Columns
from medbench.data.layouts.own.spelling import MAY_SPLIT, SPLIT, pick, plain, usual_split
from medbench.data.layouts.targets import HOT
from medbench.errors import DataError

MOST_FOLDS = 20
TOLD: dict[str, tuple[Split, Split]] = {
    **dict.fromkeys(("istrain", "istraining", "intrain"), ("train", "test")),
    **dict.fromkeys(("istest", "istesting", "intest"), ("test", "train")),
}
"""Column of 0 and 1 -> what 1 means, and what 0 means."""
WORDS = "train, val and test (or validation, dev, …)"


@dataclass(frozen=True)
class Splitting:
    """What a split column says.

    Attributes:
        column: Its name; None: there is none, and the split is drawn.
        values: Text -> split; empty where the texts are usual words.
        blank: Whether rows without a text are left out.
        note: What is to be said of it.
    """

    column: str | None = None
    values: dict[str, Split] = field(default_factory=dict)
    blank: bool = False
    note: str = ""


def find(columns: Columns, others: Sequence[str], chosen: str | None, *, tested: bool = True) -> Splitting:
    """Return what the split column says: the chosen one, one with a usual name, or one of nothing but splits.

    Args:
        columns: The table.
        others: Columns that mean something else.
        chosen: The column that the user names.
        tested: Whether rows for testing are needed: without any, those for validation become the test.

    Raises:
        DataError: A cell is no split, or no row is for training or for testing.
    """
    left = [name for name in columns.cells if name not in others]
    name = chosen or pick(left, (*SPLIT, *TOLD)) or next((one for one in left if _by_words(columns, one)), None)
    if name is None:
        return Splitting()
    counts = Counter(columns.cells[name])
    blank = counts.pop("", 0)
    if not blank and len(counts) == 1:
        return Splitting(note=f"; column '{name}' has '{next(iter(counts))}' in every row and is not used")
    if not counts and not chosen:
        return Splitting(note=f"; column '{name}' is empty and is not used")
    if plain(name) in TOLD:
        values, note = _told(columns, name, counts)
    else:
        values, note = _folds(columns, name, counts) if _are_folds(counts) else _words(columns, name, counts, tested)
    gone = f"; {blank} rows without one are left out" if blank else ""
    return Splitting(name, values, bool(blank), f"{note}{gone}")


def _by_words(columns: Columns, name: str) -> bool:
    """Tell whether a column holds splits: all its texts are words of two; of one that may be called so, any is."""
    kinds = set(columns.cells[name]) - {""}
    if len(kinds) > 2 * MOST_FOLDS:
        return False
    found = {usual_split(text) for text in kinds}
    return bool(found - {""}) if plain(name) in MAY_SPLIT else "" not in found and len(found) > 1


def _are_folds(counts: Counter[str]) -> bool:
    return 2 < len(counts) <= MOST_FOLDS and all(text.isdecimal() for text in counts)


def _told(columns: Columns, name: str, counts: Counter[str]) -> tuple[dict[str, Split], str]:
    if strange := [text for text in counts if text not in HOT]:
        raise _unknown(columns, name, strange[0])
    one, zero = TOLD[plain(name)]
    return {text: one if HOT[text] else zero for text in counts}, f": 1 is {one}, 0 is {zero}; val is cut from train"


def _folds(columns: Columns, name: str, counts: Counter[str]) -> tuple[dict[str, Split], str]:
    if plain(name) in ("split", "splits", "datasplit", "partition"):
        raise _unknown(columns, name, next(iter(counts)))
    first, second, *rest = sorted(counts, key=int)
    values: dict[str, Split] = {first: "test", second: "val", **dict.fromkeys(rest, "train")}
    other = "for another fold, change layout.split_values in the card (medbench data card)"
    return values, f": fold {first} is test, {second} is val, {', '.join(rest)} are train; {other}"


def _words(columns: Columns, name: str, counts: Counter[str], tested: bool) -> tuple[dict[str, Split], str]:
    meant = {text: usual_split(text) for text in counts}
    if strange := [text for text in counts if not meant[text]]:
        raise _unknown(columns, name, strange[0])
    n = Counter[str]()
    for text, split in meant.items():
        n[split] += counts[text]
    shown = ": " + ", ".join(f"{split} {n[split]}" for split in ("train", "val", "test") if n[split])
    if not n["train"] or len(n) < 2:
        lacks = "train" if not n["train"] else "test"
        raise DataError(
            f"{columns.file}: column '{name}' has no row for {lacks}; it contains {', '.join(counts)}",
            f"write {WORDS}, or remove the column; then medbench draws the split",
        )
    if n["test"] or not tested:
        return {}, shown + ("" if n["val"] else "; val is cut from train")
    values: dict[str, Split] = {text: "train" if split == "train" else "test" for text, split in meant.items()}
    return values, f"{shown}; no row is test, so the val rows are used as test, and val is cut from train"


def _unknown(columns: Columns, name: str, text: str) -> DataError:
    cells = columns.cells[name]
    return DataError(
        f"{columns.where(cells.index(text), name)}: '{text}' is not a split ({cells.count(text)} such rows)",
        f"use {WORDS}; an empty cell leaves the row out; for another column: --split-column",
    )
