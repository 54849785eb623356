"""Label tables and data set cards that no reader can take at their word."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from openpyxl import Workbook
from tests.hostile.conftest import CARD, knn


def rewritten(place: Path, before: str, after: str) -> None:
    text = (place / "labels.csv").read_text()
    assert before in text
    (place / "labels.csv").write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("images/" + "a" * 5000 + ".png", "labels.csv:2: the path 'images/aaaa"),
        ("images/" + "a" * 300 + ".png", "labels.csv:2: the path 'images/aaaa"),
        ("a/" * 5000 + "0.png", "labels.csv:2: the path 'a/a/"),
        ("images/\x1b[2J\x1b]0;pwned.png", r"images/\u001b[2J\u001b]0;pwned.png"),
        ("images/\u202egnp.png", r"images/\u202egnp.png"),
    ],
)
def test_paths_of_a_table(place: Path, refused, cell: str, words: str) -> None:
    rewritten(place, "images/0.png", cell)
    assert words.removeprefix("labels.csv:2: ") in refused(*knn("labels.csv"))
    assert words in refused(*knn("own.yaml"))


def test_a_label_that_steers_the_terminal(place: Path, refused) -> None:
    rewritten(place, "images/0.png,red", "images/0.png,\x1b[31mred")
    assert r"\u001b[31mred" in refused(*knn("labels.csv"))


@pytest.mark.parametrize("cell", ["c{}", "1"])
def test_a_million_columns(place: Path, refused, cell: str) -> None:
    more = ",".join(cell.format(n) if n else "image,label" for n in range(1_000_000))
    (place / "labels.csv").write_text(f"{more}\n{',1' * 1_000_000}\n")
    assert "1,000,001 columns, more than the 16,384" in refused(*knn("labels.csv"))
    assert "1,000,001 columns, more than the 16,384" in refused(*knn("own.yaml"))


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_regular_file(place: Path, refused, kind: str) -> None:
    (place / "labels.csv").unlink()
    if kind == "pipe":
        os.mkfifo(place / "labels.csv")
    else:
        (place / "labels.csv").symlink_to("/dev/zero")
    assert "cannot read labels.csv: not a regular file" in refused(*knn("own.yaml"))


def workbook(file: Path, sheet: str) -> None:
    Workbook().save(file.with_suffix(".plain"))
    with zipfile.ZipFile(file.with_suffix(".plain")) as plain, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name in plain.namelist():
            made.writestr(name, sheet if name == "xl/worksheets/sheet1.xml" else plain.read(name))


def test_a_workbook_that_unpacks_to_millions_of_rows(place: Path, refused, monkeypatch) -> None:
    monkeypatch.setattr("medbench.storage.archives.SMALL", 1 << 20)
    head = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    workbook(place / "labels.xlsx", head + "<row></row>" * 500_000 + "</sheetData></worksheet>")
    (place / "own.yaml").write_text(CARD.replace("labels.csv", "labels.xlsx"))
    assert "it would unpack to more than" in refused(*knn("own.yaml"))


def test_a_workbook_with_more_rows_than_a_sheet(place: Path, refused, monkeypatch) -> None:
    monkeypatch.setattr("medbench.data.layouts.xlsx.MOST_ROWS", 100)
    head = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    workbook(place / "labels.xlsx", head + "<row></row>" * 101 + "</sheetData></worksheet>")
    (place / "own.yaml").write_text(CARD.replace("labels.csv", "labels.xlsx"))
    assert "the sheet has more than 100 rows" in refused(*knn("own.yaml"))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("image: ", "delimiter: ',,', image: ", "layout.delimiter"),
        ("image: ", "delimiter: '', image: ", "layout.delimiter"),
        ("image: ", 'delimiter: "\\n", image: ', "no column 'image'"),
        ("image: ", "encoding: rot13, image: ", "is not rot13 text"),
        ("image: ", "encoding: nothing, image: ", "is not nothing text"),
        ("image: ", "pad: {label: 1000000000}, image: ", "layout.pad.label"),
        ("image: ", "pad: {label: -1}, image: ", "layout.pad.label"),
        ("file: labels.csv", "file: labels.csv, header: 1000000000", "header"),
        ("file: labels.csv", f"file: {'x' * 5000}.csv", "too long"),
        ("seed: 0", "seed: -1", "splits.rules.s.seed"),
        ("seed: 0", "seed: 99999999999999999999", "splits.rules.s.seed"),
        ("seed: 0", "test: .nan", "not a finite number"),
        ("metric", "mean: [.nan, 0, 0]\nmetric", "not a finite number"),
        ("metric", "mean: [0, 0, 0]\nstd: [0, 1, 1]\nmetric", "std.0"),
        ("metric", "mean: [0, 0, 0]\nstd: [-1, 1, 1]\nmetric", "std.0"),
        ("[red, green, blue]", "[2020-13-45, 2020-01-01, x]", "3 labels are not classes"),
    ],
)
def test_fields_of_a_card(place: Path, refused, before: str, after: str, words: str) -> None:
    (place / "own.yaml").write_text(CARD.replace(before, after, 1))
    assert words in refused(*knn("own.yaml"))


def test_a_regular_expression_without_end(place: Path, refused, monkeypatch) -> None:
    monkeypatch.setattr("medbench.storage.patterns.LIMIT", 0.2)
    rewritten(place, "images/0.png", "images/" + "a" * 200 + ".png")
    (place / "own.yaml").write_text(CARD.replace("image: ", "replace: {'(a|aa|a?)+$': x}, image: ", 1))
    assert "did not finish" in refused(*knn("own.yaml"))
