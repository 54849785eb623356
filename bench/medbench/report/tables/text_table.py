"""Text tables: aligned lines for a pipe or a file, and a ruled table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medbench.errors import visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Return one line per row, with its cells two spaces apart.

    Args:
        rows: The head, then the rows: cells of one line each.
        right: For each column, whether it is aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.rjust if to_right else str.ljust for to_right in right]
    lines = ([side(cell, w) for side, cell, w in zip(sides, row, widths, strict=True)] for row in rows)
    return ["  ".join(line).rstrip() for line in lines]


@dataclass(frozen=True)
class Fit:
    """What a terminal shows of a table.

    Attributes:
        shown: The columns that fit, in order.
        widths: Their widths.
        hidden: The columns that do not fit, in order.
    """

    shown: list[int]
    widths: list[int]
    hidden: list[int]


def fit(natural: Sequence[int], least: Sequence[int], order: Iterable[int], width: int) -> Fit:
    """Choose the columns that fit a terminal.

    Args:
        natural: Width of each column without a line break in a cell.
        least: Width at which what must stay together does.
        order: The columns that may be left out, the first to go first.
        width: Of the terminal, in characters.
    """
    shown = list(range(len(natural)))
    for column in order:
        if _whole(least[i] for i in shown) <= width:
            break
        shown.remove(column)
    spare = width - _whole(least[i] for i in shown)
    widths = []
    for i in shown:
        more = min(max(spare, 0), natural[i] - least[i])
        spare -= more
        widths.append(least[i] + more)
    return Fit(shown, widths, [i for i in range(len(natural)) if i not in shown])


def _whole(widths: Iterable[int]) -> int:
    """Return the width of a table with two spaces between its columns."""
    return sum(width + 2 for width in widths) - 2


def longest_word(texts: Iterable[str], most: int) -> int:
    """Return the length of the longest word of some texts, `most` at the most: a cell so wide keeps words whole."""
    return min(max((len(word) for text in texts for word in text.split()), default=0), most)


def grid(
    heads: Sequence[str], rows: Iterable[Sequence[str | Text]], right: Sequence[bool], widths: Sequence[int], title: str
) -> RenderableType:
    """Return a table with a rule below its head, for a terminal. Brackets in a text are plain text, not rich's markup.

    Args:
        heads: The head of each column.
        rows: Its cells; longer ones wrap.
        right: For each column, whether it is aligned to the right.
        widths: Of each column.
        title: Above the table; empty: none.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(header_style="bold", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for head, to_right, width in zip(heads, right, widths, strict=True):
        made.add_column(Text(visible(head)), justify="right" if to_right else "left", overflow="fold", width=width)
    for row in rows:
        made.add_row(*(Text(visible(cell)) if isinstance(cell, str) else cell for cell in row))
    return Group(Text(visible(title)), made) if title else made
