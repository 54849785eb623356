"""Workbooks: their cells as text, and errors that name the row."""

from __future__ import annotations

import datetime

from medbench.data.layouts.reader import read_samples

from .made import XLSX, book, refused


def test_workbook_cells_are_text(tmp_path, make_card):
    rows = [["id", "grade", "when"], [12, 0.0, datetime.date(2020, 1, 2)], [], ["0013", 2, None], [" a ", "1", 1.5]]
    root = book(tmp_path / "l.xlsx", rows)
    frame = read_samples(make_card(layout={**XLSX, "group": "{when}"}), root)
    assert frame["path"].tolist() == ["12.png", "0013.png", "a.png"]
    assert frame["target"].tolist() == [0, 2, 1]
    assert frame["group"].tolist() == ["2020-01-02", "0013.png", "1.5"]


def test_workbook_errors_name_the_row(tmp_path, make_card):
    root = book(tmp_path / "l.xlsx", [["above"], ["id", "grade"], ["a", 0], [], ["b", 7]])
    table = {"file": "l.xlsx", "header": 2}
    refused(
        lambda: read_samples(make_card(layout={**XLSX, "tables": [table]}), root), "l.xlsx:5: column 'grade'", "'7'"
    )
    refused(lambda: read_samples(make_card(layout=XLSX), root), "no column 'id'", "above")
    book(tmp_path / "l.xlsx", [["id", "grade"], ["a", None]])
    refused(lambda: read_samples(make_card(layout=XLSX), root), "l.xlsx:2", "label is missing")
    (tmp_path / "l.xlsx").write_text("id,grade\n")
    refused(lambda: read_samples(make_card(layout=XLSX), root), "not a valid .xlsx workbook")
    (tmp_path / "l.xlsx").unlink()
    refused(lambda: read_samples(make_card(layout=XLSX), root), "l.xlsx does not exist")
