"""`medbench report`, with pictures of a toy set, and its mistakes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import medbench as package
from medbench.cards import find_dataset
from medbench.data.layouts import toy
from medbench.data.layouts.own.card import card_yaml
from medbench.data.layouts.own.table import card_from_csv

from ...report.html.conftest import N, put


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run store with SYNTHETIC records on pictures of a toy set, and the cache in which these lie."""
    place = tmp_path_factory.mktemp("reporting")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(place / "home"))
        data = package.load_dataset("toy-binary")
        truth = {"ids": data.samples["id"][:N].tolist(), "targets": data.targets()[:N], "names": data.card.class_names}
        put(place / "results" / "runs", "toy-cnn", 1.0, dataset="toy-binary", toy=True, **truth)
    return place / "results" / "runs", place / "home"


def own_csv(names: dict[int, str]) -> Path:
    """A card of one's own on the toy's pictures, called as the toy is, with other words for its classes."""
    drawn = toy.ensure(find_dataset("toy-binary"))
    frame = pd.read_csv(drawn / "labels.csv")
    frame.assign(label=frame["label"].map(names)).to_csv(drawn / "toy-binary.csv", index=False)
    card = card_from_csv(drawn / "toy-binary.csv").card.model_copy(update={"name": "toy-binary"})
    (drawn / "toy-binary.yaml").write_text(card_yaml(card))
    return drawn / "toy-binary.yaml"


def test_the_report_has_the_worst_images_of_the_run(medbench, runs, monkeypatch):
    store, home = runs
    monkeypatch.setenv("MEDBENCH_HOME", str(home))
    done = medbench("report", "--runs", store)
    assert done.status == 0, done.err
    path = store.parent / "report.html"
    assert done.out.startswith(str(path))
    text = path.read_text()
    assert text.count("data:image/jpeg") == 8
    assert "toy-cnn · linear-frozen · toy-binary" in text.replace("&#183;", "·")


def test_pictures_can_be_left_out_and_the_file_put_elsewhere(medbench, runs, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDBENCH_HOME", str(runs[1]))
    done = medbench("report", "--runs", runs[0], "--thumbnails", "0", "--to", tmp_path / "r.html", "--dataset", "toy*")
    assert done.status == 0, done.err
    assert "data:image/jpeg" not in (tmp_path / "r.html").read_text()


def test_pictures_of_ones_own_data(runs, tmp_path):
    """From a .csv that is named; it is called as the data set of the records is."""
    named = dict(enumerate(find_dataset("toy-binary").class_names))
    path = package.write_report(runs[0], tmp_path / "r.html", data=[str(own_csv(named))])
    assert "data:image/jpeg" in path.read_text()


def test_pictures_of_another_data_set_of_that_name_are_not_shown(medbench, runs, tmp_path):
    other = own_csv({0: "cat", 1: "dog"})
    done = medbench("report", "--runs", runs[0], "--to", tmp_path / "r.html", "--data", other)
    assert done.status == 0
    assert "their classes differ from those in the records" in done.err
    assert "data:image/jpeg" not in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--runs", "nowhere"), "nothing has been run in nowhere"),
        (("--dataset", "apt*"), "on data sets called 'apt*'"),
        (("--data", "no.csv"), "no label file no.csv"),
        (("--to", "/proc/none/r.html"), "cannot write"),
    ],
)
def test_mistakes_end_in_two_lines(medbench, runs, words, said):
    done = medbench("report", *(("--runs", runs[0]) if "--runs" not in words else ()), *words)
    assert done.status == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 2
