"""Check a local copy of a data set against its card: the findings of `medbench data check`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medbench.cards.dataset import SPLITS, DatasetCard
from medbench.cards.find import dataset_kind
from medbench.data.checks.findings import ORDER, Finding, duplicates, near_duplicates, unreadable
from medbench.data.checks.leaks import absent_classes, groups_across
from medbench.data.checks.near_duplicates import RADIUS, near_clusters, pictures
from medbench.data.checks.texts import of_texts
from medbench.data.dataset import SYNTHETIC, content_digests
from medbench.data.layouts import reader
from medbench.data.layouts.own.pairs_table import is_pairs
from medbench.data.layouts.own.taken import NOTHING, Taken
from medbench.data.layouts.own_columns import OwnColumns
from medbench.data.load import Missing, Source, absent_files, choose_split, find_source
from medbench.data.pairs import open_pairs
from medbench.data.prepared.store import Store
from medbench.data.splits.rules import hot_of
from medbench.errors import DataError, MedbenchError, few
from medbench.storage import files

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CheckReport:
    """The result of a check.

    Attributes:
        name: The data set.
        root: Its folder.
        split: The split the counts are for; empty if it could not be made.
        columns: Heads of `rows`: class, card, found, train, val, test.
        rows: Counts per class, then in all; None where the card says nothing or the split could not be made.
        findings: Errors first.
        taken: What own files were taken for.
    """

    name: str
    root: Path
    split: str
    columns: tuple[str, ...]
    rows: list[tuple[str | int | None, ...]]
    findings: list[Finding]
    taken: Taken = NOTHING

    @property
    def failed(self) -> bool:
        """Whether an error was found: a run would stop or be wrong."""
        return any(finding.severity == "error" for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether nothing but notes was found: what `--strict` asks for."""
        return all(finding.severity == "note" for finding in self.findings)


def check(
    name: str,
    root: Path | str | None = None,
    *,
    allow_outside: bool = False,
    images: bool = True,
    split_name: str | None = None,
    near_radius: int | None = RADIUS,
    missing: Missing = "stop",
    columns: OwnColumns | None = None,
    pairs: bool | None = None,
) -> CheckReport:
    """Check a copy of a data set and report all that is found; the first fault does not end it.

    Args:
        name: As for `load_dataset`.
        root: The data folder; see `find_source`.
        allow_outside: Let image paths lead out of the data folder.
        images: Decode every image. False: only look whether the files are there, empty, or the same.
        split_name: The split to count and to look across; None: the card's default.
        near_radius: Bits of 256 in which the hashes of near duplicates may differ. They are not looked for if it is
            None or `images` False, nor in toy sets and synthetic twins.
        missing: `leave-out`: look at the data without the images that are missing, as a run under that option does.
        columns: What the user says of a CSV or a folder of their own.
        pairs: Whether the data are image-text pairs; None: if they are a table with texts or categories, and without
            a column of labels.

    Raises:
        CardError: No such card.
        DataError: The data folder is not told, or not there; or a pairs file is wrong.
    """
    path = Path(name).expanduser()
    if pairs is None:
        pairs = dataset_kind(name) == "labels" and path.is_file() and is_pairs(path)
    source, samples = _read(name, root, columns, pairs=pairs, allow_outside=allow_outside)
    card, place = source.card, source.root
    findings = [Finding("doubt", "warning", text) for text in source.taken.doubts]
    if isinstance(samples, DataError):
        findings.append(Finding("labels", "error", str(samples)))
        return CheckReport(card.name, place, "", (), [], findings, source.taken)
    chosen, assigned = _split(card, samples, split_name, findings)
    samples = samples.assign(split=assigned)
    twin = (place / SYNTHETIC).is_file()
    findings += _counts(card, samples, twin=twin)
    gone = absent_files(place, samples)
    findings += _missing(samples, gone, left_out=missing == "leave-out")
    if missing == "leave-out" and len(gone) < len(samples):
        samples, gone = samples.drop(index=gone).reset_index(drop=True), []
    there = np.ones(len(samples), bool)
    there[gone] = False
    made_up = card.toy or twin  # drawn images are alike by intent
    once = samples[there].drop_duplicates("path") if pairs else samples[there]  # an image may have several texts
    findings += _images(card, place, once, images, None if made_up else near_radius)
    findings += groups_across(samples)
    if chosen:
        findings += of_texts(samples) if pairs else absent_classes(card, samples)
    findings.sort(key=lambda finding: ORDER.index(finding.severity))
    heads = ("class", "card", "found", *SPLITS)
    taken = source.taken.with_rows(samples.attrs.get(reader.REPEATED, 0))
    rows = _table(card, samples, bool(chosen))
    return CheckReport(card.name, place, chosen, heads, rows, findings, taken)


def _read(
    name: str, root: Path | str | None, columns: OwnColumns | None, *, pairs: bool, allow_outside: bool
) -> tuple[Source, pd.DataFrame | DataError]:
    """Return where the data are, and the samples, or why the labels cannot be read."""
    if pairs:
        opened = open_pairs(name, root, allow_outside=allow_outside, missing="leave-out", columns=columns)
        return opened.source, opened.samples
    source = find_source(name, Path(root) if root is not None else None, columns)
    try:
        return source, reader.read_samples(source.card, source.root, allow_outside, source.tables)
    except DataError as error:
        return source, error


def _split(
    card: DatasetCard, samples: pd.DataFrame, chosen: str | None, findings: list[Finding]
) -> tuple[str, Sequence[str]]:
    try:
        name, assigned = choose_split(card, samples, chosen)
    except MedbenchError as error:
        findings.append(Finding("split", "error", str(error)))
        return "", samples["official"].tolist()
    return name, assigned.tolist()


def _table(card: DatasetCard, samples: pd.DataFrame, with_split: bool) -> list[tuple[str | int | None, ...]]:
    hot = hot_of(card, samples)
    assigned = samples["split"].to_numpy()
    expected: Sequence[int | None] = card.counts.classes or [None] * len(card.classes)
    masks = [assigned == name for name in SPLITS]
    rows: list[tuple[str | int | None, ...]] = []
    for index, name in enumerate(card.class_names):
        per_split = [int(hot[mask, index].sum()) if with_split else None for mask in masks]
        rows.append((name, expected[index], int(hot[:, index].sum()), *per_split))
    if card.task == "multilabel":
        bare = np.asarray(hot.sum(axis=1) == 0)
        rows.append(("(none)", None, int(bare.sum()), *(int(bare[m].sum()) if with_split else None for m in masks)))
    totals = [int(mask.sum()) if with_split else None for mask in masks]
    return [*rows, ("all images", card.counts.images, len(samples), *totals)]


def _counts(card: DatasetCard, samples: pd.DataFrame, *, twin: bool) -> list[Finding]:
    """Hold images, classes and official splits against the card; a synthetic twin is smaller by intent."""
    hot = hot_of(card, samples)
    pairs: list[tuple[str, int | None, int]] = [("images", card.counts.images, len(samples))]
    pairs += [
        (f"class {name}", expected, int(hot[:, index].sum()))
        for index, (name, expected) in enumerate(zip(card.class_names, card.counts.classes or [], strict=False))
    ]
    official = samples["official"].to_numpy()
    pairs += [(f"official {name}", n, int((official == name).sum())) for name, n in card.counts.splits.items()]
    wrong = [
        f"{what}: {found}, the card says {want}" for what, want, found in pairs if want is not None and want != found
    ]
    findings = []
    if twin:
        wrong = ["this is a synthetic twin (SYNTHETIC.txt), so its counts differ from the card"] if wrong else []
    if wrong:
        findings.append(Finding("counts", "note" if twin else "warning", "; ".join(wrong)))
    if not card.verified and card.counts.images:
        findings.append(
            Finding("counts", "note", "the counts in the card were not checked on the files of the release")
        )
    for index, name in enumerate(card.class_names):
        if not hot[:, index].any():
            findings.append(Finding("counts", "warning", f"no sample of class {name}"))
    return findings


def _missing(samples: pd.DataFrame, gone: list[int], *, left_out: bool) -> list[Finding]:
    if not gone:
        return []
    text = f"{len(gone)} of {len(samples)} images are missing: {few(samples['path'].iloc[gone])}"
    some = left_out and len(gone) < len(samples)
    return [Finding("missing", "warning" if some else "error", text, samples["id"].iloc[gone].tolist())]


def _images(
    card: DatasetCard, place: Path, samples: pd.DataFrame, decode: bool, near_radius: int | None
) -> list[Finding]:
    """Look at the files that are there: whether they can be read, and whether one is another again."""
    try:
        content = content_digests(card, place, samples["path"])
    except DataError as error:
        return [*unreadable(card, place, samples, decode), Finding("unreadable", "error", str(error))]
    findings: list[Finding] = []
    store: Store | None = None
    if decode and near_radius is not None and len(samples):
        try:
            store = pictures(card, place, samples, content)
        except MedbenchError as error:
            findings.append(Finding("near", "warning", f"near duplicates were not searched: {error}"))
    findings += unreadable(card, place, samples, decode, store.unreadable if store else None)
    findings += duplicates(card, samples, content)
    if store is not None and near_radius is not None:
        clusters = near_clusters(store.images, content, near_radius, f"comparing {card.name}")
        findings += near_duplicates(card, samples, clusters)
    return findings


def write_list(report: CheckReport, path: Path) -> None:
    """Write a CSV with one line for each finding and image: id, finding, severity.

    Raises:
        OutputError: The folder is read-only or full.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "finding", "severity"))
    writer.writerows((name, one.kind, one.severity) for one in report.findings for name in one.ids)
    files.write_text(path, text.getvalue())
