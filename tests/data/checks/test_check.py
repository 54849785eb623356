from __future__ import annotations

import csv
import functools
import shutil
from pathlib import Path

import pytest
from PIL import Image

from medbench import cards
from medbench.cards import DatasetCard
from medbench.cards.dataset import CsvLayout, FolderLayout, ListLayout
from medbench.data.checks.check import check
from medbench.data.checks.findings import Finding
from medbench.data.layouts.reader import read_samples
from medbench.data.splits.split_file import write_split
from medbench.data.twins.twin import synthesise
from medbench.errors import CardError, DataError


def kinds(report) -> dict[str, Finding]:
    return {finding.kind: finding for finding in report.findings}


CARD = """
task: binary
classes: [healthy, ill]
metric: auroc
layout: {kind: csv, tables: [{file: labels.csv}], image: "{image}", label: label, group: "{patient}", split: split}
splits: {default: official, rules: {official: {method: official}}}
counts: {images: 30, classes: [15, 15], splits: {train: 20, val: 5, test: 5}}
"""


@pytest.fixture
def copy(make_csv):
    """A whole copy of 30 images that fits its card."""
    splits = ["train"] * 20 + ["val"] * 5 + ["test"] * 5
    root = make_csv("image,label,patient,split", [(f"{i}.png", i % 2, f"p{i}", splits[i]) for i in range(30)])
    (root / "mine.yaml").write_text(CARD)
    return root


def checked(root, **options):
    return check(str(root / "mine.yaml"), **options)


def relabel(root, *changes):
    text = (root / "labels.csv").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (root / "labels.csv").write_text(text)


def test_whole_copy_is_clean(copy):
    report = checked(copy)
    assert report.findings == []
    assert report.clean
    assert report.columns == ("class", "card", "found", "train", "val", "test")
    assert report.rows[0] == ("healthy", 15, 15, 10, 3, 2)
    assert report.rows[-1] == ("all images", 30, 30, 20, 5, 5)


def test_all_faults_are_found_at_once(copy):
    (copy / "0.png").unlink()
    (copy / "1.png").write_bytes(b"")
    (copy / "2.png").write_bytes((copy / "3.png").read_bytes()[:60])
    (copy / "4.png").write_bytes(b"<html>404</html>")
    (copy / "6.png").write_bytes((copy / "7.png").read_bytes())
    (copy / "8.png").write_bytes((copy / "28.png").read_bytes())
    relabel(copy, ("29.png,1,p29,test", "29.png,0,p10,test"))
    report = checked(copy)
    found = kinds(report)
    assert found["missing"].ids == ["0.png"]
    assert found["unreadable"].ids == ["1.png", "2.png", "4.png"]
    assert found["duplicates"].ids == ["6.png", "7.png", "8.png", "28.png"]
    assert found["duplicate-labels"].ids == ["6.png", "7.png"]
    assert "6.png [healthy, train] = 7.png [ill, train]" in found["duplicate-labels"].text
    assert found["duplicates-across"].ids == ["8.png", "28.png"]
    assert sorted(found["groups-across"].ids) == ["10.png", "29.png"]
    assert "class ill: 14, the card says 15" in found["counts"].text
    assert not report.clean
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_without_decoding_only_empty_files_are_found(copy):
    (copy / "1.png").write_bytes(b"")
    (copy / "4.png").write_bytes(b"<html>404</html>")
    assert kinds(checked(copy, images=False))["unreadable"].ids == ["1.png"]


def test_counts_per_official_split(copy):
    relabel(copy, ("21.png,1,p21,val", "21.png,1,p21,train"))
    assert (
        "official train: 21, the card says 20; official val: 4, the card says 5" in kinds(checked(copy))["counts"].text
    )


def test_bad_labels_are_a_finding(copy):
    relabel(copy, ("7.png,1,", "7.png,5,"))
    report = checked(copy)
    assert [finding.kind for finding in report.findings] == ["labels"]
    assert "labels.csv:9: column 'label'" in report.findings[0].text


def test_split_that_cannot_be_made_is_a_finding(copy):
    relabel(copy, (",test", ",train"))
    report = checked(copy)
    assert "no samples in test" in kinds(report)["split"].text
    assert report.rows[-1] == ("all images", 30, 30, None, None, None)


def test_class_absent_from_a_split(copy):
    relabel(copy, *((f"{i}.png,1,p{i},test", f"{i}.png,0,p{i},test") for i in (25, 27, 29)))
    assert "test has no image of class ill" in kinds(checked(copy))["absent-test"].text


def test_what_cannot_be_checked_at_all(tmp_path):
    with pytest.raises(CardError, match="unknown dataset"):
        check("nowhere")
    with pytest.raises(DataError, match="does not exist"):
        check("aptos", tmp_path / "none")


def test_toy_is_clean():
    assert check("toy").clean


def test_real_idrid(shared, repo):
    """The release's byte-identical pairs, as the copy's notes list them."""
    report = check(str(repo / "docs/example/datasets/idrid-small.yaml"), shared / "realdata" / "idrid")
    found = kinds(report)
    near = {"near-duplicates", "near-duplicate-labels"}  # two captures of one eye
    assert set(found) == {"duplicates", "duplicate-labels", "duplicates-across", "groups-across", *near}
    pairs = {frozenset(found["duplicates"].ids[i : i + 2]) for i in range(0, 12, 2)}
    listed = [("train_118", "test_064"), ("train_021", "train_391"), ("train_028", "train_327")]
    listed += [("train_045", "train_333"), ("train_073", "train_375"), ("train_079", "train_279")]
    full = [tuple(f"images/{part.replace('_', '_IDRiD_')}.jpg" for part in pair) for pair in listed]
    assert pairs == {frozenset(pair) for pair in full}
    assert set(found["duplicate-labels"].ids) == {name for pair in full[:3] for name in pair}  # the 4th differs in DME
    assert set(found["duplicates-across"].ids) == set(full[0])
    assert report.rows[-1] == ("all images", 516, 516, 352, 61, 103)


def test_real_nih(shared, repo):
    card = str(repo / "docs/example/datasets/nih-small.yaml")
    official = check(card, shared / "realdata" / "nih1000_64", split_name="official")
    assert kinds(official)["groups-across"].text.startswith("30 groups")
    grouped = check(card, shared / "realdata" / "nih1000_64")
    assert grouped.clean


def test_real_kermany(shared, repo):
    report = check(str(repo / "tests/cards/kermany-small.yaml"), shared / "realdata" / "kermany_cxr")
    assert set(kinds(report)) == {"duplicates"}
    assert report.clean


def test_sixteen_bit_and_odd_modes_are_not_faults(copy):
    Image.new("P", (8, 8)).save(copy / "0.png")
    Image.new("I;16", (8, 8), 3000).save(copy / "1.png")
    Image.new("RGBA", (8, 8), (9, 9, 9, 9)).save(copy / "2.png")
    assert checked(copy).clean


REAL = [name for name in cards.names("datasets") if not cards.find_dataset(name).toy]


ALIEN = "no such class"


@functools.cache
def twin_of(name: str, keep: Path) -> Path:
    """Return a folder with the card's twin, made once; pytest removes what it is in."""
    return synthesise(cards.find_dataset(name), keep / name)


def copied(name: str, place: Path) -> Path:
    return Path(shutil.copytree(twin_of(name, place.parent / "twins"), place / "twin"))


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
