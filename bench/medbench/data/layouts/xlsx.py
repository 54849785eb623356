"""Rows of a workbook (.xlsx) as text, so that label tables read alike wherever they come from."""

from __future__ import annotations

import datetime
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medbench.errors import DataError
from medbench.storage.archives import require_sound
from medbench.storage.files import open_regular

ENDINGS = (".xlsx", ".xlsm")
MOST_ROWS, MOST_CELLS = 1_048_576, 20_000_000
"""The rows are those of Excel."""


def is_workbook(file: Path) -> bool:
    """Tell whether a file is a workbook, by its ending."""
    return file.suffix.lower() in ENDINGS


def workbook_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (row number from 1, cells as text) of the first sheet; all rows have the same number of cells.

    Whole numbers have no decimals, empty cells are empty texts, and of a formula the kept result counts.

    Raises:
        FileNotFoundError: The file does not exist.
        DataError: It is no workbook, or has no sheet.
    """
    import openpyxl

    try:
        with warnings.catch_warnings(), open_regular(file) as held:
            warnings.simplefilter("ignore")  # about colours, drop-down lists and the like
            with zipfile.ZipFile(held) as parts:
                require_sound(parts, file.stat().st_size)
            book: Any = openpyxl.load_workbook(held, read_only=True, data_only=True)
            try:
                sheet = book.worksheets[0]
                sheet.reset_dimensions()  # some programs write a wrong size, by which rows would be cut off
                rows = [[_text(value) for value in row] for row in _bounded(sheet)]
            finally:
                book.close()
    except FileNotFoundError:
        raise
    except DataError as error:
        raise DataError(f"{file}: {error.message}", error.hint) from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check the path and its permissions") from error
    except (zipfile.BadZipFile, KeyError, ValueError, IndexError, SyntaxError, TypeError) as error:
        raise DataError(
            f"{file} is not a valid .xlsx workbook: {error}", "download it again, or save it again as .xlsx"
        ) from error
    width = max(map(len, rows), default=0)
    for number, row in enumerate(rows, 1):
        yield number, row + [""] * (width - len(row))


def _bounded(sheet: Any) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a sheet, whose number a small file can make as large as it likes."""
    cells = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells += len(row) + 1
        if number > MOST_ROWS or cells > MOST_CELLS:
            raise DataError(
                f"the sheet has more than {MOST_ROWS:,} rows, or {MOST_CELLS:,} cells", "save the needed columns as CSV"
            )
        yield row


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value).strip()
