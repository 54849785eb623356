"""Small pictures of samples."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from medbench.data.thumbnails import SIDE, Thumbnails
from medbench.errors import MedbenchError


@pytest.fixture
def own(tmp_path):
    """A data set of one's own: a wide picture, a damaged file."""
    wide = np.zeros((200, 400, 3), np.uint8)
    wide[:, 200:] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    Image.fromarray(wide[::2]).save(tmp_path / "other.png")
    (tmp_path / "clinic.csv").write_text("image,label\nwide.png,fine\nother.png,ill\nbroken.png,ill\n")
    return tmp_path / "clinic.csv"


def test_a_thumbnail_is_the_picture_made_small(own):
    found = Thumbnails(sources=[str(own)])("clinic", ["wide.png", "nosuch"])
    assert list(found) == ["wide.png"]
    small = Image.open(io.BytesIO(found["wide.png"]))
    assert (small.format, small.size) == ("JPEG", (SIDE, SIDE // 2))
    grey = np.asarray(small.convert("L"))
    assert grey[:, : SIDE // 2 - 4].max() < 20
    assert grey[:, SIDE // 2 + 4 :].min() > 235


def test_a_damaged_file_has_none(own):
    assert Thumbnails(sources=[str(own)])("clinic", ["broken.png"]) == {}


def test_a_data_set_that_is_not_at_hand_has_none(tmp_path):
    thumbnails = Thumbnails(tmp_path)
    assert thumbnails("aptos", ["1"]) == {}
    assert thumbnails("no-such-data-set", ["1"]) == {}


def test_a_source_that_is_not_there_is_a_mistake(tmp_path):
    with pytest.raises(MedbenchError):
        Thumbnails(sources=[str(tmp_path / "no.csv")])
