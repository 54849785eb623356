"""What `--by` asks for: columns of the labels, with or without bins, and the groups that they make."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from medbench.errors import CardError, DataError
from medbench.metrics.scores import Ints
from medbench.records.groups import natural

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 30
"""Patients (images if no patients are known) of a group that is measured, if the user does not say."""
MOST = 20
"""Groups of a column; with more, it is no grouping but a number or a name."""
MISSING = {"", "na", "n/a", "nan", "null", "unknown", "missing", "?", "-"}
"""Texts of a cell that tell nothing, in small letters."""
UNKNOWN = "unknown"
AGE = re.compile(r"(\d{1,3})Y")
"""An age as DICOM writes it."""
HOW = "separate columns by commas, and give bins after colons: sex,age:40:60,sex*age:60"

Labels = Callable[[Sequence[str]], "pd.DataFrame"]
"""Columns -> the labels of a data set: id, group, target, and `subgroup_<column>` for each."""


@dataclass(frozen=True)
class Factor:
    """One column.

    Attributes:
        column: Its name.
        cuts: Ends of the bins, ascending; none: each text is a group.
    """

    column: str
    cuts: tuple[float, ...] = ()

    def names(self, texts: Sequence[str]) -> list[str]:
        """Return the group of each text, or `unknown`.

        Raises:
            DataError: There are bins, and a text is no number.
        """
        return [self._name(text.strip()) if _tells(text) else UNKNOWN for text in texts]

    def _name(self, text: str) -> str:
        if not self.cuts:
            return text
        value = _number(text)
        if math.isnan(value):
            raise DataError(
                f"--by {self.column}: '{text}' is not a number, so it cannot be put in a bin",
                f"remove the bins: {self.column}",
            )
        return self.bins[int(np.searchsorted(self.cuts, value, "right"))]

    @cached_property
    def bins(self) -> list[str]:
        """The bins' names, ascending; each contains its lower end and not its upper one."""
        ends = [f"{cut:g}" for cut in self.cuts]
        between = [f"{low} to <{high}" for low, high in pairwise(ends)]
        return [f"<{ends[0]}", *between, f"≥{ends[-1]}"] if ends else []

    def order(self, name: str) -> tuple[int, list[tuple[bool, int | str]]]:
        """Return the sort key of a group: bins by their ends, other groups by name."""
        return (self.bins.index(name) if name in self.bins else 0), natural(name)


def _tells(text: str) -> bool:
    """Tell whether the text of a cell says anything."""
    return text.strip().casefold() not in MISSING


def _number(text: str) -> float:
    """Return the number of a text, or the years of an age as DICOM writes it; nan if it is neither."""
    age = AGE.fullmatch(text)
    try:
        return float(age[1] if age else text)
    except ValueError:
        return math.nan


def usual_bins(column: str, texts: Sequence[str]) -> str:
    """Return how `By` is asked for a column that nobody chose bins for: numbers are cut at their median.

    Args:
        column: The column's name.
        texts: Its texts; a column of few different ones makes groups as it is.

    Raises:
        CardError: The name has a sign that `By` splits at.
    """
    if set(column) & set(",:*"):
        raise CardError(f"{column}: its name has a comma, colon or star", HOW)
    known = [text.strip() for text in texts if _tells(text)]
    values = [_number(text) for text in known]
    if len({*known}) <= MOST or not all(map(math.isfinite, values)):
        return column
    return f"{column}:{np.median(values):g}"


@dataclass(frozen=True)
class Grouping:
    """One grouping that is asked for: a column, or several crossed with each other."""

    factors: tuple[Factor, ...]

    @property
    def name(self) -> str:
        """Its name in tables."""
        return " × ".join(factor.column for factor in self.factors)

    @property
    def columns(self) -> list[str]:
        """The columns that it needs."""
        return [factor.column for factor in self.factors]

    def of(self, cells: Sequence[Sequence[str]]) -> Members:
        """Return who is in which group.

        Args:
            cells: Of each column, the text of each test image.

        Raises:
            DataError: There are too many groups, or fewer than two.
        """
        named = [factor.names(texts) for factor, texts in zip(self.factors, cells, strict=True)]
        rows = list(zip(*named, strict=True))
        found = sorted(
            {row for row in rows if UNKNOWN not in row},
            key=lambda row: [factor.order(name) for factor, name in zip(self.factors, row, strict=True)],
        )
        self._check([", ".join(row) for row in found])
        place = {row: i for i, row in enumerate(found)}
        member = np.array([place.get(row, -1) for row in rows], np.int64)
        return Members(self.name, tuple(", ".join(row) for row in found), member)

    def _check(self, names: list[str]) -> None:
        if len(names) > MOST:
            raise DataError(
                f"--by {self.name}: the test images have {len(names)} different values, more than {MOST} groups",
                "choose another column; for a column of numbers give bins, such as age:40:60",
            )
        if len(names) < 2:
            held = f"all test images have '{names[0]}'" if names else "no test image has a value"
            raise DataError(
                f"--by {self.name}: {held}, so there is nothing to compare", "choose another column or bins"
            )


@dataclass(frozen=True)
class Members:
    """Who is in which group.

    Attributes:
        by: Name of the grouping.
        names: Of the groups, in order.
        member: (n,) place of the group of each test image; -1: unknown.
    """

    by: str
    names: tuple[str, ...]
    member: Ints


@dataclass(frozen=True)
class By:
    """What the user asks for.

    Attributes:
        text: As typed: `sex,age:40:60`.
        labels: Reads the labels of the data set.
        fewest: Patients, or images, of a group that is measured.
        stored: Whether texts next to the predictions are used, where they are.
    """

    text: str
    labels: Labels
    fewest: int = FEWEST
    stored: bool = True

    @cached_property
    def groupings(self) -> list[Grouping]:
        """The groupings, each once.

        Raises:
            CardError: The text does not say which.
        """
        if self.fewest < 2:
            raise CardError(f"--min-group {self.fewest}: an interval needs at least two", "give 2 or more")
        words = [word.strip() for word in self.text.split(",")]
        return list(dict.fromkeys(Grouping(tuple(_factor(part) for part in word.split("*"))) for word in words))

    @property
    def columns(self) -> list[str]:
        """All columns that are needed, each once."""
        return list(dict.fromkeys(column for grouping in self.groupings for column in grouping.columns))


def _factor(text: str) -> Factor:
    column, *cuts = (part.strip() for part in text.split(":"))
    try:
        ends = tuple(map(float, cuts))
    except ValueError:
        ends = (math.nan,)
    if not column or not all(map(math.isfinite, ends)):
        raise CardError(f"--by '{text}' is not a column, or a column with bins", HOW)
    if list(ends) != sorted(set(ends)):
        raise CardError(f"--by '{text}': the bin edges must increase", HOW)
    return Factor(column, ends)
