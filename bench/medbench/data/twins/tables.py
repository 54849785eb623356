"""Synthetic twins of layouts with tables: CSV files and workbooks with the columns and quirks that a card names."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medbench.cards.dataset import CsvLayout, DatasetCard, LabelTable
from medbench.data.layouts import image_paths
from medbench.data.layouts.csv_table import Columns
from medbench.data.layouts.image_paths import FIELD
from medbench.data.layouts.join import named_files
from medbench.data.layouts.xlsx import is_workbook
from medbench.data.twins.image_names import Fake, Names, composed, is_image, pieces, with_ending
from medbench.data.twins.label_cells import label_cells
from medbench.errors import DataError

Cells = dict[str, str]
Images = list[tuple[str, Fake]]
"""Path below the twin's folder of each image to draw."""

OTHER_ENDINGS = (".png", ".JPG")
"""Of the files on disk, where a card does not trust the endings of its table."""

SLICES = 3
"""Pictures of a volume."""


def write_tables(card: DatasetCard, layout: CsvLayout, root: Path, fakes: list[Fake], seed: int) -> Images:
    """Write the label tables; return the images.

    Of the names a table may have, `seed` takes one: the first for 0. Where the card leaves rows out, each table has one
    such row, whose image is not there.

    Raises:
        DataError: The layout cannot be imitated, or there are fewer groups than tables.
    """
    images: Images = []
    names = Names(card, layout.group_pattern)
    joined: dict[str, list[Cells]] = defaultdict(list)
    for index, table in enumerate(layout.tables):
        rows: list[Cells] = []
        for fake in _rows_of(layout, index, fakes):
            cells, path = _row(card, layout, table, fake, names)
            rows.append(cells)
            images += [(path, fake), *_further(card, layout, cells, fake)]
        if not rows:
            raise DataError(f"{len(fakes)} images are too few for {len(layout.tables)} tables", "ask for more: --n")
        rows += _left_out(layout, rows[-1])
        if table.join:
            joined[table.join.file] += [_split_off(layout, table, cells) for cells in rows]
        files = named_files(table)
        _write(root / files[seed % len(files)], rows, layout, table)
    for name, rows in joined.items():
        _write(root / name, rows, layout, None)
    return images


def _rows_of(layout: CsvLayout, index: int, fakes: list[Fake]) -> list[Fake]:
    """Return the samples of one table: those of its split; tables of the same split (or of none) share by group.

    Where the group alone names the image, as a patient's number in one table per eye, a group's images lie in
    different tables.
    """
    split = layout.tables[index].split
    alike = [i for i, other in enumerate(layout.tables) if other.split == split]
    mine = [fake for fake in fakes if not split or fake.split == split]
    if len(alike) > 1 and _by_group(layout, layout.tables[index]):
        return [fake for fake in mine if alike[fake.rank % len(alike)] == index]
    order = {group: place for place, group in enumerate(dict.fromkeys(fake.group for fake in mine))}
    return [fake for fake in mine if alike[order[fake.group] % len(alike)] == index]


def _by_group(layout: CsvLayout, table: LabelTable) -> bool:
    """Tell whether the image is named by the columns of the group alone."""
    images = FIELD.findall(table.image or layout.image)
    return bool(images) and set(images) <= set(FIELD.findall(layout.group or ""))


def _row(card: DatasetCard, layout: CsvLayout, table: LabelTable, fake: Fake, names: Names) -> tuple[Cells, str]:
    """Return a sample's cells and the path of its image on disk."""
    told = label_cells(card, layout, fake)
    for column, texts in layout.where.items():
        if told.get(column) not in texts:
            told[column] = texts[0]
    if layout.split and not table.split:
        raws = {str(split): text for text, split in reversed(layout.split_values.items())}
        told[layout.split] = raws.get(fake.split, fake.split)
    path, cells = _named(layout, table, _plain_cells(layout, table, fake) | told, fake, names, set(told))
    if table.join:
        cells.setdefault(table.join.by, f"{fake.number:05d}")
    if layout.match == "stem":
        path = image_paths.stem(path) + OTHER_ENDINGS[fake.number % len(OTHER_ENDINGS)]
    return cells, path


def _plain_cells(layout: CsvLayout, table: LabelTable, fake: Fake) -> Cells:
    """Fill every column of the templates: the group's with the group's name, the others so that no two are alike."""
    template = table.image or layout.image
    grouped = FIELD.findall(layout.group or "")
    alike = sum(other.split == table.split for other in layout.tables)
    alone = _by_group(layout, table) and fake.rank >= alike  # the group's name is taken: make it unique after all
    group = f"g{fake.group:04d}" + (f"_{fake.number:05d}" if alone or (_by_group(layout, table) and alike == 1) else "")
    cells = {name: str(fake.group + 1) if name in layout.pad else group for name in grouped}
    texts = [template, layout.id or "", *(rule.image for rule in layout.inputs.values())]
    for number, column in enumerate(dict.fromkeys(name for text in texts for name in FIELD.findall(text))):
        if column not in cells:
            plain = f"{fake.number:05d}" + (f"_{number}" if number else "")
            cells[column] = str(fake.number + 1) if column in layout.pad else plain
    return cells


def _named(
    layout: CsvLayout, table: LabelTable, cells: Cells, fake: Fake, names: Names, told: set[str]
) -> tuple[str, Cells]:
    """Return the image path that the card's reader makes of a row, and the cells that lead there.

    One column of the template is free to vary, none of those in `told`. What the card replaces in paths should be there
    to be replaced, if any text can be found that holds it all.
    """
    template = table.image or layout.image
    columns = [name for name in FIELD.findall(template) if name not in told]
    grouped = FIELD.findall(layout.group or "")
    if not columns:
        raise DataError(f"{names.card.name}: all rows would have the image {template}", "no twin of this card")
    free = next((name for name in columns if name not in grouped), columns[0])
    own = dataclasses.replace(fake, number=fake.group) if free in grouped else fake
    for strict in (True, False):
        made: dict[str, Cells] = {}

        def paths(strict: bool = strict, made: dict[str, Cells] = made) -> Iterator[str]:
            for tried in _tries(layout, template, cells, free, own):
                path = _path(layout, template, tried, strict=strict)
                told = path is not None and any(text in path for text in (cells[free], own.digits))
                if path is not None and path not in made and (told or not strict):
                    made[path] = tried
                    yield path

        try:
            path = names.take(paths(), fake, lambda name: layout.match == "stem" or is_image(name))
        except DataError:
            if not strict:
                raise
        else:
            return path, made[path]
    raise AssertionError("the second try returns or raises")


def _tries(layout: CsvLayout, template: str, cells: Cells, free: str, fake: Fake) -> Iterator[Cells]:
    """Yield cells with other and other texts in the column `free`, and an image's ending where the text is its last."""
    plain = f"images/{cells[free]}" if template == f"{{{free}}}" else cells[free]
    before = FIELD.sub("", template.partition(f"{{{free}}}")[0])
    patterns = (*layout.replace, layout.group_pattern)
    wanted = [
        [text for piece in pieces(pattern, fake) for text in (_after(before, piece), piece) if text]
        for pattern in patterns
        if pattern
    ]
    last = FIELD.findall(template)[-1] if template.endswith("}") else ""
    for text in composed(wanted, plain):
        if not last or layout.match == "stem":
            yield {**cells, free: text}
            continue
        yield {**cells, free: text}
        end = text if last == free else cells[last]
        for ended in with_ending(end, (".png", ".jpg")):
            yield {**cells, free: text, last: ended}


def _after(before: str, piece: str) -> str:
    """Return a piece without what the text before it holds already of its beginning."""
    held = next((k for k in range(len(piece), 0, -1) if before.endswith(piece[:k])), 0)
    return piece[held:]


def _columns(layout: CsvLayout, cells: Cells) -> Columns:
    """Return one row as the reader sees it."""
    padded = {name: [cell.zfill(layout.pad.get(name, 0))] for name, cell in cells.items()}
    return Columns(Path("twin"), padded, [1])


def _path(layout: CsvLayout, template: str, cells: Cells, *, strict: bool) -> str | None:
    """Return the image path of a row; None if it leaves the folder or, if `strict`, lacks what is to be replaced."""
    text = image_paths.filled(_columns(layout, cells), template)[0]
    for pattern, new in layout.replace.items():
        changed = image_paths.replaced([text], {pattern: new})[0]
        if strict and not re.search(pattern, text):
            return None
        text = changed
    try:
        path = image_paths.image_paths(Columns(Path("twin"), {"path": [text]}, [1]), "{path}", {}, Path("twin"), False)[
            0
        ]
    except DataError:
        return None
    return None if path in ("", ".") or path.startswith((".", "/")) else path


def _further(card: DatasetCard, layout: CsvLayout, cells: Cells, fake: Fake) -> Images:
    """Return the further pictures of a sample."""
    images: Images = []
    for name, rule in layout.inputs.items():
        place = image_paths.filled(_columns(layout, cells), rule.image)[0]
        if rule.slices is None:
            images.append((place, fake))
            continue
        for index in range(SLICES):
            slices = [t for t in pieces(rule.slices, fake, {"index": str(index)}) if re.fullmatch(rule.slices, t)]
            if not slices:
                raise DataError(f"{card.name}: cannot make up names of slices of '{name}'", "no twin of this card")
            images.append((f"{place}/{slices[0]}", fake))
    return images


def _left_out(layout: CsvLayout, last: Cells) -> list[Cells]:
    """Return a row without a label that `where` leaves out."""
    if not layout.where:
        return []
    column, texts = next(iter(layout.where.items()))
    labels = [layout.label] if isinstance(layout.label, str) else (layout.label or layout.labels or [])
    unlike = {name: "" if name in labels else f"{cell}0" for name, cell in last.items() if name not in layout.where}
    return [{**last, **unlike, column: next(text for text in ("0", "left out") if text not in texts)}]


def _split_off(layout: CsvLayout, table: LabelTable, cells: Cells) -> Cells:
    """Move the columns that name neither image nor label to the second table of a join; return its row."""
    assert table.join
    texts = [table.image or layout.image, layout.id or "", *(rule.image for rule in layout.inputs.values())]
    kept = {name for text in texts for name in FIELD.findall(text)} | {table.join.by}
    kept |= {layout.label} if isinstance(layout.label, str) else set(layout.label or layout.labels or [])
    moved = {name: cells.pop(name) for name in list(cells) if name not in kept}
    return {table.join.by: cells[table.join.by], **(moved or {"remark": "made up"})}


def _write(file: Path, rows: Sequence[Cells], layout: CsvLayout, table: LabelTable | None) -> None:
    """Write a table; `table` tells its header's line and the column without a name, which stands first."""
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
    """Write a workbook, whole numbers below the header as numbers."""
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
