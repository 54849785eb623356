"""Label files as text: columns of cells, with the line of each row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench.data.layouts.xlsx import is_workbook, workbook_rows
from medbench.errors import DataError, MissingDataError, first_line
from medbench.storage.files import open_regular

LONGEST_CELL = 1 << 30
"""Characters of a cell; masks as run lengths are longer than the 131,072 of the csv module."""


@dataclass(frozen=True)
class Columns:
    """The wanted columns of one label file.

    Attributes:
        file: The file.
        cells: Column -> text of each row, stripped; a text like `0012` stays as it is.
        lines: Line of each row in the file, from 1.
    """

    file: Path
    cells: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, row: int, column: str = "") -> str:
        """Return `file:line` (and the column) of a row, for messages."""
        return f"{self.file}:{self.lines[row]}" + (f": column '{column}'" if column else "")

    def picked(self, rows: Sequence[int]) -> Columns:
        """Return only these rows."""
        cells = {name: [column[row] for row in rows] for name, column in self.cells.items()}
        return Columns(self.file, cells, [self.lines[row] for row in rows])


MOST_COLUMNS = 16_384
"""As many as a sheet of a workbook has."""


def missing_file(file: Path) -> MissingDataError:
    """Build the error for a label file that is missing."""
    return MissingDataError(f"the label file {file} does not exist (looked in {file.parent})")


def read_columns(
    file: Path,
    wanted: Iterable[str] | None = None,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    skip: str = "",
    header: int = 1,
    unnamed: str | None = None,
) -> Columns:
    """Read columns of a CSV or Parquet file, or of the first sheet of an .xlsx workbook, as text.

    Blank lines are passed over.

    Args:
        file: The file; one of its rows names the columns.
        wanted: The columns to keep; None: all that have a name.
        delimiter: One character between cells.
        encoding: Text encoding.
        skip: Lines above the header that start with this text are passed over.
        header: Line of the column names, from 1.
        unnamed: Name for the first column that has none.

    Raises:
        MissingDataError: The file is missing.
        DataError: The file is empty, not text, not CSV or not a workbook, a column is missing or there twice, a
            row is longer or shorter than the header, or there are no rows.
    """
    rows = _sheet(file, header) if is_workbook(file) else _rows(file, delimiter, encoding, skip, header)
    heads = _header(file, rows, unnamed)
    names = list(dict.fromkeys(wanted if wanted is not None else filter(None, heads)))
    picks = [_position(file, heads, name) for name in names]
    stores: list[list[str]] = [[] for _ in names]
    lines: list[int] = []
    width, pairs = len(heads), list(zip(stores, picks, strict=True))
    for line, row in rows:
        if len(row) != width:
            row = _repaired(file, line, row, heads, picks)
        if not any(row) or not any(map(str.strip, row)):
            continue
        for store, at in pairs:
            store.append(row[at].strip())
        lines.append(line)
    if not lines:
        raise DataError(f"{file} has a header but no rows", "check that the file is complete")
    return Columns(file, dict(zip(names, stores, strict=True)), lines)


def header_of(file: Path, *, delimiter: str = ",", encoding: str = "utf-8-sig", header: int = 1) -> list[str]:
    """Return the texts of the header, also those that are empty or there twice; see `read_columns`.

    Raises:
        MissingDataError: The file is missing.
        DataError: The file is empty, not text or not CSV.
    """
    rows = _sheet(file, header) if is_workbook(file) else _rows(file, delimiter, encoding, header=header)
    return _header(file, rows, None)


def read_lines(file: Path) -> Columns:
    """Read a text file with one name a line as the one column `name`. Blank lines are passed over.

    Raises:
        MissingDataError: The file is missing.
        DataError: The file is not text, or empty.
    """
    try:
        with open_regular(file) as handle:
            text = handle.read().decode("utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise missing_file(file) from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not a UTF-8 text file", "check that the file is complete") from error
    kept = [(number, line.strip()) for number, line in enumerate(text, 1) if line.strip()]
    if not kept:
        raise DataError(f"{file} is empty", "check that the file is complete")
    return Columns(file, {"name": [name for _, name in kept]}, [number for number, _ in kept])


def _sheet(file: Path, header: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (row number, cells) of a workbook from the header on."""
    try:
        yield from (pair for pair in workbook_rows(file) if pair[0] >= header)
    except FileNotFoundError as error:
        raise missing_file(file) from error


def _rows(
    file: Path, delimiter: str, encoding: str, skip: str = "", header: int = 1
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) from the header on, with the faults of the file itself turned into errors that name it."""
    if is_parquet(file):
        yield from _parquet(file)
        return
    line, above = 1, header - 1
    csv.field_size_limit(LONGEST_CELL)
    try:
        with open_regular(file) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as handle:
            for _ in range(above):
                handle.readline()
            reader = csv.reader(handle, delimiter=delimiter)
            for row in reader:
                line = reader.line_num + above
                if row and not (skip and row[0].startswith(skip)):
                    skip = ""
                    yield line, row
    except FileNotFoundError as error:
        raise missing_file(file) from error
    except (UnicodeError, LookupError) as error:
        raise DataError(
            f"{file} is not {encoding} text (after line {line})", "set layout.encoding in the card, e.g. to latin-1"
        ) from error
    except csv.Error as error:
        raise DataError(f"{file}: not CSV after line {line}: {error}", "look for a quote that is not closed") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check the path and its permissions") from error


def is_parquet(file: Path) -> bool:
    """Tell whether a table is a Parquet file, by its name."""
    return file.suffix.lower() == ".parquet"


def _parquet(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (row, cells) of a Parquet file, its column names first; a list becomes its members with `;` between."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file)
    except FileNotFoundError as error:
        raise missing_file(file) from error
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"cannot read {file}: {first_line(error)[:200]}", "check that the file is complete") from error
    yield 1, list(table.column_names)
    columns = [column.to_pylist() for column in table.columns]
    for row, cells in enumerate(zip(*columns, strict=True), start=2):
        yield row, [_as_text(cell) for cell in cells]


def _as_text(cell: object) -> str:
    if cell is None or cell != cell:  # a missing value, or the number NaN
        return ""
    return ";".join(map(_as_text, cell)) if isinstance(cell, list) else str(cell)


def _header(file: Path, rows: Iterator[tuple[int, list[str]]], unnamed: str | None) -> list[str]:
    _, header = next(rows, (0, []))
    if not header:
        raise DataError(f"{file} is empty", "it needs a header row, the first one unless the card sets `header`")
    if len(header) > MOST_COLUMNS:
        raise DataError(
            f"{file} has {len(header):,} columns, more than the {MOST_COLUMNS:,} of a label file",
            "keep only the columns of images, labels, patients and splits",
        )
    names = [name.strip() for name in header]
    if unnamed and "" in names and unnamed not in names:
        names[names.index("")] = unnamed
    return names


def _position(file: Path, header: list[str], name: str) -> int:
    count = header.count(name)
    if count == 1:
        return header.index(name)
    listed = ", ".join(filter(None, header))
    if count:
        raise DataError(f"{file} has the column '{name}' {count} times", "keep one of them")
    raise DataError(f"{file} has no column '{name}'", f"it has: {listed}. Name the right one in the card's layout")


def _repaired(file: Path, line: int, row: list[str], header: list[str], picks: Sequence[int]) -> list[str]:
    """Let pass what loses nothing: empty cells too many, and unread cells too few."""
    if len(row) > len(header) and not any(cell.strip() for cell in row[len(header) :]):
        return row[: len(header)]
    if max(picks, default=-1) < len(row) < len(header):
        return row
    raise DataError(
        f"{file}:{line}: the row has {len(row)} cells, the header {len(header)}",
        "fix this row: put values with a comma in quotes, or look above for a quote that is not closed",
    )
