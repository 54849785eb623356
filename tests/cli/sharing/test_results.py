"""`medbench results` against a hub on this machine."""

from __future__ import annotations

import json

import pytest

import medbench as mb


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("theirs") / "runs"
    mb.run("toy-cnn", "knn", "toy-binary,toy-multiclass", runs=place)
    return place


def test_push_and_pull(medbench, hub, runs, tmp_path):
    done = medbench("results", "push", "lab/eyes", "--runs", runs, "--dataset", "toy-b*")
    assert done.status == 0
    assert done.out.startswith("1 records, ")
    assert "predictions with ids of images and patients are uploaded for: toy-binary" in done.err
    files = hub.files["lab/eyes"]
    assert {path.split("/")[-1] for path in files} == {
        "README.md", "manifest.json", "records.parquet", "record.json", "predictions.parquet",
    }  # fmt: skip
    assert "medbench results pull lab/eyes" in files["README.md"].decode()

    mine = tmp_path / "mine"
    done = medbench("results", "pull", "lab/eyes", "--runs", mine)
    assert (done.status, done.out) == (0, "1 new, 0 there already, 0 in conflict, 0 refused\n")
    shown = medbench("table", "dataset/toy-binary", "--runs", mine, "--random").out
    assert f"results from hf://lab/eyes@{hub.commit('lab/eyes')[:12]}" in shown
    assert medbench("results", "pull", "lab/eyes", "--runs", mine).out.startswith("0 new, 1 there already")


def test_predictions_that_were_left_out_come_later(medbench, hub, runs, tmp_path):
    mine = tmp_path / "mine"
    assert medbench("results", "push", "lab/eyes", "--runs", runs, "--no-predictions").status == 0
    assert medbench("results", "pull", "lab/eyes", "--runs", mine).out.startswith("2 new")
    assert not list(mine.rglob("predictions.parquet"))
    assert medbench("results", "push", "lab/eyes", "--runs", runs).status == 0
    assert medbench("results", "pull", "lab/eyes", "--runs", mine).out.splitlines() == [
        "missing predictions added: 2 records",
        "0 new, 2 there already, 0 in conflict, 0 refused",
    ]
    assert len(list(mine.rglob("predictions.parquet"))) == 2


def test_what_was_changed_on_the_hub_is_refused(medbench, hub, runs, tmp_path):
    assert medbench("results", "push", "lab/eyes", "--runs", runs).status == 0
    files = hub.files["lab/eyes"]
    path = next(path for path in files if path.endswith("record.json"))
    files[path] = files[path].replace(b'"schema_version"', b' "schema_version"')
    done = medbench("results", "pull", "lab/eyes", "--runs", tmp_path / "mine")
    assert done.status == 1
    assert f"refused: {path.removesuffix('/record.json')}: record.json is not the file of the manifest" in done.out
    assert done.out.endswith("1 new, 0 there already, 0 in conflict, 1 refused\n")


def test_a_conflict_is_shown_and_settled(medbench, runs, tmp_path):
    mine = tmp_path / "mine"
    assert medbench("results", "merge", runs, "--runs", mine).status == 0
    path = next((mine / "toy-binary").rglob("record.json"))
    content = json.loads(path.read_text())
    content["metrics"][content["metric"]] = 0.25
    path.write_text(json.dumps(content))
    done = medbench("results", "merge", runs, "--runs", mine)
    assert done.status == 1
    assert "conflict: toy-cnn · knn · toy-binary · seed 0: " in done.out
    assert " 0.250000 here, " in done.out
    assert "to use the others: --theirs" in done.err
    assert medbench("results", "merge", runs, "--runs", mine, "--theirs").status == 0
    assert json.loads(path.read_text())["metrics"][content["metric"]] != 0.25


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pull", "lab/none"], "the repository lab/none does not exist on the Hugging Face hub, or you have no access"),
        (["pull", "a/b/c"], "a/b/c on the Hugging Face hub: Repo id must be"),
        (["push", "lab/eyes"], "nothing has been run"),
        (["push", "eyes"], "'eyes' has no owner"),
        (["merge", "nowhere"], "there are no records in nowhere"),
    ],
)
def test_what_is_refused(medbench, hub, tmp_path, words, said):
    done = medbench("results", *words, "--runs", tmp_path / "mine")
    assert done.status == 2
    assert said in done.err


def test_without_a_token_or_a_network(medbench, hub, runs, monkeypatch):
    hub.token = "hf_other"
    done = medbench("results", "push", "lab/eyes", "--runs", runs)
    assert done.status == 2
    assert "predictions with ids of images and patients are uploaded for: " in done.err, "said before anything is sent"
    assert done.err.splitlines()[-1] == "hint: log in with a token that has write access: hf auth login"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    done = medbench("results", "pull", "lab/eyes", "--runs", runs)
    assert done.status == 2
    assert "lab/eyes: the Hugging Face hub cannot be reached: Connection refused" in done.err
