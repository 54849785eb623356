"""Records that someone else wrote into the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.hostile.conftest import STEERING

from medbench.records.schema import SCHEMA

RUN = ("--protocol", "knn", "--dataset", "toy-binary", "--set", "k=3", "--quiet")
ESC = "\x1b[31mtoy"


def set_at(place: str, value: object) -> Callable[[dict[str, Any]], None]:
    *outer, last = place.split(".")

    def change(record: dict[str, Any]) -> None:
        for step in outer:
            record = record[step]
        record[last] = value

    return change


CHANGES = {
    "model ESC": set_at("unit.model", ESC),
    "preset ESC": set_at("unit.preset", ESC),
    "dataset ESC": set_at("unit.dataset", ESC),
    "option ESC": set_at("unit.options", {ESC: 1}),
    "metric ESC": set_at("metrics", {ESC: 1.0}),
    "data text": set_at("provenance.data", "x"),
    "data list": set_at("provenance.data", ["x"]),
    "data null": set_at("provenance.data", None),
    "libraries list": set_at("provenance.libraries", ["torch"]),
    "weights text": set_at("provenance.weights", "x"),
    "protocol text": set_at("material.protocol", "x"),
    "provenance list": set_at("provenance", ["x"]),
    "material text": set_at("material", "x"),
    "n list": set_at("n", []),
    "a list": set_at("warnings", {"a": 1}),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the records of two models."""
    from medbench.cli import main

    place = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(place / "home"))
        for model in ("toy-cnn", "toy-vit"):
            assert main(["run", "--model", model, *RUN, "--runs", str(place / "runs"), "--device", "cpu"]) == 0
    return place / "runs"


@pytest.fixture(params=CHANGES)
def changed(request: pytest.FixtureRequest, stored: Path, isolated: Path) -> Path:
    """The store with one of the records changed."""
    runs = isolated / "runs"
    for file in stored.rglob("record.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["unit"]["model"] == "toy-cnn":
            CHANGES[request.param](record)
        to = runs / file.relative_to(stored)
        to.parent.mkdir(parents=True)
        to.write_text(json.dumps(record), encoding="utf-8")
    return runs


@pytest.mark.usefixtures("changed")
def test_records_of_another_shape_are_passed_over(medbench, caplog: pytest.LogCaptureFixture) -> None:
    commands = (("status",), ("ls", "runs"), ("ls", "runs", "--json"), ("table", "dataset/toy-binary", "--random"))
    for words in commands:
        done = medbench(*words)
        assert done.status == 0, done.err
        assert not STEERING.search((done.out + done.err).replace("\n", ""))
        assert "toy-vit" in done.out
    compared = medbench("compare", "toy-cnn", "toy-vit", "--random")
    assert compared.status == 2, "one of the two is not there"
    assert f"is not a record of schema {SCHEMA}" in caplog.text
    assert not STEERING.search(caplog.text.replace("\n", ""))


def test_the_folder_of_a_record_that_steers(stored: Path, isolated: Path, medbench, caplog) -> None:
    (file, *_) = stored.rglob("record.json")
    record = json.loads(file.read_text(encoding="utf-8"))
    place = isolated / "runs" / ESC / "m" / "p" / "k"
    place.mkdir(parents=True)
    set_at("provenance.data", 1)(record)
    (place / "record.json").write_text(json.dumps(record), encoding="utf-8")
    (place / "failure.json").write_text("{", encoding="utf-8")
    for words in (("status",), ("ls", "runs")):
        done = medbench(*words)
        assert not STEERING.search((done.out + done.err).replace("\n", ""))
    assert not STEERING.search(caplog.text.replace("\n", ""))


def test_a_report_passes_over_them_too(stored: Path, isolated: Path, medbench) -> None:
    for at, file in enumerate(sorted(stored.rglob("record.json"))):
        record = json.loads(file.read_text(encoding="utf-8"))
        set_at(*(("provenance.libraries", []), ("unit.model", ESC))[at])(record)
        to = isolated / "runs" / file.relative_to(stored)
        to.parent.mkdir(parents=True)
        to.write_text(json.dumps(record), encoding="utf-8")
    done = medbench("report", "--to", isolated / "r.html")
    assert not STEERING.search((done.out + done.err).replace("\n", ""))
    assert "internal error" not in done.err
