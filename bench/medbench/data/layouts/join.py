"""The label tables of a CSV layout: which file, which columns, further columns of a second file, which rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from medbench.cards.dataset import CsvLayout, Join, LabelTable
from medbench.cards.dataset.example import FIELD
from medbench.data.layouts.csv_table import Columns, header_of, read_columns
from medbench.data.layouts.own.spelling import IMAGE, pick, plain
from medbench.errors import DataError, MissingDataError


def with_image(layout: CsvLayout, table: LabelTable, folder: Path) -> CsvLayout:
    """Return the layout with a template of the image path: its own, or the table's column with a usual name.

    Raises:
        DataError: The card names no template and the table has no such column.
    """
    if table.image or layout.image:
        return layout
    file = table_file(table, folder)
    read = read_columns(
        file, delimiter=layout.delimiter, encoding=layout.encoding, header=table.header, unnamed=table.unnamed
    )
    column = pick(read.cells, IMAGE)
    if column is None:
        raise DataError(
            f"{file}: it has no column called {', '.join(IMAGE[:4])}, …; it has: {', '.join(read.cells)}",
            "set the template of the image path in the card: layout.image, such as '{name}.png'",
        )
    return layout.model_copy(update={"image": f"{{{column}}}"})


def named_files(table: LabelTable) -> list[str]:
    """Return the names a table may have, the likeliest first."""
    return [table.file] if isinstance(table.file, str) else list(table.file)


def table_file(table: LabelTable, folder: Path) -> Path:
    """Return the file of a table: of several names the first that is there.

    Raises:
        MissingDataError: Of several names none is there. One name alone is left to the reader to miss.
    """
    names = named_files(table)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    if len(names) > 1:
        raise MissingDataError(f"none of the label files {', '.join(names)} is in {folder}")
    return folder / names[0]


def wanted_columns(layout: CsvLayout, table: LabelTable) -> list[str]:
    """Return the columns that a layout reads of one of its tables, each once."""
    texts = [table.image or layout.image, layout.id or "", layout.group or ""]
    texts += [rule.image for rule in layout.inputs.values()]
    names = [name for text in texts for name in FIELD.findall(text)]
    names += [layout.label] if isinstance(layout.label, str) else (layout.label or layout.labels or [])
    names += [layout.split] if layout.split and not table.split else []
    names += [*layout.where, *layout.leave_out]
    return list(dict.fromkeys(names))


def headers(layout: CsvLayout, table: LabelTable, folder: Path) -> list[str]:
    """Return the names of a table's columns, then those of the file that it is joined with."""
    read = partial(header_of, delimiter=layout.delimiter, encoding=layout.encoding)
    found = read(table_file(table, folder), header=table.header)
    return found + (read(folder / table.join.file) if table.join else [])


def subgroup_columns(layout: CsvLayout, table: LabelTable, folder: Path) -> dict[str, str]:
    """Return subgroup -> column, of those that a table has, however they are spelled there."""
    heads = headers(layout, table, folder) if layout.subgroups else []
    found = {name: pick(heads, [plain(column)]) for name, column in layout.subgroups.items()}
    return {name: column for name, column in found.items() if column}


def read_table(layout: CsvLayout, table: LabelTable, folder: Path) -> Columns:
    """Read one table of a layout: padded, joined, and without the rows that `where` and `leave_out` leave out.

    Args:
        layout: Names the columns.
        table: The table.
        folder: Its folder.

    Raises:
        DataError: A file or column is missing or wrong, a row has no partner in the second file, or no row is left.
    """
    file = table_file(table, folder)
    more = subgroup_columns(layout, table, folder).values()
    wanted = list(dict.fromkeys([*wanted_columns(layout, table), *more]))
    read = partial(read_columns, delimiter=layout.delimiter, encoding=layout.encoding)
    if table.join is None:
        columns = read(file, wanted, header=table.header, unnamed=table.unnamed)
    else:
        every = read(file, None, header=table.header, unnamed=table.unnamed)
        mine = [name for name in wanted if name in every.cells]
        other = [name for name in wanted if name not in every.cells]
        second = read(folder / table.join.file, [table.join.by, *other])
        columns = _joined(every, mine, second, other, table.join)
    for name, width in layout.pad.items():
        if name in columns.cells:
            columns.cells[name] = [cell.zfill(width) if cell else "" for cell in columns.cells[name]]
    return kept(columns, layout.where, layout.leave_out)


def _joined(first: Columns, mine: list[str], second: Columns, other: list[str], join: Join) -> Columns:
    if join.by not in first.cells:
        raise DataError(f"{first.file} has no column '{join.by}'", "set the right column in the card: tables.join.by")
    rows: dict[str, int] = {}
    for row, key in enumerate(second.cells[join.by]):
        if key in rows:
            raise DataError(
                f"{second.where(row, join.by)}: duplicate key '{key}', first at {second.where(rows[key])}",
                "remove one of the rows",
            )
        rows[key] = row
    keys = first.cells[join.by]
    lone = next((row for row, key in enumerate(keys) if key not in rows), None)
    if lone is not None:
        raise DataError(
            f"{first.where(lone, join.by)}: no row of {second.file} has '{keys[lone]}'", "use files of the same release"
        )
    cells = {name: first.cells[name] for name in mine}
    cells |= {name: [second.cells[name][rows[key]] for key in keys] for name in other}
    return Columns(first.file, cells, first.lines)


def kept(
    columns: Columns, where: Mapping[str, Sequence[str]], leave_out: Mapping[str, Sequence[str]] | None = None
) -> Columns:
    """Return the rows whose cells are among the texts that `where` names for their columns, and not in `leave_out`.

    Raises:
        DataError: There is none.
    """
    away = leave_out or {}
    if not where and not away:
        return columns
    cells = columns.cells
    rows = [
        row
        for row in range(len(columns))
        if all(cells[name][row] in where[name] for name in where)
        and not any(cells[name][row] in away[name] for name in away)
    ]
    if not rows:
        field, rule = ("where", where) if where else ("leave_out", away)
        name = next(iter(rule))
        seen = ", ".join(f"'{text}'" for text in list(dict.fromkeys(cells[name]))[:8])
        raise DataError(
            f"{columns.file}: layout.{field} ({', '.join(rule)}) leaves out all rows",
            f"column '{name}' contains {seen}; the card names {', '.join(map(repr, rule[name]))}",
        )
    return columns.picked(rows)
