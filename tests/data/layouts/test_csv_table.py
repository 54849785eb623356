"""Label tables as text: headers, lines and faulty files."""

from __future__ import annotations

import pytest

from medbench.data.layouts.reader import read_samples

from .made import XLSX, book, refused


def test_header_line_and_column_without_a_name(tmp_path, make_card):
    rows = [["a title"], [None, "Age", "grade"], ["ID", "years", "0/1/2"], [None, "Age", "grade"]]
    root = book(tmp_path / "l.xlsx", [*rows, ["#2", 40, 1], ["#4", 50, 2]])
    table = {"file": "l.xlsx", "header": 4, "unnamed": "ID"}
    layout = {**XLSX, "tables": [table], "image": "RET{ID}.png", "replace": {"#": "00"}, "group": "{ID}"}
    frame = read_samples(make_card(layout=layout), root)
    assert frame["path"].tolist() == ["RET002.png", "RET004.png"]
    assert frame["group"].tolist() == ["#2", "#4"]
    (tmp_path / "l.csv").write_text('made in 2020,"odd\n,x,grade\n7,8,1\n,9,2\n')
    layout["tables"] = [{"file": "l.csv", "header": 2, "unnamed": "ID"}]
    refused(lambda: read_samples(make_card(layout=layout), root), "l.csv:4: column 'ID': the cell is empty")


def test_line_numbers_pass_over_blank_lines_and_quoted_breaks(make_csv, make_card):
    root = make_csv("image,label,note", [("x.png", "a", '"two\nlines"'), ("y.png", "9", "")])
    text = (root / "labels.csv").read_text()
    (root / "labels.csv").write_text(text.replace("y.png", "\n,,\ny.png"))
    refused(lambda: read_samples(make_card(), root), "labels.csv:6: column 'label'")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("is empty",)),
        (b"image,label\n", ("no rows",)),
        (b"image,grade\nx.png,a\n", ("no column 'label'", "it has: image, grade")),
        (b"image,label,label\nx.png,a,a\n", ("column 'label' 2 times",)),
        (b"image,label\nx.png,a,b\n", (":2: the row has 3 cells, the header 2",)),
        (b"image,label\nx.png\n", (":2: the row has 1 cells, the header 2",)),
        (b"image,label\n,a\n", (":2: column 'image'", "empty")),
        (b"image,label\n\xff\xfe,a\n", ("not utf-8-sig text", "encoding")),
        (b'image,label\n"x.png,a\n' + b"y" * 140_000, ("the row has 1 cells", "a quote that is not closed")),
        (b"image,label\nx.png,a\0\n", ("labels.csv",)),
    ],
)
def test_bad_files(tmp_path, make_card, content, words):
    (tmp_path / "labels.csv").write_bytes(content)
    refused(lambda: read_samples(make_card(), tmp_path), *words)


def test_csv_that_is_a_folder(tmp_path, make_card):
    (tmp_path / "labels.csv").mkdir()
    refused(lambda: read_samples(make_card(), tmp_path), "cannot read", "labels.csv")
