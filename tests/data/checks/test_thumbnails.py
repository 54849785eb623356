"""Thumbnails of samples."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from medbench import load_dataset
from medbench.data.checks.thumbnails import SIDE, Thumbnails
from medbench.errors import MedbenchError


@pytest.fixture
def own(tmp_path):
    """A data set of one's own: a wide picture, a damaged file."""
    tmp_path = tmp_path / "site"
    tmp_path.mkdir()
    wide = np.zeros((200, 400, 3), np.uint8)
    wide[:, 200:] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    Image.fromarray(wide[::2]).save(tmp_path / "other.png")
    (tmp_path / "clinic.csv").write_text("image,label\nwide.png,fine\nother.png,ill\nbroken.png,ill\n")
    return tmp_path / "clinic.csv"


def test_a_thumbnail_is_the_picture_made_small(own):
    found = Thumbnails(sources=[str(own)])("site-clinic", {"wide.png": ("fine",), "nosuch": ("ill",)})
    assert list(found) == ["wide.png"]
    small = Image.open(io.BytesIO(found["wide.png"]))
    assert (small.format, small.size) == ("JPEG", (SIDE, SIDE // 2))
    grey = np.asarray(small.convert("L"))
    assert grey[:, : SIDE // 2 - 4].max() < 20
    assert grey[:, SIDE // 2 + 4 :].min() > 235


def test_a_sample_of_another_class_is_another_sample(own):
    """Another release, or another data set of the same name: its pictures would show what the records do not."""
    thumbnails = Thumbnails(sources=[str(own)])
    found = thumbnails("site-clinic", {"wide.png": ("ill",), "other.png": ("ill",)})
    assert list(found) == ["other.png"]
    (note,) = thumbnails.notes()
    assert "some samples of site-clinic, such as wide.png" in note


def test_findings_are_compared_as_sets_of_names():
    samples = load_dataset("toy-multilabel").samples
    names = [name.removeprefix("target_") for name in samples.columns if name.startswith("target_")]
    row = samples.iloc[int(samples[[f"target_{name}" for name in names]].sum(axis=1).argmax())]
    truth = tuple(name for name in names if row[f"target_{name}"])
    assert len(truth) > 1
    assert list(Thumbnails()("toy-multilabel", {row["id"]: truth})) == [row["id"]]
    assert Thumbnails()("toy-multilabel", {row["id"]: truth[1:]}) == {}


def test_a_source_that_no_record_is_on_is_told(own):
    thumbnails = Thumbnails(sources=[str(own)])
    assert thumbnails.notes() == ["no run used a data set called 'site-clinic', so its images are not shown"]


def test_a_damaged_file_has_none(own):
    assert Thumbnails(sources=[str(own)])("site-clinic", {"broken.png": ("ill",)}) == {}


def test_a_data_set_that_is_not_at_hand_has_none(tmp_path):
    thumbnails = Thumbnails(tmp_path)
    assert thumbnails("aptos", {"1": ("a",)}) == {}
    assert thumbnails("no-such-data-set", {"1": ("a",)}) == {}


def test_a_source_that_is_not_there_is_a_mistake(tmp_path):
    with pytest.raises(MedbenchError):
        Thumbnails(sources=[str(tmp_path / "no.csv")])
