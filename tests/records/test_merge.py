"""Results of others are checked before they are taken over."""

from __future__ import annotations

import json
import shutil

import pytest

import medbench as mb
from medbench.errors import DataError, MedbenchError
from medbench.records import store
from medbench.records.bundle import MANIFEST, SUMMARY, read_manifest, write_bundle
from medbench.records.merge import merge
from medbench.storage import files


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run store with three records: two seeds of a head, and k-NN."""
    runs = tmp_path_factory.mktemp("theirs") / "runs"
    mb.run("toy-cnn", "linear-frozen,knn", "toy-binary", seeds=2, runs=runs, set={"views": 0, "epochs": 1})
    return runs


@pytest.fixture
def bundle(made, tmp_path):
    write_bundle(made, tmp_path / "bundle")
    return tmp_path / "bundle"


def records(folder):
    return sorted(folder.rglob(store.RECORD))


def test_a_bundle_holds_the_files_as_they_are(made, bundle):
    digests = read_manifest(bundle)
    assert len(digests) == 6
    for path, digest in digests.items():
        own = made / path.removeprefix("runs/")
        assert own.read_bytes() == (bundle / path).read_bytes()
        assert files.sha256_file(own) == digest
    import pandas as pd

    rows = pd.read_parquet(bundle / SUMMARY)
    assert sorted(rows["score"]) == sorted(record.score for record in store.read_all(made))
    assert set(rows["weights"]) == {"random"}
    assert rows["toy"].all()


def test_what_is_left_out(made, tmp_path):
    found = write_bundle(made, tmp_path / "plain", predictions=False)
    assert (len(found.records), found.named) == (3, ())
    assert not list((tmp_path / "plain").rglob(store.PREDICTIONS))
    with pytest.raises(MedbenchError, match="nothing has been run on data sets called 'idrid'"):
        write_bundle(made, tmp_path / "none", "idrid")


@pytest.mark.parametrize("bundled", [True, False])
def test_records_taken_over_say_where_they_come_from(made, bundle, tmp_path, bundled):
    source, runs = bundle if bundled else made, tmp_path / "mine"
    found = merge(source, runs, "hf://lab/results@0123")
    assert (len(found.new), found.there, found.conflicts, found.refused) == (3, 0, [], [])
    for theirs, mine in zip(store.read_all(made), store.read_all(runs), strict=True):
        assert mine.origin == "hf://lab/results@0123"
        assert mine.provenance["origin"]["sha256"] == files.sha256_file(theirs.path / store.RECORD)
        assert mine.model_dump(exclude={"provenance"}) == theirs.model_dump(exclude={"provenance"})
        assert (mine.path / store.PREDICTIONS).read_bytes() == (theirs.path / store.PREDICTIONS).read_bytes()
    again = merge(source, runs, "elsewhere")
    assert (len(again.new), again.there) == (0, 3)
    third = merge(runs, tmp_path / "third", "elsewhere")
    assert {record.origin for record in third.new} == {"hf://lab/results@0123"}, "the first origin stays"


def test_units_taken_over_are_not_run_again(bundle, tmp_path):
    merge(bundle, tmp_path / "mine", "lab")
    [record] = mb.run("toy-cnn", "knn", "toy-binary", runs=tmp_path / "mine", overwrite="never")
    assert record.origin == "lab"


def spoil_record(folder):
    folder.write_text(folder.read_text().replace('"metrics": {', '"metrics":  {', 1))


def spoil_predictions(record):
    path = record.with_name(store.PREDICTIONS)
    path.write_bytes(path.read_bytes() + b" ")


def lose_predictions(record):
    record.with_name(store.PREDICTIONS).unlink()


def move(record):
    folder = record.parent
    shutil.move(folder, folder.parents[1] / "knn-2" / folder.name)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_record, "record.json is not the file of the manifest"),
        (spoil_predictions, "predictions.parquet is not the file of the manifest"),
        (lose_predictions, "predictions.parquet is missing, though the manifest names it"),
        (move, "record.json is not in the manifest"),
    ],
)
def test_what_is_not_the_file_of_the_manifest_is_refused(bundle, tmp_path, spoil, said):
    spoil(records(bundle)[0])
    found = merge(bundle, tmp_path / "mine", "lab")
    assert [why for _, why in found.refused] == [said]
    assert (len(found.new), len(records(tmp_path / "mine"))) == (2, 2)


def changed(field, value):
    def change(content):
        at = content
        for name in field[:-1]:
            at = at[name]
        at[field[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(["unit", "dataset"], "../../../x"), "does not match its unit and key"),
        (changed(["unit", "model"], "toy-vit"), "does not match its unit and key"),
        (changed(["unit", "seed"], 7), "its key does not match its content"),
        (changed(["material", "image_size"], 7), "its key does not match its content"),
        (changed(["key"], "0" * 64), "does not match its unit and key"),
        (changed(["metrics"], "high"), "is not a record"),
    ],
)
def test_what_does_not_fit_its_key_is_refused_without_a_manifest_too(made, tmp_path, change, said):
    theirs = tmp_path / "theirs"
    shutil.copytree(made, theirs)
    path = records(theirs)[0]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    found = merge(theirs, tmp_path / "mine", "lab")
    assert [said in why for _, why in found.refused] == [True]
    assert len(found.new) == 2
    assert not (tmp_path / "x").exists()


def test_other_numbers_of_one_unit_are_a_conflict(made, tmp_path):
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    shutil.copytree(made, theirs)
    shutil.copytree(made, mine)
    path = records(theirs)[0]
    content = json.loads(path.read_text())
    content["metrics"] |= {"auroc": 0.75, "accuracy": None}
    path.write_text(json.dumps(content))
    before = json.loads(records(mine)[0].read_text())
    found = merge(theirs, mine, "lab")
    [(record, said)] = found.conflicts
    assert said == f"auroc {before['metrics']['auroc']:.6f} here, 0.750000 there and 1 more metrics"
    assert (found.there, json.loads(records(mine)[0].read_text())) == (2, before)
    taken = merge(theirs, mine, "lab", theirs=True)
    assert [one.key for one in taken.new] == [record.key]
    assert store.read(records(mine)[0].parent).metrics["auroc"] == 0.75


def without_predictions(made, mine):
    shutil.copytree(made, mine)
    for record in records(mine):
        record.with_name(store.PREDICTIONS).unlink()


def test_predictions_that_are_lacking_are_added_to_the_own_record(made, bundle, tmp_path):
    mine = tmp_path / "mine"
    without_predictions(made, mine)
    before = [path.read_bytes() for path in records(mine)]
    found = merge(bundle, mine, "lab")
    assert (found.new, found.there, len(found.completed)) == ([], 3, 3)
    assert [path.read_bytes() for path in records(mine)] == before, "the own record stays"
    for theirs, own in zip(records(made), records(mine), strict=True):
        assert theirs.with_name(store.PREDICTIONS).read_bytes() == own.with_name(store.PREDICTIONS).read_bytes()
    assert merge(bundle, mine, "lab").completed == []


def test_predictions_are_not_added_if_they_are_not_those_of_the_manifest_or_of_other_numbers(made, bundle, tmp_path):
    mine = tmp_path / "mine"
    without_predictions(made, mine)
    spoil_predictions(records(bundle)[0])
    other = records(mine)[1]
    content = json.loads(other.read_text())
    content["metrics"][content["metric"]] = 0.123
    other.write_text(json.dumps(content))
    found = merge(bundle, mine, "lab")
    assert (len(found.refused), len(found.conflicts), len(found.completed)) == (1, 1, 1)
    assert [path.with_name(store.PREDICTIONS).is_file() for path in records(mine)] == [False, False, True]


def test_a_record_taken_instead_of_the_own_one_does_not_keep_its_files(made, tmp_path):
    plain, mine = tmp_path / "plain", tmp_path / "mine"
    shutil.copytree(made, mine)
    write_bundle(made, plain, predictions=False)
    (plain / MANIFEST).unlink()
    shutil.move(plain / "runs", tmp_path / "theirs")
    path = records(tmp_path / "theirs")[0]
    content = json.loads(path.read_text())
    content["metrics"]["auroc"] = 0.75
    path.write_text(json.dumps(content))
    own = records(mine)[0].parent
    assert {store.PREDICTIONS, store.HISTORY} <= {file.name for file in own.iterdir()}
    merge(tmp_path / "theirs", mine, "lab", theirs=True)
    assert [file.name for file in own.iterdir()] == [store.RECORD]


def test_nothing_to_take_over(tmp_path, bundle):
    with pytest.raises(DataError, match="there are no records in"):
        merge(tmp_path / "none", tmp_path / "mine", "lab")
    (bundle / MANIFEST).write_text('{"schema": 9, "files": {}}')
    with pytest.raises(DataError, match="has version 9, not 1"):
        merge(bundle, tmp_path / "mine", "lab")
    (bundle / MANIFEST).write_text("[]")
    with pytest.raises(DataError, match="no readable manifest"):
        merge(bundle, tmp_path / "mine", "lab")
