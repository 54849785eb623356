"""`medbench demo` with one protocol; `make demo` runs all of it."""

from __future__ import annotations

from medbench import api
from medbench.cli.commands import demo
from medbench.records import store
from medbench.storage import paths


def test_demo_prints_a_table_and_the_folder_of_the_records(medbench, monkeypatch):
    monkeypatch.setattr(demo, "PROTOCOLS", "knn")
    done = medbench("demo")
    assert done.status == 0, done.err
    assert "kappa_quadratic" in done.out
    for model in ("toy-vit", "toy-cnn"):
        assert model in done.out
    place = paths.runs_dir() / "toy"
    assert done.out.splitlines()[-1] == f"records: {place}"
    records = list(store.read_all(paths.runs_dir()))
    assert len(records) == 2
    # above chance, below perfect: a demonstration that shows 0 or 1 shows nothing
    assert all(0.05 < (record.score or 0) < 0.95 for record in records)
    again = medbench("demo")
    assert again.out == done.out
    assert len(list(store.read_all(paths.runs_dir()))) == 2


def test_a_unit_that_fails_is_status_1(medbench, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise api.RunFailedError("toy-vit: out of memory", "see: medbench status")

    monkeypatch.setattr(api, "run", broken)
    done = medbench("demo")
    assert done.status == 1
    assert done.err == "error: toy-vit: out of memory\nhint: see: medbench status\n"


def test_it_names_things_that_exist():
    from medbench import cards

    assert len(cards.expand("models", demo.MODELS)) == 2
    assert cards.expand("datasets", demo.DATASET) == ["toy"]
    assert cards.expand("protocols", demo.PROTOCOLS) == demo.PROTOCOLS.split(",")
