"""Images as the cells name them, or found by name below the folder."""

from __future__ import annotations

import unicodedata

import pytest
from PIL import Image

from medbench.data.layouts.csv_table import Columns
from medbench.data.layouts.own.images import find_images
from medbench.data.load import load_dataset

from ..made import refused


def columns(folder, *cells: str, name: str = "image") -> Columns:
    return Columns(folder / "t.csv", {name: list(cells)}, list(range(2, len(cells) + 2)))


@pytest.mark.parametrize(
    ("files", "cells", "template", "match"),
    [
        ("a.png b.png", "a.png b.png", "{image}", "exact"),
        ("p/a.png p/b.png", r"p\a.png .\p\b.png", "{image}", "exact"),
        ("p/a.png p/b.png", "a.png b.png", "p/{image}", "exact"),
        ("p/a.png p/b.png", "a b", "p/{image}.png", "exact"),
        ("p/a.dcm p/b.dicom", "a b", "p/{image}", "stem"),
        ("p/a.png p/b.png", "a.jpg b.jpg", "p/{image}", "stem"),
        ("p/q/1.2.3.dcm p/q/1.2.4.dcm", "q/1.2.3 q/1.2.4", "p/{image}.dcm", "exact"),
        ("p/a.png", "x.png y.png", "{image}", "exact"),
    ],
)
def test_where_the_images_are(tmp_path, files, cells, template, match):
    for file in files.split():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    found = find_images(columns(tmp_path, *cells.split()), "image", tmp_path)
    assert (found.template, found.match) == (template, match)
    assert len(found.files) == (0 if "x.png" in cells else 2)


def test_images_that_cannot_be_told(tmp_path):
    for place in ("p", "q"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.png").touch()
    refused(lambda: find_images(columns(tmp_path, "a"), "image", tmp_path), "t.csv:2", "2 images are called a")
    refused(lambda: find_images(columns(tmp_path, "b"), "image", tmp_path), "there is no image b")
    refused(lambda: find_images(columns(tmp_path, "a", name="{x}"), "{x}", tmp_path), "has braces in its name")


def test_names_with_signs_and_accents(tmp_path):
    """Macs write `é` as two signs into file names, and tables have it as one."""
    names = [f"é, [{{{i}}}].png" for i in range(12)]
    for name in names:
        Image.new("L", (4, 4)).save(tmp_path / unicodedata.normalize("NFD", name))
    rows = (f'"{unicodedata.normalize("NFC", name)}",{i % 2}\n' for i, name in enumerate(names))
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(rows))
    found = load_dataset(str(tmp_path / "t.csv"))
    assert found.samples["id"].tolist() == [unicodedata.normalize("NFC", name) for name in names]
    assert found.card.channels == 1
