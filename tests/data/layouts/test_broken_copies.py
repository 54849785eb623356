"""Every card against its twin: whole it passes the check, broken it fails with the right words."""

from __future__ import annotations

import atexit
import csv
import functools
import shutil
import tempfile
from pathlib import Path

import pytest

from medbench import cards
from medbench.cards import DatasetCard
from medbench.cards.dataset import CsvLayout, FolderLayout, ListLayout
from medbench.data.checks.check import check
from medbench.data.checks.findings import Finding
from medbench.data.layouts.reader import read_samples
from medbench.data.splits.split_file import write_split
from medbench.data.twins.twin import synthesise

REAL = [name for name in cards.names("datasets") if not cards.find_dataset(name).toy]
ALIEN = "no such class"


@functools.cache
def twin_of(name: str) -> Path:
    """Return a folder with the card's twin, made once."""
    keep = Path(tempfile.mkdtemp(prefix="twin-"))
    atexit.register(shutil.rmtree, keep, ignore_errors=True)
    return synthesise(cards.find_dataset(name), keep / "twin")


def copied(name: str, place: Path) -> Path:
    return Path(shutil.copytree(twin_of(name), place / "twin"))


def found(name: str, root: Path, images: bool = True, split: str | None = None) -> dict[str, Finding]:
    report = check(name, root, images=images, split_name=split, near_radius=None)  # drawn images are alike by intent
    return {f.kind: f for f in report.findings if f.severity != "note"}


@pytest.mark.parametrize("name", REAL)
def test_a_whole_twin_passes_and_a_broken_one_is_told(name: str, tmp_path: Path) -> None:
    card = cards.find_dataset(name)
    root = copied(name, tmp_path)
    samples = read_samples(card, root)
    assert not {kind for kind, f in found(name, root).items() if f.severity == "error"}
    paths = samples["path"].tolist()
    (root / paths[0]).unlink()
    (root / paths[1]).write_bytes(b"no picture")
    (root / "SYNTHETIC.txt").unlink()
    told = found(name, root)
    if isinstance(card.layout, FolderLayout):  # what does not exist cannot be missed, but counts tell
        assert "missing" not in told
    else:
        assert "1 of " in told["missing"].text
        assert paths[0].rpartition(".")[0] in told["missing"].text
    assert paths[1] in told["unreadable"].text
    if card.counts.images not in (None, len(samples)):
        assert f"the card says {card.counts.images}" in told["counts"].text


def alienate(card: DatasetCard, root: Path) -> str:
    """Give one sample a label outside the classes; return a text that the finding must hold."""
    layout = card.layout
    if isinstance(layout, ListLayout):
        file = root / next(iter(layout.lists.values()))
        file.write_text("zebra_1\n" + file.read_text())
        return "zebra"
    if isinstance(layout, FolderLayout):
        (root / next(iter(layout.splits.values()), "") / "zebra").mkdir()
        return "zebra"
    assert isinstance(layout, CsvLayout)
    table = layout.tables[0]
    names = [table.file] if isinstance(table.file, str) else table.file
    file = next(root / one for one in names if (root / one).is_file())
    with file.open(encoding=layout.encoding, newline="") as handle:
        rows = list(csv.reader(handle, delimiter=layout.delimiter))
    head = [cell.strip() for cell in rows[table.header - 1]]
    label = layout.label if isinstance(layout.label, str) else (layout.label or layout.labels or [])[0]
    for row in rows[table.header :]:
        row[head.index(label)] = f"['{ALIEN}']" if layout.listed else ALIEN
    with file.open("w", encoding=layout.encoding, newline="") as handle:
        csv.writer(handle, delimiter=layout.delimiter).writerows(rows)
    return ALIEN


def can_be_alien(name: str) -> bool:
    layout = cards.find_dataset(name).layout
    if isinstance(layout, FolderLayout):
        return layout.label is None and layout.only is None  # else other files and folders are passed over
    if isinstance(layout, CsvLayout):
        first = layout.tables[0].file
        return not str(first if isinstance(first, str) else first[0]).endswith(".xlsx")
    return True


@pytest.mark.parametrize("name", [name for name in REAL if can_be_alien(name)])
def test_a_label_outside_the_classes_is_told(name: str, tmp_path: Path) -> None:
    root = copied(name, tmp_path)
    word = alienate(cards.find_dataset(name), root)
    assert word in found(name, root, images=False)["labels"].text


@pytest.mark.parametrize("name", REAL)
def test_a_group_across_splits_is_told(name: str, tmp_path: Path) -> None:
    card = cards.find_dataset(name)
    root = copied(name, tmp_path)
    samples = read_samples(card, root)
    sizes = samples["group"].value_counts()
    if sizes.max() == 1:
        assert not getattr(card.layout, "group", None), "a twin of a card with groups has groups of several"
        return
    members = samples.index[samples["group"] == sizes.index[0]]
    assigned = [("train", "val", "test")[i % 3] for i in range(len(samples))]
    for row in samples.index[samples["group"] != sizes.index[0]]:
        assigned[row] = "train"
    assigned[members[0]], assigned[members[1]] = "train", "test"
    write_split(tmp_path / "cut.csv", samples["id"].tolist(), assigned)
    text = check(name, root, images=False, split_name=str(tmp_path / "cut.csv")).findings
    across = next(f for f in text if f.kind in ("groups-across", "split"))
    assert across.severity in ("warning", "error")
    assert across.kind == "split" or str(sizes.index[0]) in across.text
