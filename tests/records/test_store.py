"""The run store: what is written, read and ignored."""

from __future__ import annotations

import gc
import json
import logging

import numpy as np
import pandas as pd
import pytest

from medbench.errors import MedbenchError, OutputError
from medbench.records import store

from .made import save, synthetic


def write(runs, record, **more):
    return store.write(runs, record, pd.DataFrame({"id": ["x"]}), pd.DataFrame({"epoch": [0]}), **more)


def test_a_unit_is_done_once_its_record_is_there(tmp_path):
    (record,) = synthetic(seeds=(0,))
    assert not store.is_done(tmp_path, record.unit, record.key)
    written = write(tmp_path, record)
    folder = tmp_path / "aptos" / "dinov2" / "linear-frozen" / record.key[:12]
    assert written.path == folder == store.folder_of(tmp_path, record.unit, record.key)
    assert store.is_done(tmp_path, record.unit, record.key)
    assert sorted(path.name for path in folder.iterdir()) == ["history.csv", "predictions.parquet", "record.json"]
    read = store.read(folder)
    assert read.model_dump() == record.model_dump()
    assert read.path == folder


def test_the_record_is_the_last_file_written(tmp_path, monkeypatch):
    (record,) = synthetic(seeds=(0,))

    def full(*_):
        raise OutputError("the disk is full")

    monkeypatch.setattr(store.files, "write_text", full)
    with pytest.raises(OutputError):
        write(tmp_path, record)
    folder = store.folder_of(tmp_path, record.unit, record.key)
    assert sorted(path.name for path in folder.iterdir()) == ["history.csv", "predictions.parquet"]
    assert store.read(folder) is None


def test_further_tables_and_arrays_are_written_by_their_names(tmp_path):
    (record,) = synthetic(seeds=(0,))
    values = np.arange(6.0).reshape(2, 3)
    folder = write(tmp_path, record, tables={"layers": pd.DataFrame({"a": [1]})}, arrays={"cka": values}).path
    assert (folder / "layers.csv").read_text() == "a\n1\n"
    assert np.array_equal(np.load(folder / "cka.npy"), values)


def test_a_protocol_that_does_not_classify_has_no_predictions(tmp_path):
    (record,) = synthetic(seeds=(0,))
    path = store.write(tmp_path, record, None, pd.DataFrame({"epoch": [0]})).path
    assert not (path / store.PREDICTIONS).exists()


def test_all_records_are_read_in_order_of_their_folders(tmp_path):
    save(tmp_path, synthetic(dataset="b", seeds=(0, 1)) + synthetic(dataset="a", model="x", seeds=(0,)))
    found = list(store.read_all(tmp_path))
    assert [record.unit.dataset for record in found] == ["a", "b", "b"]
    assert [record.path for record in found] == sorted(record.path for record in found)
    assert [record.unit.dataset for record in store.read_all(tmp_path, "b")] == ["b", "b"]
    assert not list(store.read_all(tmp_path / "none"))


@pytest.mark.parametrize("content", ["{", "{}", '{"schema_version": 99}', ""])
def test_a_damaged_record_is_ignored_and_logged(tmp_path, caplog, content):
    save(tmp_path, synthetic(seeds=(0, 1)))
    file = next(tmp_path.glob("*/*/*/*/record.json"))
    file.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert len(list(store.read_all(tmp_path))) == 1
    assert (
        f"{file} is not a record of schema 2 and is ignored; to run the unit again: --overwrite always" in caplog.text
    )


def test_a_failure_is_shown_until_the_unit_is_done(tmp_path):
    first, second = synthetic(seeds=(0, 1))
    for record in (first, second):
        store.write_failure(tmp_path, record.unit, record.key, f"broke {record.unit.seed}")
    folders = [store.folder_of(tmp_path, r.unit, r.key) for r in (first, second)]
    assert sorted(store.failures_of(folders)) == [(0, "broke 0"), (1, "broke 1")]
    write(tmp_path, first)
    assert [(unit, error) for _, unit, error in store.failures(tmp_path)] == [(second.unit, "broke 1")]
    assert not (folders[0] / store.FAILURE).exists()
    store.write_failure(tmp_path, first.unit, first.key, "an old error")
    assert store.failure_of(folders[0]) is None, "the unit is done"


@pytest.mark.parametrize("content", ["{", "[]", "{}", json.dumps({"unit": {}, "error": "x"})])
def test_a_damaged_note_of_a_failure_is_ignored_and_logged(tmp_path, caplog, content):
    (record,) = synthetic(seeds=(0,))
    store.write_failure(tmp_path, record.unit, record.key, "x")
    file = store.folder_of(tmp_path, record.unit, record.key) / store.FAILURE
    file.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert not list(store.failures(tmp_path))
    assert f"{file} is damaged and is ignored" in caplog.text


def test_places_of_what_was_run(tmp_path):
    with pytest.raises(MedbenchError, match="nothing has been run yet") as caught:
        store.places(tmp_path)
    assert "medbench run" in caught.value.hint
    save(tmp_path, synthetic(model="b") + synthetic(model="a", protocol="knn", dataset="ddsm"))
    assert store.places(tmp_path) == [("aptos", "b", "linear-frozen"), ("ddsm", "a", "knn")]


def test_records_of_a_data_set_are_read_from_the_folders_asked_for(tmp_path):
    save(tmp_path, synthetic(seeds=(0, 1)) + synthetic(model="sam", seeds=(0,)) + synthetic(dataset="ddsm"))
    assert store.records_of(tmp_path, "aptos") == list(store.read_all(tmp_path, "aptos"))
    found = store.records_of(tmp_path, "aptos", [("sam", "linear-frozen"), ("sam", "knn")])
    assert [record.unit.model for record in found] == ["sam"]
    assert store.records_of(tmp_path, "none") == []


SELECTIONS = [
    {},
    {"candidates": [{"curve": [0.1, 0.2], "warnings": [{"warnings": ["a"]}]}], "by": 'a "warnings": [ of its own'},
    {"warnings": [], "selection": {"warnings": ["\n "]}},
]


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("warnings", [[], ["one", 'two "warnings": ['], ['"selection": {']])
@pytest.mark.parametrize("layout", [None, 0, 1, 2])
def test_tables_read_all_of_a_record_but_its_selection(tmp_path, selection, warnings, layout):
    (record,) = synthetic(seeds=(0,))
    more = {"material": {"selection": {"selection": {}, "warnings": []}}, "provenance": {"warnings": ["x"]}}
    full = record.model_copy(update={"selection": selection, "warnings": warnings, **more})
    folder = write(tmp_path, full).path
    if layout != 1:  # 1: as it is written
        (folder / "record.json").write_text(json.dumps(full.model_dump(mode="json"), indent=layout))
    (read,) = store.records_of(tmp_path, "aptos")
    assert read.selection in ({}, selection)
    assert read.model_dump(exclude={"selection"}) == full.model_dump(exclude={"selection"})
    assert store.read(folder).selection == selection


def test_a_record_that_is_cut_off_is_no_record_without_its_selection_either(tmp_path, caplog):
    (record,) = synthetic(seeds=(0,))
    file = write(tmp_path, record.model_copy(update={"selection": SELECTIONS[1]})).path / "record.json"
    assert [one.selection for one in store.records_of(tmp_path, "aptos")] == [{}]
    text = file.read_text()
    for end in (text.index('"selection"') + 20, text.index('"by"'), text.index("]", text.index('"by"')), len(text) - 3):
        file.write_text(text[:end])
        assert store.records_of(tmp_path, "aptos") == []
    assert len(caplog.messages) == 4


def test_the_collector_is_paused_and_then_as_before():
    assert gc.isenabled()
    with store.gc_paused():
        assert not gc.isenabled()
        with store.gc_paused():
            pass
        assert not gc.isenabled(), "the inner block must not start it"
    assert gc.isenabled()
