"""Text tables: aligned lines for a pipe or a file, and a grid for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.table
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


def grid(
    heads: Sequence[str], rows: Iterable[Sequence[str | Text]], right: Sequence[bool], wrap: Sequence[bool], title: str
) -> rich.table.Table:
    """Return a table with frames for a terminal. Brackets in a text are plain text, not rich's markup.

    Args:
        heads: The head of each column.
        rows: Its cells.
        right: For each column, whether it is aligned to the right.
        wrap: For each column, whether long cells wrap.
        title: Above the table; empty: none.
    """
    from rich.table import Table
    from rich.text import Text

    made = Table(title=Text(title) if title else None, title_justify="left", header_style="bold")
    for head, to_right, may_wrap in zip(heads, right, wrap, strict=True):
        made.add_column(Text(head), justify="right" if to_right else "left", no_wrap=not may_wrap, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return made
