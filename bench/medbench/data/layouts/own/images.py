"""Where the images of a user's table are: as the cells name them, or found by their names below the folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from medbench.cards.dataset import ENDINGS
from medbench.cards.dataset.example import FIELD
from medbench.data.layouts import class_folders
from medbench.data.layouts.csv_table import Columns
from medbench.data.layouts.image_paths import image_paths, on_disk, stem
from medbench.errors import DataError

PEEK = 24
"""Images looked at to tell grey from colour."""


@dataclass(frozen=True)
class Images:
    """Template of the image path, how endings match, and some images that are there."""

    template: str
    match: Literal["exact", "stem"]
    files: list[Path]


def find_images(table: Columns, column: str, folder: Path) -> Images:
    """Return how the cells of a column name images below a folder.

    Raises:
        DataError: The column's name has braces, or no file, or several, are called as the first cell.
    """
    template = f"{{{column}}}"
    if FIELD.fullmatch(template) is None:
        raise DataError(
            f"{table.file}: the image column '{column}' has braces in its name", "rename the column in the file"
        )
    cells = table.cells[column]
    peek = table.picked(range(0, len(cells), max(1, len(cells) // PEEK)))
    named = on_disk(folder, image_paths(peek, template, {}, folder, allow_outside=True))[:PEEK]
    if there := [folder / name for name in named if is_image(folder / name)]:
        return Images(template, "exact", there)
    below: dict[str, list[str]] = {}
    for path in class_folders.images_below(folder, ENDINGS):
        below.setdefault(stem(PurePosixPath(path).name), []).append(path)
    base = stem(named[0])
    matches = [path for path in below.get(PurePosixPath(base).name, []) if f"/{stem(path)}".endswith(f"/{base}")]
    before = stem(matches[0])[: -len(base)] if len(matches) == 1 else ""
    if len(matches) != 1 or FIELD.search(before):
        if not matches and base != named[0]:
            return Images(template, "exact", [])  # the check for missing images names them
        what = f"{len(matches)} images are called {base}" if matches else f"there is no image {base}"
        raise DataError(
            f"{table.where(0, column)}: '{cells[0]}' has no file and {what} below {folder}",
            "give paths relative to that folder, or pass --data-root, or write a card with an image template",
        )
    found = [folder / path for name in named for path in below.get(PurePosixPath(stem(name)).name, [])]
    after = matches[0].removeprefix(before + base)
    exact = f"{before}{template}{'' if base != named[0] else after}"
    same = all(is_image(folder / path) for path in image_paths(peek, exact, {}, folder, allow_outside=True))
    return Images(exact if same else f"{before}{template}", "exact" if same else "stem", found[:PEEK])


def is_image(file: Path) -> bool:
    """Tell whether a path is a regular file; one that no file can be called is none."""
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False
