"""Synthetic twins of layouts with tables: CSV files and workbooks with the columns and oddities that a card names."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medbench.cards.dataset import CsvLayout, DatasetCard, LabelTable
from medbench.cards.dataset.example import FIELD, ExampleError, filled
from medbench.data.layouts.image_paths import stem
from medbench.data.layouts.join import named_files
from medbench.data.layouts.xlsx import is_workbook
from medbench.data.twins.image_names import Fake, Series, with_part
from medbench.data.twins.label_cells import label_cells
from medbench.errors import DataError

Cells = dict[str, str]
Images = list[tuple[str, Fake]]
"""Path of each image to draw, below the twin's folder."""

OTHER_ENDINGS = (".png", ".JPG")
"""Endings of the files, if the card does not use the endings in its table."""

SLICES = 3
"""Slices per volume."""


def write_tables(card: DatasetCard, layout: CsvLayout, root: Path, fakes: list[Fake], seed: int) -> Images:
    """Write the label tables; return the images.

    If a table may have several names, `seed` chooses one: the first for 0. If the card leaves rows out, each table has
    one such row, whose image is missing.

    Raises:
        DataError: The layout cannot be imitated, or there are fewer groups than tables.
        ExampleError: The card's examples do not show how images are named.
    """
    images: Images = []
    joined: dict[str, list[Cells]] = defaultdict(list)
    for index, table in enumerate(layout.tables):
        rows: list[Cells] = []
        namer = _Namer(card, layout, table, len(fakes))
        for fake in _rows_of(layout, index, fakes):
            cells, path = _row(card, layout, table, fake, namer)
            rows.append(cells)
            images += [(path, fake), *_further(layout, cells, fake)]
        if not rows:
            raise DataError(f"{len(fakes)} images are too few for {len(layout.tables)} tables", "use more images: --n")
        rows += _left_out(layout, rows[-1])
        if table.join:
            joined[table.join.file] += [_split_off(layout, table, cells) for cells in rows]
        files = named_files(table)
        _write(root / files[seed % len(files)], rows, layout, table)
    for name, rows in joined.items():
        _write(root / name, rows, layout, None)
    return images


def _rows_of(layout: CsvLayout, index: int, fakes: list[Fake]) -> list[Fake]:
    """Return the samples of one table: those of its split. Tables of the same split share the groups.

    If only the group's columns name the image, such as a patient's number in one table per eye, the images of a group
    are in different tables.
    """
    split = layout.tables[index].split
    alike = [i for i, other in enumerate(layout.tables) if other.split == split]
    mine = [fake for fake in fakes if not split or fake.split == split]
    if len(alike) > 1 and _by_group(layout, layout.tables[index]):
        return [fake for fake in mine if alike[fake.rank % len(alike)] == index]
    order = {group: place for place, group in enumerate(dict.fromkeys(fake.group for fake in mine))}
    return [fake for fake in mine if alike[order[fake.group] % len(alike)] == index]


def _template(layout: CsvLayout, table: LabelTable) -> str:
    """Return the template of a table's images; where the card names none, the column that readers look for first."""
    return table.image or layout.image or "{image}"


def _by_group(layout: CsvLayout, table: LabelTable) -> bool:
    """Tell whether only the group's columns name the image."""
    images = FIELD.findall(_template(layout, table))
    return bool(images) and set(images) <= set(FIELD.findall(layout.group or ""))


class _Namer:
    """Fills the columns that name the images of one table, like the card's examples."""

    def __init__(self, card: DatasetCard, layout: CsvLayout, table: LabelTable, n: int) -> None:
        self.layout, self.template, self.n = layout, _template(layout, table), n
        self.grouped = FIELD.findall(layout.group or "")
        self.shared = sum(other.split == table.split for other in layout.tables) if _by_group(layout, table) else 0
        known = {*_label_columns(layout), *layout.where, layout.split}
        columns = [name for name in FIELD.findall(self.template) if name not in known]
        if not columns:
            raise DataError(
                f"{card.name}: all rows would have the image {self.template}", "name a column in braces in layout.image"
            )
        self.free = next((name for name in reversed(columns) if name not in self.grouped), columns[-1])
        texts = [self.template, layout.group or "", layout.id or "", *(rule.image for rule in layout.inputs.values())]
        every = list(dict.fromkeys(name for text in texts for name in FIELD.findall(text)))
        plain = {name: "g0000" if name in self.grouped else "00000" for name in every} | dict.fromkeys(layout.pad, "0")
        if self.template.endswith(f"{{{self.free}}}"):
            plain[self.free] += ".png"
        shown = [example for example in layout.examples if layout.shows(example, self.template)] or layout.examples
        rows = [{**plain, **example.cells} for example in shown] or [plain]
        self.series = [{name: self._series(row, name) for name in every if name not in known} for row in rows]

    def _series(self, row: Cells, name: str) -> Series:
        """Return names for one column. The names in the free column must be those of different images."""
        if name != self.free:
            return Series(row[name], 2 * self.n)
        return Series(row[name], 2 * self.n, lambda text: self.layout.named({**row, name: text}, self.template))

    def cells(self, fake: Fake) -> Cells:
        """Return a sample's cells. If only the group names images, an image whose name is taken gets a new group."""
        alone = self.shared == 1 or (self.shared and fake.rank >= self.shared)
        group = self.n + fake.number if alone else fake.group
        series = self.series[fake.group % len(self.series)]
        return {name: one.name(group if name in self.grouped else fake.number, group) for name, one in series.items()}


def _row(card: DatasetCard, layout: CsvLayout, table: LabelTable, fake: Fake, namer: _Namer) -> tuple[Cells, str]:
    """Return a sample's cells and the path of its image on disk."""
    told = label_cells(card, layout, fake)
    for column, texts in layout.where.items():
        if told.get(column) not in texts:
            told[column] = texts[0]
    for column, texts in layout.leave_out.items():
        if told.get(column, "") in texts:
            told[column] = max(texts, key=len) + "0"  # longer than all of them
        told.setdefault(column, "")
    if layout.split and not table.split:
        raws = {str(split): text for text, split in reversed(layout.split_values.items())}
        told[layout.split] = raws.get(fake.split, fake.split)
    cells = namer.cells(fake) | told
    path = layout.named(cells, namer.template).image
    if table.join:
        cells.setdefault(table.join.by, f"{fake.number:05d}")
    if layout.match == "stem":
        path = stem(path) + OTHER_ENDINGS[fake.number % len(OTHER_ENDINGS)]
    return cells, path


def _further(layout: CsvLayout, cells: Cells, fake: Fake) -> Images:
    """Return the further images of a sample.

    Raises:
        ExampleError: The card has no example of a slice's name.
    """
    images: Images = []
    for name, rule in layout.inputs.items():
        place = filled(rule.image, layout.padded(cells))
        if not rule.slices:
            images.append((place, fake))
            continue
        if not rule.example:
            raise ExampleError(f"the input '{name}' has no example of a slice")
        names = [with_part(rule.slices, "index", rule.example, str(index)) for index in range(SLICES)]
        images += [(f"{place}/{name}", fake) for name in names]
    return images


def _label_columns(layout: CsvLayout) -> list[str]:
    return [layout.label] if isinstance(layout.label, str) else (layout.label or layout.labels or [])


def _left_out(layout: CsvLayout, last: Cells) -> list[Cells]:
    """Return a row without a label that `where` leaves out."""
    if not layout.where:
        return []
    column, texts = next(iter(layout.where.items()))
    labels = _label_columns(layout)
    unlike = {name: "" if name in labels else f"{cell}0" for name, cell in last.items() if name not in layout.where}
    return [{**last, **unlike, column: next(text for text in ("0", "left out") if text not in texts)}]


def _split_off(layout: CsvLayout, table: LabelTable, cells: Cells) -> Cells:
    """Move the columns that name neither image nor label to the second table of a join; return its row."""
    assert table.join
    texts = [_template(layout, table), layout.id or "", *(rule.image for rule in layout.inputs.values())]
    kept = {name for text in texts for name in FIELD.findall(text)} | {table.join.by, *_label_columns(layout)}
    moved = {name: cells.pop(name) for name in list(cells) if name not in kept}
    return {table.join.by: cells[table.join.by], **(moved or {"remark": "made up"})}


def _write(file: Path, rows: Sequence[Cells], layout: CsvLayout, table: LabelTable | None) -> None:
    """Write a table; `table` gives the header's line and the column without a name, which comes first."""
    heads = list(rows[0])
    unnamed = table.unnamed if table else None
    if unnamed in heads:
        heads.sort(key=lambda head: head != unnamed)
    above = table.header - 1 if table else 0
    lines: list[list[str]] = [["made up by medbench"] for _ in range(above)]
    lines.append(["" if head == unnamed else head for head in heads])
    lines += [[row[head] for head in heads] for row in rows]
    file.parent.mkdir(parents=True, exist_ok=True)
    if is_workbook(file):
        _write_workbook(file, lines, above)
        return
    with file.open("w", encoding=layout.encoding, newline="") as handle:
        csv.writer(handle, delimiter=layout.delimiter, lineterminator="\n").writerows(lines)


def _write_workbook(file: Path, lines: Sequence[Sequence[str]], above: int) -> None:
    """Write a workbook; integers below the header are numbers."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet: Any = book.active
    for line in lines[: above + 1]:
        sheet.append([text or None for text in line])
    for line in lines[above + 1 :]:
        sheet.append([_value(text) for text in line])
    book.save(file)


def _value(text: str) -> str | int | None:
    whole = text.isascii() and text.isdecimal() and str(int(text)) == text
    return int(text) if whole else text or None
