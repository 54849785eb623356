"""Splits: how each rule draws them, and the frozen files that keep them."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench import files, paths
from medbench.cards.dataset import DatasetCard, SplitRule
from medbench.data.digests import rows_digest
from medbench.data.greedy import draw
from medbench.data.table import read_columns
from medbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "val", "test")
MARK = "# medbench split sha256="
Assigned = npt.NDArray[np.object_]


def make_split(card: DatasetCard, samples: pd.DataFrame, name: str) -> Assigned:
    """Return the split of each sample under one of the card's rules: train, val or test, or empty for left out.

    `stratified` and `grouped` depend on the seed and on the set of (id, target, group) alone, not on the order of the
    rows; `shuffle` is a rule about row numbers and does depend on it.

    Args:
        card: The card; `card.splits.rules[name]` is the rule.
        samples: What `read_samples` returns.
        name: Name of the rule.

    Raises:
        DataError: A class has fewer samples (or groups) than there are splits, or a split comes out empty.
    """
    rule = card.splits.rules[name]
    if rule.method == "shuffle":
        assigned = _shuffle(card, rule, len(samples))
    elif rule.method == "official":
        assigned = _official(card, rule, samples)
    else:
        shares = {"train": 1 - rule.val - rule.test, "val": rule.val, "test": rule.test}
        assigned = _drawn(card, samples, shares, rule.seed, grouped=rule.method == "grouped")
    refuse_empty(assigned, f"{card.name}, split {name}")
    return assigned


def refuse_empty(assigned: Assigned | Sequence[str], where: str) -> None:
    """Refuse a split without training, validation or test samples.

    Raises:
        DataError: One of the three is empty.
    """
    present = set(assigned)
    if empty := [split for split in SPLITS if split not in present]:
        raise DataError(
            f"{where}: no samples in {', '.join(empty)}",
            "every split needs samples: more data, other shares (val, test) in the card's rule, or a split file",
        )


def _shuffle(card: DatasetCard, rule: SplitRule, n: int) -> Assigned:
    """Follow the WACV 2024 rule, and hold it against the published first rows where the copy is whole."""
    order = list(range(n))
    random.Random(rule.seed).shuffle(order)  # noqa: S311 - the published rule
    held = int(rule.held_out * n)
    parts = {"val": order[: held // 2], "test": order[held // 2 : held], "train": order[held:]}
    if n == card.counts.images:
        for split, rows in rule.check.items():
            if parts[split][: len(rows)] != rows:
                raise DataError(
                    f"{card.name}: the {split} rows {parts[split][: len(rows)]} are not the published {rows}",
                    "mend the card's check values; if they are right, this Python shuffles differently",
                )
    assigned: Assigned = np.full(n, "", object)
    for part, rows in parts.items():
        assigned[rows] = part
    return assigned


def _official(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame) -> Assigned:
    """Take the release's own split; where it has no validation, cut it from train, whole groups if they are known."""
    assigned: Assigned = samples["official"].to_numpy(object).copy()
    if not any(assigned):
        raise DataError(f"{card.name} has no official split on disk", _others(card))
    if "val" in assigned or rule.val == 0:
        return assigned
    rows = np.flatnonzero(assigned == "train")
    shares = {"train": 1 - rule.val, "val": rule.val}
    assigned[rows] = _drawn(card, samples.iloc[rows], shares, rule.seed, grouped=True)
    return assigned


def _others(card: DatasetCard) -> str:
    others = [name for name, rule in card.splits.rules.items() if rule.method != "official"]
    return f"choose another rule: {', '.join(others)}" if others else "give a split file, or add a rule to the card"


def _drawn(card: DatasetCard, samples: pd.DataFrame, shares: dict[str, float], seed: int, *, grouped: bool) -> Assigned:
    """Draw whole groups (or single samples) into splits in the given shares, class by class."""
    if min(shares.values()) < 0 or shares["train"] <= 0:
        raise DataError(f"{card.name}: shares of val and test leave nothing for train", "mend val and test in the card")
    columns = [name for name in samples.columns if name.startswith("target")]
    targets = samples[columns].to_numpy()
    hot = targets.astype(bool) if card.task == "multilabel" else _one_hot(targets[:, 0], len(card.classes))
    units = samples["group" if grouped else "id"].tolist()
    strict = card.task != "multilabel"
    return draw(units, hot, card.class_names, shares, seed, where=card.name, strict=strict)


def _one_hot(targets: npt.NDArray[Any], n: int) -> npt.NDArray[np.bool_]:
    hot = np.zeros((len(targets), n), bool)
    hot[np.arange(len(targets)), targets] = True
    return hot


def split_digest(ids: Iterable[str], assigned: Iterable[str]) -> str:
    """Return the sha256 over (id, split), in the order given."""
    return rows_digest(zip(ids, assigned, strict=True))


def split_file(card: DatasetCard, samples: pd.DataFrame, name: str) -> Path:
    """Return the path of a rule's frozen file: it carries the digest of the rule and of what it drew from."""
    rule = card.splits.rules[name].model_dump(mode="json", exclude={"source"})
    rows = zip(*(samples[column].tolist() for column in samples.columns if column != "path"), strict=True)
    found = rows_digest(rows, files.canonical([rule, card.class_names]))
    return paths.home() / "splits" / card.name / f"{name}-{found[:12]}.csv"


def frozen_split(card: DatasetCard, samples: pd.DataFrame, name: str) -> Assigned:
    """Return a rule's split from its frozen file, which is written the first time and only read ever after.

    Raises:
        DataError: The file was changed or damaged, or the split cannot be made.
    """
    path = split_file(card, samples, name)
    ids = samples["id"].tolist()
    if not path.is_file():
        write_split(path, ids, make_split(card, samples, name))
    assigned = read_split(path, ids, frozen=True)
    refuse_empty(assigned, str(path))
    return assigned


def write_split(path: Path, ids: Sequence[str], assigned: Iterable[str]) -> str:
    """Write a split file (a line with its digest, then CSV: id, split) by atomic rename; return the digest.

    Raises:
        OutputError: The folder is read-only or full.
    """
    assigned = list(assigned)
    found = split_digest(ids, assigned)
    text = io.StringIO(newline="")
    text.write(f"{MARK}{found}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "split"))
    writer.writerows(zip(ids, assigned, strict=True))
    files.write_text(path, text.getvalue())
    return found


def read_split(path: Path, ids: Sequence[str], *, frozen: bool = False) -> Assigned:
    """Read a split file: CSV with the columns id and split, optionally headed by medbench's digest line.

    An empty split leaves the sample out; every sample must be named.

    Args:
        path: The file.
        ids: The data set's ids; the result is in their order.
        frozen: Whether the digest line must be there.

    Raises:
        DataError: The file is missing, does not fit its digest line, names unknown ids, misses some, names one twice
            or holds something that is no split.
    """
    promised = _promise(path)
    columns = read_columns(path, ("id", "split"), hint="check the path of the split file", skip=MARK)
    found: dict[str, str] = {}
    for row, (name, split) in enumerate(zip(columns.cells["id"], columns.cells["split"], strict=True)):
        if split not in (*SPLITS, ""):
            raise DataError(f"{columns.where(row, 'split')}: '{split}' is no split", "use train, val, test, or nothing")
        if name in found:
            raise DataError(f"{columns.where(row, 'id')}: '{name}' stands there twice", "leave one of the rows")
        found[name] = split
    _same_ids(path, found, ids)
    if (promised or frozen) and promised != split_digest(found, found.values()):
        raise DataError(
            f"{path} was changed: its rows do not fit the digest in its first line",
            "put the original back; or, to split anew, delete the file; if it is meant, copy it without that line",
        )
    return np.array([found[name] for name in ids], object)


def _promise(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return ""  # read_columns says what is wrong
    return first.removeprefix(MARK) if first.startswith(MARK) else ""


def _same_ids(path: Path, found: dict[str, str], ids: Sequence[str]) -> None:
    known = set(ids)
    unknown = [name for name in found if name not in known]
    missing = [name for name in ids if name not in found]
    for what, names in (("names ids that the data set does not have", unknown), ("does not name all samples", missing)):
        if names:
            listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise DataError(
                f"{path} {what}: {listed}", "make it anew for this copy; an empty split leaves a sample out"
            )
