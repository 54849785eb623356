"""A user's table of image-text pairs: images with their categories, attributes and texts."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medbench.cards.dataset import CsvLayout, DatasetCard, LabelTable, SplitRule, Splits
from medbench.cards.dataset.splits import Method
from medbench.data.layouts.csv_table import Columns, header_of
from medbench.data.layouts.image_paths import Endings, image_paths, on_disk
from medbench.data.layouts.own import split_column
from medbench.data.layouts.own.card import card_of, grey_of
from medbench.data.layouts.own.images import Images, find_images
from medbench.data.layouts.own.spelling import LABEL, pick, usual_split
from medbench.data.layouts.own.split_column import Splitting
from medbench.data.layouts.own.table import group_column, group_line, image_column, require_columns
from medbench.data.layouts.own.taken import Own, Taken, card_lines
from medbench.data.layouts.own.text_form import TextForm, read_own, text_form
from medbench.data.layouts.own_columns import OwnColumns
from medbench.errors import DataError, few

if TYPE_CHECKING:
    import pandas as pd

CATEGORIES = ("categories", "category", "labels", "label", "class", "diagnosis")
ATTRIBUTES = ("attributes", "attribute", "atributes")  # the last one is how FLAIR's files spell it
TEXT = ("text", "texts", "report", "reports", "caption", "captions", "description", "findings")
SOURCE = ("dataset", "source", "origin")
SEPARATOR = ";"
"""Between the categories, or the attributes, of one image."""
NO_VALUE = {"nan", "none", "null", "<na>", "n/a"}
"""Cells that other programs write for a missing value."""
REPORT = "report"
"""The only class of a table without categories: the image has a text."""
VAL = 0.1
"""Share of the groups that are held out."""


@dataclass(frozen=True)
class Meaning:
    """How the columns of a pairs file were understood; a name is None where there is no such column."""

    table: Columns
    form: TextForm
    image: str
    categories: str | None
    attributes: str | None
    text: str | None
    source: str | None
    group: str | None
    split: Splitting

    @property
    def unused(self) -> list[str]:
        """The columns that are not used."""
        used = {self.image, self.categories, self.attributes, self.text, self.source, self.group, self.split.column}
        return [name for name in self.table.cells if name not in used]


def read_pairs(
    path: Path, root: Path | None = None, given: OwnColumns | None = None, *, allow_outside: bool = False
) -> tuple[Own, pd.DataFrame]:
    """Read a table of pairs: its card, and its samples, one per row. Only a few images are opened, for their channels.

    Args:
        path: CSV, TSV or Parquet with a column of images and one of `categories`, of `text`, or both. Further columns
            that are used: `attributes`, `dataset`, a group (patient), a split.
        root: Folder of the images; None: the table's.
        given: What the user says about the columns; `label` names the column of categories.
        allow_outside: Let image paths lead out of the folder.

    Returns:
        The card, whose task is multilabel with one class for each category, and the samples: `id`, `path`, `group` (the
        image's path where no group is known), `official`, one `target_<category>` each, and the texts `categories` and
        `attributes` (with `;` between several), `text`, `source`; they are empty where a row has none.

    Raises:
        DataError: A column is missing; a row has neither text nor category; a missing value is written as a word; an
            image has two groups; all rows say the same.
    """
    folder, given = root or path.parent, given or OwnColumns()
    meaning = _meaning(path, given)
    images = find_images(meaning.table, meaning.image, folder)
    named = image_paths(meaning.table, images.template, {}, folder, allow_outside)
    found = Endings(folder).found(meaning.table, named) if images.match == "stem" else named
    samples = _samples(meaning, on_disk(folder, found))
    names = sorted({name for cell in samples["categories"] for name in split_list(cell)})
    _check(meaning, samples, names)
    grey, looked = grey_of(images.files)
    card = _card(path, meaning, images, names or [REPORT], given, grey=grey)
    lines = [*_lines(meaning, names), *card_lines(card, looked)]
    return Own(card, folder, Taken(tuple(lines))), _with_targets(samples, names)


def is_pairs(path: Path) -> bool:
    """Tell whether a table's columns are those of pairs: texts or categories, and no column of labels.

    Raises:
        DataError: The file cannot be read.
    """
    form = text_form(path)
    heads = header_of(path, delimiter=form.delimiter, encoding=form.encoding, header=form.header)
    return pick(heads, LABEL) is None and pick(heads, (*TEXT, CATEGORIES[0])) is not None


def split_list(cell: str) -> list[str]:
    """Return the parts of a cell: `a; b`, or a list in Python's notation, as in FLAIR's files."""
    parts: Sequence[object] = cell.split(SEPARATOR)
    if cell.startswith("["):
        try:
            found = ast.literal_eval(cell)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = None
        parts = found if isinstance(found, list) else parts
    return list(dict.fromkeys(text for part in parts if (text := " ".join(str(part).split()))))


def _meaning(path: Path, given: OwnColumns) -> Meaning:
    form = text_form(path)
    table, twice = read_own(path, form)
    require_columns(table, given)
    image = image_column(table, given, twice)
    rest = [name for name in table.cells if name != image]
    categories, text = given.label or pick(rest, CATEGORIES), pick(rest, TEXT)
    if categories is None and text is None:
        raise DataError(
            f"{path} has neither a column of texts nor one of categories; it has: {few(list(table.cells), 12)}",
            "call one of them `text` (reports, captions) or `categories` (several in a cell: a; b)",
        )
    attributes, source = pick(rest, ATTRIBUTES), pick(rest, SOURCE)
    used = [name for name in (image, categories, text, attributes, source, given.group) if name]
    split = split_column.find(table, used, given.split, tested=False)
    if split.column and split.blank:
        table = table.picked([row for row, cell in enumerate(table.cells[split.column]) if cell])
    used += [split.column] if split.column else []
    return Meaning(
        table, form, image, categories, attributes, text, source, group_column(table, used, given.group), split
    )


def _samples(meaning: Meaning, paths: list[str]) -> pd.DataFrame:
    import pandas as pd

    table, n = meaning.table, len(meaning.table)

    def cells(name: str | None) -> list[str]:
        return table.cells[name] if name else [""] * n

    def lists(name: str | None) -> list[str]:
        return [SEPARATOR.join(split_list(cell)) for cell in cells(name)]

    seen: Counter[str] = Counter()
    ids = []
    for path in paths:  # one image may have several texts: each is a sample
        seen[path] += 1
        ids.append(path if seen[path] == 1 else f"{path}#{seen[path]}")
    splitting = meaning.split
    return pd.DataFrame(
        {
            "id": ids,
            "path": paths,
            "group": [cell or path for cell, path in zip(cells(meaning.group), paths, strict=True)],
            "official": [splitting.values.get(cell) or usual_split(cell) for cell in cells(splitting.column)],
            "categories": lists(meaning.categories),
            "attributes": lists(meaning.attributes),
            "text": [" ".join(cell.split()) for cell in cells(meaning.text)],
            "source": cells(meaning.source),
        }
    )


def _check(meaning: Meaning, samples: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse what cannot be used.

    Raises:
        DataError: Rows say nothing, a missing value is written as a word, an image has two groups, or all rows say the
            same.
    """
    table = meaning.table
    for column in ("categories", "attributes", "text"):
        name = getattr(meaning, column)
        for row, cell in enumerate(samples[column]):
            if cell.casefold() in NO_VALUE:
                raise DataError(
                    f"{table.where(row, name)}: '{cell}' is a word for a missing value",
                    "leave the cell empty, or remove the row",
                )
    silent = (samples["categories"] == "") & (samples["attributes"] == "") & (samples["text"] == "")
    if silent.any():
        raise DataError(
            f"{table.where(int(np.flatnonzero(silent)[0]))}: neither a text nor a category ({silent.sum()} such rows)",
            "fill in one of them, or remove the rows",
        )
    apart = samples.groupby("path")["group"].nunique()
    if torn := [str(path) for path in apart.index[apart > 1]]:
        raise DataError(
            f"{table.file}: rows about {torn[0]} name different groups ({len(torn)} such images)",
            f"correct the column '{meaning.group}': an image belongs to one group",
        )
    if len(samples) > 1 and len({(a, b) for a, b in zip(samples["categories"], samples["text"], strict=True)}) == 1:
        what = f"the category '{names[0]}'" if names else "the same text"
        raise DataError(
            f"{table.file}: all {len(samples)} rows have {what}, so there is nothing to learn",
            "add images of other categories, or with other texts",
        )


def _with_targets(samples: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    listed = [split_list(cell) for cell in samples["categories"]]
    hot = {f"target_{name}": np.array([name in one for one in listed], np.uint8) for name in names}
    hot = hot or {f"target_{REPORT}": np.ones(len(samples), np.uint8)}
    return pd.concat([samples, pd.DataFrame(hot)], axis=1)


def _card(
    path: Path, meaning: Meaning, images: Images, names: Sequence[str], given: OwnColumns, *, grey: bool
) -> DatasetCard:
    form, split = meaning.form, meaning.split
    layout = CsvLayout(
        kind="csv",
        tables=[LabelTable(file=path.name, header=form.header)],
        delimiter=form.delimiter,
        encoding=form.encoding,
        image=images.template,
        match=images.match,
        label=meaning.categories or meaning.text,
        separator=SEPARATOR,
        group=f"{{{meaning.group}}}" if meaning.group else None,
        split=split.column,
        split_values=split.values,
    )
    name = f"{path.resolve().parent.name}-{path.stem}"
    card = card_of(name, "multilabel", names, layout, given, grey=grey, official=split.column is not None, grouped=True)
    method: Method = "grouped" if split.column is None else "official"
    rules = {method: SplitRule(method=method, val=VAL, test=0.0)}
    return card.model_copy(update={"splits": Splits(default=method, rules=rules)})


def _lines(meaning: Meaning, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the lines that tell the user how the columns were understood."""
    split = meaning.split
    found = [("file", meaning.form.note)] if meaning.form.note else []
    found.append(("image", f"column '{meaning.image}'"))
    if meaning.categories:
        found.append(("category", f"column '{meaning.categories}', {len(names)} categories: {few(names, 8)}"))
    for what in ("attributes", "text", "source"):
        if name := getattr(meaning, what):
            found.append((what, f"column '{name}'"))
    drawn = "drawn at random; rows of the same image or group stay together"
    found += [
        ("group", group_line(meaning.table, meaning.group)),
        ("split", (f"column '{split.column}'" if split.column else drawn) + split.note),
    ]
    return found + ([("not used", few(meaning.unused, 12))] if meaning.unused else [])
