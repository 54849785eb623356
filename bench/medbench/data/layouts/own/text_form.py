"""How a table of one's own is written: text encoding, character between cells, line of the column names."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from medbench.data.layouts.csv_table import Columns, header_of, is_parquet, missing_file, read_columns
from medbench.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
SAMPLE = 1 << 16  # characters that are looked at
ROWS = 50


@dataclass(frozen=True)
class TextForm:
    """How a table is written; the names are those of a card's layout."""

    encoding: str = "utf-8-sig"
    delimiter: str = ","
    header: int = 1

    @property
    def note(self) -> str:
        """What is said of it, where it is not the usual form."""
        usual, found = TextForm(), []
        if self.encoding != usual.encoding:
            found.append(f"text in {self.encoding}")
        if self.delimiter != usual.delimiter:
            found.append("cells apart by " + {"\t": "tabs"}.get(self.delimiter, f"'{self.delimiter}'"))
        return ", ".join(found)


def text_form(file: Path) -> TextForm:
    """Return how a table is written, by its bytes and its first rows.

    Text that is not UTF-8 is taken for Windows' (cp1252), and UTF-16 is told by its first bytes.

    Raises:
        MissingDataError: The file is missing.
        DataError: It cannot be read.
    """
    if is_parquet(file):
        return TextForm()
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise missing_file(file) from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check the path and its permissions") from error
    encoding = _encoding(data)
    with io.TextIOWrapper(io.BytesIO(data), encoding, errors="replace", newline="") as text:
        sample = text.read(SAMPLE)
    told = re.match(r"sep=(.)\r?\n", sample)  # Excel's own line
    if told:
        return TextForm(encoding, told[1], 2)
    return TextForm(encoding, _delimiter(sample, whole=len(sample) < SAMPLE))


def _encoding(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in data[:64]:
        return "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _delimiter(sample: str, *, whole: bool) -> str:
    """Return the character by which most rows have as many cells as the header; of several the one with most cells."""
    best, score = DELIMITERS[0], (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row]
        except csv.Error:
            continue
        rows = rows[:ROWS] if whole or len(rows) < 2 else rows[:-1][:ROWS]
        width = len(rows[0]) if rows else 0
        found = (sum(len(row) == width for row in rows) / len(rows), width) if width > 1 else (0.0, 0)
        if found > score:
            best, score = delimiter, found
    return best


def read_own(file: Path, form: TextForm) -> tuple[Columns, list[str]]:
    """Return the columns of a table whose name is there once, and the names that are there twice.

    Raises:
        MissingDataError: The file is missing.
        DataError: It is empty or not CSV.
    """
    heads = header_of(file, delimiter=form.delimiter, encoding=form.encoding, header=form.header)
    counts = Counter(filter(None, heads))
    once = [name for name, n in counts.items() if n == 1]
    columns = read_columns(file, once, delimiter=form.delimiter, encoding=form.encoding, header=form.header)
    return columns, [name for name, n in counts.items() if n > 1]
