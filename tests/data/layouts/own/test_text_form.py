"""Encodings and delimiters as programs write them."""

from __future__ import annotations

import pytest

from medbench.data.layouts.own.text_form import TextForm, read_own, text_form
from medbench.errors import MissingDataError

from ..made import refused

PLAIN = "image,label\na.png,büste\nb.png,x\n"


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (PLAIN.encode(), TextForm()),
        (PLAIN.encode("utf-8-sig"), TextForm()),
        (PLAIN.encode("utf-16"), TextForm("utf-16")),
        (PLAIN.encode("utf-16-le"), TextForm("utf-16-le")),
        (PLAIN.encode("utf-16-be"), TextForm("utf-16-be")),
        (PLAIN.encode("cp1252"), TextForm("cp1252")),
        (PLAIN.encode("cp1252") + b"c.png,\x81\n", TextForm("latin-1")),
        (PLAIN.replace("\n", "\r\n").encode(), TextForm()),
        (PLAIN.replace(",", ";").encode(), TextForm(delimiter=";")),
        (PLAIN.replace(",", "\t").encode(), TextForm(delimiter="\t")),
        (PLAIN.replace(",", "|").encode(), TextForm(delimiter="|")),
        (b"sep=;\nimage;label\na.png;b\n", TextForm(delimiter=";", header=2)),
        (b'image;"a, b, c, d";label\nx.png;1,5;y\n', TextForm(delimiter=";")),
        (b"image;note, and, more\nx.png;1\n\n\n", TextForm(delimiter=";")),
        (b'image,"one;two;three"\nx.png,"a;b"\n', TextForm()),
        (b"image\nx.png\n", TextForm()),
    ],
)
def test_how_a_table_is_written(tmp_path, data, form):
    file = tmp_path / "t.csv"
    file.write_bytes(data)
    assert text_form(file) == form
    columns, twice = read_own(file, form)
    assert columns.cells["image"][0].endswith(".png")
    assert not twice
    assert bool(form.note) == (form != TextForm())


def test_a_name_that_is_there_twice(tmp_path):
    (tmp_path / "t.csv").write_text("image,note,label,note,\nx.png,1,a,2,3\n")
    columns, twice = read_own(tmp_path / "t.csv", TextForm())
    assert (list(columns.cells), twice) == (["image", "label"], ["note"])


def test_a_long_cell(tmp_path):
    (tmp_path / "t.csv").write_text(f"image,mask,label\nx.png,{'1 2 ' * 50_000},a\n")
    assert text_form(tmp_path / "t.csv") == TextForm()
    assert read_own(tmp_path / "t.csv", TextForm())[0].cells["label"] == ["a"]


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(MissingDataError, match=r"t.csv does not exist"):
        text_form(tmp_path / "t.csv")
    refused(lambda: text_form(tmp_path), "cannot read")
