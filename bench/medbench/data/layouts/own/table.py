"""A card for the user's own CSV, inferred from its columns, with the account of what they were taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench.cards.dataset import ENDINGS, SPLITS, CsvLayout, LabelTable, Task
from medbench.data.layouts.csv_table import Columns
from medbench.data.layouts.image_paths import image_paths
from medbench.data.layouts.own import labels, split_column
from medbench.data.layouts.own.card import card_of, grey_of
from medbench.data.layouts.own.images import Images, find_images
from medbench.data.layouts.own.labels import Labels
from medbench.data.layouts.own.spelling import (
    GROUP,
    IMAGE,
    IMAGE_IDS,
    LABEL,
    is_patient,
    is_turned,
    one_class,
    pick,
    plain,
)
from medbench.data.layouts.own.split_column import Splitting
from medbench.data.layouts.own.taken import Own, Taken, card_lines, classes_line, paired, turned
from medbench.data.layouts.own.text_form import TextForm, read_own, text_form
from medbench.data.layouts.own_columns import OwnColumns, task_of
from medbench.errors import DataError, few


@dataclass(frozen=True)
class Meaning:
    """What a table was taken for.

    Attributes:
        table: Its rows, without those that the split column leaves out.
        form: How it is written.
        image: The image column.
        label: The label column; None: there is one column per class.
        labels: The columns of classes.
        group: The column of what a split keeps together.
        split: What the split column says.
        twice: Names of columns that are there more than once.
    """

    table: Columns
    form: TextForm
    image: str
    label: str | None
    labels: list[str]
    group: str | None
    split: Splitting
    twice: list[str]

    @property
    def unused(self) -> list[str]:
        """The columns that are not used."""
        used = {self.image, self.label, *self.labels, self.group, self.split.column}
        return [name for name in self.table.cells if name not in used] + self.twice


def card_from_csv(path: Path, root: Path | None = None, columns: OwnColumns | None = None) -> Own:
    """Return the card of a user's CSV, inferred from its columns, and what they were taken for.

    The card is named after the CSV and its folder.

    Args:
        path: The CSV: an image column, a label column or several 0/1 columns, optionally a group and a split column.
        root: The folder of the images; None: the CSV's.
        columns: What the user says instead.

    Raises:
        DataError: A column that is named is not there, the columns do not tell what they are, or a cell is no label
            or no split; the message says where, and what to do.
    """
    folder, given = root or path.parent, columns or OwnColumns()
    meaning = _meaning(path, given)
    found = _labels(meaning, given)
    images = find_images(meaning.table, meaning.image, folder)
    task = task_of(given, found.task, found.names, path, several=bool(meaning.labels))
    grey, looked = grey_of(images.files)
    card = card_of(
        f"{path.resolve().parent.name}-{path.stem}",
        task,
        found.names,
        _layout(path.name, meaning, found, images),
        given,
        grey=grey,
        official=meaning.split.column is not None,
        grouped=meaning.group is not None,
    )
    lines = [*_lines(meaning, found, images, task), *card_lines(card, looked)]
    lines += [("not used", few(meaning.unused, 12))] if meaning.unused else []
    doubts = [*filter(None, [turned(found.names, task, chosen=bool(given.labels))]), *_doubts(meaning, images, found)]
    return Own(card, folder, Taken(tuple(lines), tuple(doubts)))


def _meaning(path: Path, given: OwnColumns) -> Meaning:
    form = text_form(path)
    table, twice = read_own(path, form)
    require_columns(table, given)
    image = image_column(table, given, twice)
    label = None if given.labels else given.label or pick(table.cells, LABEL)
    used = [name for name in (image, label, *given.labels, given.group) if name]
    split = split_column.find(table, used, given.split)
    if split.column and split.blank:
        table = table.picked([row for row, cell in enumerate(table.cells[split.column]) if cell])
    used += [split.column] if split.column else []
    group = group_column(table, used, given.group, drawn=split.column is None)
    rest = [name for name in table.cells if name not in (*used, group)]
    hot = list(given.labels) if given.labels or label else _hot(table, rest, twice)
    if given.negative_first and not given.labels and is_turned(hot):
        hot.reverse()
    return Meaning(table, form, image, label, hot, group, split, twice)


def require_columns(table: Columns, given: OwnColumns) -> None:
    """Refuse columns that the user names and the table lacks.

    Raises:
        DataError: It lacks one.
    """
    if strange := [name for name in given.named if name not in table.cells]:
        raise DataError(
            f"{table.file} has no column {', '.join(map(repr, strange))}", f"it has: {', '.join(table.cells)}"
        )


def _layout(file: str, meaning: Meaning, found: Labels, images: Images) -> CsvLayout:
    form, split = meaning.form, meaning.split
    return CsvLayout(
        kind="csv",
        tables=[LabelTable(file=file, header=form.header)],
        delimiter=form.delimiter,
        encoding=form.encoding,
        image=images.template,
        match=images.match,
        label=meaning.label,
        labels=meaning.labels or None,
        values=found.values,
        group=f"{{{meaning.group}}}" if meaning.group else None,
        split=split.column,
        split_values=split.values,
        leave_out={split.column: [""]} if split.column and split.blank else {},
    )


def image_column(table: Columns, given: OwnColumns, twice: Sequence[str]) -> str:
    """Return the image column: by its name, else the one of paths that end like images, else one of image ids."""
    if found := given.image or pick(table.cells, IMAGE):
        return found
    ends = [name for name, cells in table.cells.items() if all(cell.lower().endswith(ENDINGS) for cell in cells[:50])]
    if len(ends) == 1:
        return ends[0]
    if (by_id := pick(table.cells, IMAGE_IDS)) and not ends:
        return by_id
    if ends:
        raise _unclear(table, f"{len(ends)} columns of images ({few(ends, 8)})", "--image COLUMN", twice)
    raise _unclear(table, "no image column (image, path, file, filename, …)", "--image COLUMN", twice)


def group_column(table: Columns, others: Sequence[str], chosen: str | None, *, drawn: bool = False) -> str | None:
    """Return the column of what a split keeps together: patients before all others, and none that tells nothing.

    `drawn`: The split is still to be drawn, which two groups do not allow: a column `lesion` of 0 and 1 is a finding,
    and a column `eye` of L and R a side.
    """
    kinds = {name: set(cells) for name, cells in table.cells.items() if name not in others}
    left = [name for name, found in kinds.items() if len(found) > 1]
    usual = [name for name in left if not drawn or len(kinds[name]) >= len(SPLITS) or "" in kinds[name]]
    return chosen or next((name for name in left if is_patient(name)), None) or pick(usual, GROUP)


def _hot(table: Columns, rest: Sequence[str], twice: Sequence[str]) -> list[str]:
    """Return the columns of 0 and 1, one per class."""
    hot = labels.hot_candidates(table, rest)
    if len(hot) < 2:
        what = "no label column (label, class, diagnosis, …) and no two columns of 0 and 1"
        raise _unclear(table, what, "--label COLUMN", twice)
    return hot


def _labels(meaning: Meaning, given: OwnColumns) -> Labels:
    if meaning.label is not None:
        return labels.of_column(meaning.table, meaning.label, negative_first=given.negative_first)
    several = given.task == "multilabel"
    return labels.of_hot(meaning.table, meaning.labels, chosen=bool(given.labels), several=several)


def _unclear(table: Columns, what: str, option: str, twice: Sequence[str]) -> DataError:
    listed = ", ".join(table.cells) + (f"; duplicate, so not used: {', '.join(twice)}" if twice else "")
    return DataError(
        f"{table.file}: {what} among its columns: {listed}",
        f"name it ({option}), or write a card (see medbench show aptos) and give that: --dataset my.yaml",
    )


def _lines(meaning: Meaning, found: Labels, images: Images, task: Task) -> list[tuple[str, str]]:
    """Return what is said of the columns."""
    plainly = images.template == f"{{{meaning.image}}}"
    label = f"column '{meaning.label}'" if meaning.label else f"{len(meaning.labels)} columns of 0 and 1"
    drawn = "drawn at random; groups stay together" if meaning.group else "drawn at random, by image"
    split = f"column '{meaning.split.column}'" if meaning.split.column else drawn
    return [
        *([("file", meaning.form.note)] if meaning.form.note else []),
        ("image", f"column '{meaning.image}'" + ("" if plainly else f", as {images.template}")),
        ("label", "; ".join([f"{label}, {classes_line(found.names, task)}", *found.notes])),
        ("group", group_line(meaning.table, meaning.group)),
        ("split", split + meaning.split.note),
    ]


def group_line(table: Columns, group: str | None) -> str:
    """Return the line that tells the user what the groups are."""
    if group is None:
        return "unknown: each image counts as a separate patient"
    cells = table.cells[group]
    alone = cells.count("")
    more = f"; {alone} rows without a group count separately" if alone else ""
    return f"column '{group}', {len(set(cells) - {''})} groups in {len(cells)} rows{more}"


def _doubts(meaning: Meaning, images: Images, found: Labels) -> list[str]:
    """Return what may be wrong: patients that are not known, or that are spelled in two ways."""
    table, group = meaning.table, meaning.group
    if group is None:
        named = [name for name in meaning.unused if any(word in plain(name) for word in ("patient", "subject"))]
        named = [name for name in named if name in meaning.twice or len(set(table.cells[name])) > 1][:1]
        paths = image_paths(table, images.template, {}, Path(), allow_outside=True)
        unused = [f"column '{name}' is not used; if it identifies patients: --group '{name}'" for name in named]
        return unused + list(filter(None, [paired(paths, found.names)]))
    first: dict[str, str] = {}
    for text in sorted(set(table.cells[group])):
        if (other := first.setdefault(one_class(text), text)) != text:
            return [
                f"column '{group}': '{other}' and '{text}' count as two groups; if they are the same, spell them alike"
            ]
    return []
