"""Grey or colour by the header alone."""

from __future__ import annotations

import os

import pytest
from PIL import Image

from medbench.data.images.grey import is_grey


@pytest.mark.parametrize(("mode", "ending", "grey"), [("L", "png", True), ("RGB", "png", False), ("I;16", "tif", True)])
def test_by_the_mode(tmp_path, mode, ending, grey):
    file = tmp_path / f"x.{ending}"
    Image.new(mode, (4, 4)).save(file)
    assert is_grey(file) is grey


def test_what_cannot_be_read_says_nothing(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.dcm").write_bytes(b"no picture")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("broken.png", "broken.dcm", "pipe.png", "none.png"):
        assert is_grey(tmp_path / name) is None
