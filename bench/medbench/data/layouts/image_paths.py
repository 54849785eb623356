"""From the cells of a label table to image paths: templates, regular expressions, and endings looked up on disk."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from medbench.cards.dataset import ENDINGS
from medbench.cards.dataset.example import FIELD
from medbench.data.layouts.csv_table import Columns
from medbench.errors import DataError
from medbench.storage import files
from medbench.storage.patterns import Expression

LONGEST_PATH, LONGEST_NAME = 4_000, 255
"""Characters; no file system here allows more."""


def filled(columns: Columns, template: str, *, required: bool = True) -> list[str]:
    """Fill `{column}` in the template for every row.

    Raises:
        DataError: A named cell is empty and `required`.
    """
    pieces = FIELD.split(template)  # text, column, text, column, …, text
    texts, names = pieces[0::2], pieces[1::2]
    if required:
        for name in names:
            if "" in (cells := columns.cells[name]):
                raise DataError(
                    f"{columns.where(cells.index(''), name)}: the cell is empty", "fill it in, or remove the row"
                )
    if not names:
        return [template] * len(columns)
    if len(names) == 1:
        before, after = texts
        return [f"{before}{cell}{after}" for cell in columns.cells[names[0]]]
    rows = zip(*(columns.cells[name] for name in names), strict=True)
    return ["".join(map("".join, zip(texts, (*row, ""), strict=True))) for row in rows]


def image_paths(
    columns: Columns, template: str, replace: Mapping[str, str], root: Path, allow_outside: bool
) -> list[str]:
    """Return the normalised image paths; an absolute path below `root` is taken as relative to it.

    Args:
        columns: The label table.
        template: Names columns in braces.
        replace: Regular expression -> replacement in the filled text, in order.
        root: The data folder.
        allow_outside: Let paths lead out of `root`.

    Raises:
        DataError: A path leaves `root`, with the line that names it.
    """
    base = os.path.abspath(root) + "/"  # noqa: PTH100 - links stay as they are named
    found = []
    for row, raw in enumerate(replaced(filled(columns, template), replace)):
        path = os.path.normpath(raw.replace("\\", "/").removeprefix(base))
        if len(path) > LONGEST_PATH or max(map(len, path.split("/"))) > LONGEST_NAME:
            raise DataError(
                f"{columns.where(row)}: the path '{path[:60]}…' is too long for a file", "check the row's cells"
            )
        if path.startswith(("/", "..")) and not allow_outside:
            try:
                files.inside(root, path)
            except DataError as error:
                raise DataError(f"{columns.where(row)}: {error.message}", error.hint) from error
        found.append(path)
    return found


def replaced(texts: Sequence[str], replace: Mapping[str, str]) -> list[str]:
    """Return the texts with every match of each regular expression replaced, one expression after the other."""
    found = list(texts)
    for pattern, new in replace.items():
        expression = Expression(pattern)
        found = [expression.sub(new, text) for text in found]
    return found


def parts(texts: Sequence[str], pattern: str, part: str, places: Sequence[str]) -> list[str]:
    """Return the named part of a regular expression in each text.

    Raises:
        DataError: A text does not match.
    """
    expression = Expression(pattern)
    found = []
    for text, place in zip(texts, places, strict=True):
        match = expression.search(text)
        if match is None or not match[part]:
            raise DataError(f"{place}: '{text}' contains no {part}", f"the card expects it to match {pattern}")
        found.append(match[part])
    return found


def on_disk(root: Path, paths: Sequence[str]) -> list[str]:
    """Return the paths as the disk spells them: `é` may be one sign or two (NFC, NFD) in a table and in a file name."""
    return [path if path.isascii() else _spelled(root, path) for path in paths]


def _spelled(root: Path, path: str) -> str:
    forms = (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))
    return next((form for form in forms if os.path.lexists(root / form)), path)


def stem(name: str) -> str:
    """Return a file name without its ending, if that is an image's."""
    base, dot, ending = name.rpartition(".")
    return base if dot and f".{ending.lower()}" in ENDINGS else name


class Endings:
    """Finds image files whose ending is not known. Each folder is listed once.

    Attributes:
        root: The data folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, dict[str, list[str]]] = {}

    def found(self, columns: Columns, named: Sequence[str]) -> list[str]:
        """Return the path of each image below the root: as named if that is there, else with the ending it has.

        A path of which nothing is there is returned as it is named.

        Raises:
            DataError: There are two files with the name and different endings, neither as named.
        """
        return [self._found(path, columns, row) for row, path in enumerate(named)]

    def _found(self, path: str, columns: Columns, row: int) -> str:
        folder, slash, name = path.rpartition("/")
        there = self._stems(folder).get(stem(name), [])
        if name in there or not there:
            return path
        if len(there) > 1:
            raise DataError(
                f"{columns.where(row)}: '{path}' is ambiguous: {' or '.join(sorted(there))} below {self.root}",
                "keep one of these files, or give the file extension in the card or the label file",
            )
        return f"{folder}{slash}{there[0]}"

    def _stems(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._folders:
            stems: dict[str, list[str]] = {}
            try:
                with os.scandir(self.root / folder) as entries:
                    for entry in entries:
                        if (base := stem(entry.name)) != entry.name and not entry.is_dir():
                            stems.setdefault(base, []).append(entry.name)
            except OSError:
                stems = {}  # the check for missing images reports them
            self._folders[folder] = stems
        return self._folders[folder]
