"""Splits: made by a card's rules, and kept in files that are frozen."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medbench.cards.dataset import DERIVED, SPLITS, SUBGROUP, DatasetCard
from medbench.data.layouts.csv_table import read_columns
from medbench.data.splits import rules
from medbench.data.splits.few_shot import fewshot, fraction
from medbench.data.splits.rule_names import rule_of
from medbench.data.splits.rules import Assigned
from medbench.errors import CardError, DataError, MissingDataError, few
from medbench.storage import files, paths
from medbench.storage.files import rows_digest

if TYPE_CHECKING:
    import pandas as pd

COMMENT = "# medbench "
MARK = f"{COMMENT}split sha256="
DATA_MARK = f"{COMMENT}data sha256="
FIRST_METHODS = ("official", "stratified", "grouped", "shuffle")
LATER_FIELDS = {"train", "folds", "fold", "shots", "base", "extra", "disjoint"}
"""Of no meaning to the first methods; left out of the names of their files, which were there before these fields."""
LAST_FIELDS = {"unit": "sample", "validation": True, "per_class": None}
"""Later still; left out of the names of all files where they have these values, which is what was done before."""


def make_split(card: DatasetCard, samples: pd.DataFrame, name: str) -> Assigned:
    """Return the split of each sample under one of the card's rules: train, val or test, or empty for left out.

    `stratified`, `grouped`, `kfold`, `fewshot` and `fraction` depend on the seed and on the set of (id, target, group)
    alone, not on the order of the rows; `shuffle`, `holdout` and, unless `disjoint`, `contiguous` are rules about row
    numbers and do depend on it.

    Args:
        card: The card, which has the rule.
        samples: What `read_samples` returns.
        name: Name of the rule, or RULE@N.

    Raises:
        CardError: No such rule, or it draws from another one that cannot be used.
        DataError: A class has fewer samples (or groups) than there are splits, or a split comes out empty.
    """
    rule = rule_of(card, name)
    if rule.method in DERIVED:
        # from the frozen file: the test part is then the one that runs under the other rule are tested on
        draw = fewshot if rule.method == "fewshot" else fraction
        assigned = draw(card, rule, samples, frozen_split(card, samples, _base(card, name)))
    else:
        assigned = rules.RULES[rule.method](card, rule, samples)
    refuse_empty(assigned, f"{card.name}, split {name}", rule.parts)
    return assigned


def _base(card: DatasetCard, name: str) -> str:
    base = rule_of(card, name).base
    fit = [other for other, rule in card.splits.rules.items() if rule.method not in DERIVED]
    if base in fit:
        return base
    what = f"'{base}'" if base else "no rule"
    raise CardError(
        f"{card.name}: the rule '{name}' has {what} as base; it needs one from whose train split it can draw",
        f"give one of these as base: {', '.join(fit)}" if fit else "add a rule to the card, such as grouped",
    )


def refuse_empty(assigned: Assigned | Sequence[str], where: str, parts: Iterable[str] = SPLITS) -> None:
    """Refuse a split without samples in one of the parts that it must have.

    Args:
        assigned: The split of each sample.
        where: What is split, for the message.
        parts: The parts that must have samples: those of the rule, or those that it had before samples were left out.

    Raises:
        DataError: One of them is empty.
    """
    present = set(assigned)
    if empty := [split for split in SPLITS if split in parts and split not in present]:
        raise DataError(
            f"{where}: no samples in {', '.join(empty)}",
            "every split needs samples: more data, other shares (val, test) in the card's rule, or a split file",
        )


def split_digest(ids: Iterable[str], assigned: Iterable[str]) -> str:
    """Return the sha256 over (id, split), in the order given."""
    return rows_digest(zip(ids, assigned, strict=True))


def data_digest(samples: pd.DataFrame) -> str:
    """Return the sha256 over (id, target, group) of all samples, sorted by id: what a split file was made for."""
    columns = ["id", *(name for name in samples.columns if name.startswith("target")), "group"]
    return rows_digest(sorted(zip(*(samples[name].tolist() for name in columns), strict=True)))


def split_file(card: DatasetCard, samples: pd.DataFrame, name: str) -> Path:
    """Return the path of a rule's frozen file: it carries the digest of the rule and of what it drew from."""
    rule = rule_of(card, name)
    used = [_fields(card, name), *([_fields(card, _base(card, name))] if rule.method in DERIVED else [])]
    unused = (SUBGROUP, *([] if rule.method == "contiguous" else ["path"]))
    columns = [column for column in samples.columns if not column.startswith(unused)]
    rows = zip(*(samples[column].tolist() for column in columns), strict=True)
    found = rows_digest(rows, files.canonical([*used, card.class_names]))
    return paths.home() / "splits" / card.name / f"{name}-{found[:12]}.csv"


def _fields(card: DatasetCard, name: str) -> dict[str, Any]:
    rule = rule_of(card, name)
    usual = {field for field, value in LAST_FIELDS.items() if getattr(rule, field) == value}
    left_out = {"source", *usual, *(LATER_FIELDS if rule.method in FIRST_METHODS else ())}
    return rule.model_dump(mode="json", exclude=left_out)


def frozen_split(card: DatasetCard, samples: pd.DataFrame, name: str) -> Assigned:
    """Return a rule's split from its frozen file, which is written the first time and only read ever after.

    Raises:
        DataError: The file was changed or damaged, or the split cannot be made.
    """
    path = split_file(card, samples, name)
    ids = samples["id"].tolist()
    data = data_digest(samples)
    if not path.is_file():
        write_split(path, ids, make_split(card, samples, name), data)
    assigned = read_split(path, ids, data, frozen=True)
    refuse_empty(assigned, str(path), rule_of(card, name).parts)
    return assigned


def write_split(path: Path, ids: Sequence[str], assigned: Iterable[str], data: str = "") -> str:
    """Write a split file by atomic rename and return its digest.

    It holds a line with its own digest, one with that of the data, then CSV: id, split.

    Args:
        path: The file.
        ids: The samples' ids.
        assigned: The split of each.
        data: What `data_digest` returns; empty: no such line.

    Raises:
        OutputError: The folder is read-only or full.
    """
    assigned = list(assigned)
    found = split_digest(ids, assigned)
    text = io.StringIO(newline="")
    text.write(f"{MARK}{found}\n")
    text.write(f"{DATA_MARK}{data}\n" if data else "")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "split"))
    writer.writerows(zip(ids, assigned, strict=True))
    files.write_text(path, text.getvalue())
    return found


def read_split(path: Path, ids: Sequence[str], data: str = "", *, frozen: bool = False) -> Assigned:
    """Read a split file: CSV with the columns id and split, optionally headed by medbench's digest lines.

    An empty split leaves the sample out; every sample must be named.

    Args:
        path: The file.
        ids: The data set's ids; the result is in their order.
        data: What `data_digest` returns for the data set, compared with the file's; empty: not compared.
        frozen: Whether the line with the split's digest must be there.

    Raises:
        DataError: The file is missing, does not fit its digest lines, names unknown ids, misses some, names one twice
            or holds something that is no split.
    """
    promised, made_for = _promises(path)
    try:
        columns = read_columns(path, ("id", "split"), skip=COMMENT)
    except MissingDataError as error:
        raise DataError(error.message, "check the path of the split file") from error
    found: dict[str, str] = {}
    for row, (name, split) in enumerate(zip(columns.cells["id"], columns.cells["split"], strict=True)):
        if split not in (*SPLITS, ""):
            raise DataError(
                f"{columns.where(row, 'split')}: '{split}' is not a split", "use train, val, test, or nothing"
            )
        if name in found:
            raise DataError(f"{columns.where(row, 'id')}: duplicate id '{name}'", "remove one of the rows")
        found[name] = split
    _same_ids(path, found, ids)
    if (promised or frozen) and promised != split_digest(found, found.values()):
        raise DataError(
            f"{path} was changed: its rows do not match the digest in its first line",
            "restore the original; or delete the file to split again; or, if the change is intended, remove that "
            "line in a copy",
        )
    if data and made_for and made_for != data:
        raise DataError(
            f"{path} was made for other data: the ids are the same, but labels or groups differ",
            f"make the split again for these data; or, if the change is intended, remove the line '{DATA_MARK}…'",
        )
    return np.array([found[name] for name in ids], object)


def _promises(path: Path) -> tuple[str, str]:
    """Return the digests of the split and of the data at the head of a split file, or empty texts."""
    found = {MARK: "", DATA_MARK: ""}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in itertools.takewhile(lambda line: line.startswith(COMMENT), file):
                mark, _, value = line.strip().partition("=")
                found[f"{mark}="] = value
    except (OSError, UnicodeDecodeError):
        pass  # read_columns says what is wrong
    return found[MARK], found[DATA_MARK]


def _same_ids(path: Path, found: dict[str, str], ids: Sequence[str]) -> None:
    known = set(ids)
    unknown = [name for name in found if name not in known]
    missing = [name for name in ids if name not in found]
    for what, names in (
        ("contains ids that the data set does not have", unknown),
        ("does not contain all samples", missing),
    ):
        if names:
            raise DataError(
                f"{path} {what}: {few(names)}",
                "make the split again for this copy; a sample with an empty split is left out",
            )
