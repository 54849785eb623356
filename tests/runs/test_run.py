"""Whole runs on small drawn data: records, resuming, determinism, honesty about the test split."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score

import medbench
from medbench.api import RunFailedError
from medbench.data.dataset import Dataset
from medbench.errors import MedbenchError, OutputError
from medbench.features import extract
from medbench.models.encoder import Encoder
from medbench.protocols import knn, linear_frozen
from medbench.records import Record, store
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.storage import paths

from .conftest import SHORT

BOTH = "linear-frozen,knn"


def run(data: Path, protocol: str = BOTH, model: str = "toy-vit", **options) -> list[Record]:
    options = {"seeds": 2, "set": SHORT, **options}
    options["set"] = of(protocol, options["set"])
    return medbench.run(model=model, protocol=protocol, dataset=str(data), **options)


def of(protocol: str, changes: dict) -> dict:
    """Return the changes for a protocol asked for alone: one that has no such field would refuse them."""
    strange = {"linear-frozen": {"k"}, "knn": set(SHORT) - {"k"}}.get(protocol, set())
    return {name: value for name, value in changes.items() if name not in strange}


def numbers(records: list[Record]) -> list[tuple]:
    return [(r.key, r.metrics, r.metrics_val, r.chosen, r.selection) for r in records]


def forwards(records: list[Record]) -> float:
    return sum(r.counts["forwards"] for r in records)


def test_a_run_leaves_whole_records_that_agree_with_their_predictions(pictures: Path) -> None:
    records = run(pictures)
    assert [(r.unit.protocol, r.unit.seed) for r in records] == [("linear-frozen", 0), ("linear-frozen", 1), ("knn", 0)]
    data = medbench.load_dataset(str(pictures))
    for record in records:
        assert {p.name for p in record.path.iterdir()} == {"record.json", "predictions.parquet", "history.csv"}
        assert record.path.name == record.key[:12]
        frame = pd.read_parquet(record.path / "predictions.parquet")
        scores = frame.filter(like="score_").to_numpy()
        assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert set(frame["id"]) == set(data.samples["id"][data.samples["split"].isin(["val", "test"])])
        for split, metrics in (("test", record.metrics), ("val", record.metrics_val)):
            part = frame["split"] == split
            expected = recall_score(frame["target"][part], scores[part].argmax(1), average="macro")
            assert metrics["recall_macro"] == pytest.approx(expected)
            assert record.n[split].images == part.sum()
        assert record.metric == "recall_macro"
        assert record.unit.weights == "random"
        assert any("random weights" in w for w in record.warnings)
        assert record.provenance["weights"]["sha256"] == "random:0"
        assert record.provenance["data"]["split_digest"] == data.split_digest
    assert sum(record.n[s].images for s in ("train", "val", "test")) == 90
    assert record.n["train"].groups == record.n["train"].images / 2
    assert records[0].score > 0.5, "three classes of stripes are easier than chance"


def test_history_and_selection_hold_every_candidate(pictures: Path) -> None:
    record = run(pictures, "linear-frozen")[0]
    history = pd.read_csv(record.path / "history.csv")
    assert list(history.columns) == ["candidate", "epoch", "loss", "val", "learning_rate"]
    assert history.groupby("candidate").size().to_dict() == {1e-3: 6, 1e-1: 6}
    curves = {c["learning_rate"]: c["curve"] for c in record.selection["candidates"]}
    best = {rate: max(curve) for rate, curve in curves.items()}
    means = {c["learning_rate"]: c["mean"] for c in record.selection["candidates"]}
    chosen = record.chosen["learning_rate"]
    assert means[chosen] == max(means.values())
    assert record.chosen["val"] == best[chosen] == curves[chosen][record.chosen["epoch"]]
    assert record.metrics_val["recall_macro"] == pytest.approx(best[chosen], abs=1e-6)


def test_finished_units_are_read_back_and_nothing_is_computed(pictures: Path, monkeypatch) -> None:
    first = run(pictures)
    monkeypatch.setattr(linear_frozen, "run", None)
    monkeypatch.setattr(knn, "run", None)
    monkeypatch.setattr(extract, "_make", None)
    again = run(pictures)
    assert [r.model_dump() for r in again] == [r.model_dump() for r in first]


def test_features_are_shared_between_protocols_and_runs(pictures: Path) -> None:
    both = run(pictures)
    assert forwards(both[:1]) == 90 + 2 * both[0].n["train"].images
    assert forwards(both[2:]) == 0
    assert forwards(run(pictures, "linear-frozen", set={**SHORT, "epochs": 3})) == 0
    more = run(pictures, "linear-frozen", set={**SHORT, "views": 3})
    assert forwards(more[:1]) == both[0].n["train"].images, "two of three views were there"


def test_two_runs_from_scratch_are_identical(pictures: Path, monkeypatch, tmp_path: Path) -> None:
    first = run(pictures)
    for name in ("HOME", "RUNS"):
        monkeypatch.setenv(f"MEDBENCH_{name}", str(tmp_path / f"other-{name}"))
    second = run(pictures)
    assert forwards(second) > 0
    assert numbers(first) == numbers(second)
    for a, b in zip(first, second, strict=True):
        assert pd.read_parquet(a.path / "predictions.parquet").equals(pd.read_parquet(b.path / "predictions.parquet"))


def test_test_labels_are_read_once_a_unit_after_every_choice(pictures: Path, monkeypatch) -> None:
    events: list[str] = []
    plain, solve = Dataset.targets, linear_frozen.run

    def targets(self: Dataset, split: str | None = None):
        events.append(f"labels of {split}")
        return plain(self, split)

    def solved(context):
        outcome = solve(context)
        events.append("chosen")
        return outcome

    monkeypatch.setattr(Dataset, "targets", targets)
    monkeypatch.setattr(linear_frozen, "run", solved)
    run(pictures, "linear-frozen", seeds=3)
    assert "labels of None" not in events
    assert "labels of test" not in events[: events.index("chosen")]
    counted = 1  # for the record's class counts, after the choice
    assert events.count("labels of test") == 3 + counted


def test_other_test_labels_change_the_test_metric_alone(pictures: Path) -> None:
    before = run(pictures)
    data = medbench.load_dataset(str(pictures))
    split = pictures.parent / "split.csv"
    data.samples[["id", "split"]].to_csv(split, index=False)
    table = pd.read_csv(pictures)
    test = set(data.samples["path"][data.samples["split"] == "test"])
    table.loc[table["image"].isin(test), "label"] = (table["label"] + 1) % 3
    table.to_csv(pictures, index=False)
    after = run(pictures, set={**SHORT, "split": str(split)})
    for a, b in zip(before, after, strict=True):
        assert a.key != b.key
        assert (a.chosen, a.selection, a.metrics_val) == (b.chosen, b.selection, b.metrics_val)
        assert a.metrics != b.metrics


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 32},
        {"precision": "bf16"},
        {"preset": "wacv-code"},
        {"seeds": 3},
        {"set": {**SHORT, "epochs": 7}},
        {"set": {**SHORT, "views": 3}},
        {"set": {**SHORT, "normalise": "model"}},
        {"unreadable": "leave-out"},
        {"model": "toy-cnn"},
    ],
    ids=lambda c: next(iter(c)),
)
def test_what_changes_a_number_changes_the_key(pictures: Path, change: dict) -> None:
    def group(model: str = "toy-vit", **options) -> str:
        options["changes"] = of("linear-frozen", options.pop("set", SHORT))
        return make_plan(model, "linear-frozen", str(pictures), Options(**{"seeds": 2, **options})).jobs[0].group

    assert group() == group(), "the key is a function of the request"
    assert group() == group(workers=3), "what cannot change a number is no part of the key"
    assert group(**change) != group()


def test_a_label_or_pixel_changes_the_key(pictures: Path) -> None:
    def key() -> str:
        plan = make_plan("toy-vit", "knn", str(pictures), Options(changes={"k": 5}))
        return plan.jobs[0].units[0][1]

    first = key()
    text = pictures.read_text()
    pictures.write_text(text.replace("images/000.png,0", "images/000.png,1"))
    relabelled = key()
    pictures.write_text(text)
    image = pictures.parent / "images" / "001.png"
    shutil.copy(pictures.parent / "images" / "002.png", image)
    assert len({first, relabelled, key()}) == 3


def test_unreadable_images_stop_the_run_or_are_left_out_and_said(pictures: Path) -> None:
    bad = pictures.parent / "images" / "004.png"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(MedbenchError) as caught:
        run(pictures)
    assert "004.png" in caught.value.message
    assert "--unreadable leave-out" in caught.value.hint
    assert not list(Path(paths.runs_dir()).rglob("*.json"))
    records = run(pictures, unreadable="leave-out")
    assert sum(n.images for n in records[0].n.values()) == 89
    assert any("1 unreadable images were left out" in w for w in records[0].warnings)
    assert list(records[0].provenance["data"]["left_out"]) == ["images/004.png"]


def test_an_encoder_that_changes_while_frozen_is_a_failure_and_the_rest_goes_on(pictures: Path, monkeypatch) -> None:
    plain = Encoder.pooled

    def drifting(self: Encoder, x):
        if self.card.name == "toy-vit":
            next(self.parameters()).data += 1e-6
        return plain(self, x)

    monkeypatch.setattr(Encoder, "pooled", drifting)
    with pytest.raises(RunFailedError, match="a frozen encoder must not"):
        run(pictures, "knn", model="toy-vit,toy-cnn")
    runs = paths.runs_dir()
    assert [r.unit.model for r in store.read_all(runs)] == ["toy-cnn"]
    [(_, _, error)] = store.failures(runs)
    assert "frozen encoder must not" in error
    monkeypatch.setattr(Encoder, "pooled", plain)
    assert len(run(pictures, "knn", model="toy-vit,toy-cnn")) == 2
    assert not list(store.failures(runs))


def test_overwrite_always_makes_anew_and_never_runs_nothing(pictures: Path) -> None:
    assert run(pictures, "knn", overwrite="never") == []
    [first] = run(pictures, "knn")
    written = (first.path / "record.json").stat().st_mtime_ns
    [again] = run(pictures, "knn", overwrite="always")
    assert (again.path / "record.json").stat().st_mtime_ns > written
    assert numbers([first]) == numbers([again])


def test_a_run_store_that_cannot_be_written_is_said_before_any_work(pictures: Path, monkeypatch) -> None:
    monkeypatch.setattr(extract, "_make", None)
    blocker = pictures.parent / "a-file"
    blocker.write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        run(pictures, out=blocker / "runs")


def test_a_disk_that_fills_up_loses_nothing(pictures: Path, monkeypatch) -> None:
    plain = store.files.write_text

    def full(path: Path, text: str) -> None:
        if path.name == "record.json" and "linear-frozen" in str(path):
            with store.files.writing(path):
                raise OSError(28, "No space left on device")
        plain(path, text)

    monkeypatch.setattr(store.files, "write_text", full)
    with pytest.raises(OutputError, match="No space left"):
        run(pictures)
    runs = paths.runs_dir()
    assert [r.unit.protocol for r in store.read_all(runs)] == ["knn"]
    monkeypatch.setattr(store.files, "write_text", plain)
    records = run(pictures)
    assert len(records) == 3
    assert forwards(records[:2]) == 0, "the features were kept"


def test_an_unreadable_record_is_passed_over_until_it_is_made_anew(pictures: Path) -> None:
    [record] = run(pictures, "knn")
    content = json.loads((record.path / "record.json").read_text())
    assert np.isfinite(content["metrics"]["recall_macro"])
    (record.path / "record.json").write_text("{")
    assert run(pictures, "knn") == []
    assert run(pictures, "knn", overwrite="always")[0].metrics == record.metrics


def test_a_synthetic_twin_is_marked_as_toy_data(tmp_path: Path) -> None:
    from medbench.cards import find_dataset
    from medbench.data.twins.twin import synthesise

    twin = synthesise(find_dataset("aptos"), tmp_path / "aptos", n=40)
    [record] = medbench.run(model="toy-vit", protocol="knn", dataset="aptos", data_root=twin, set={"k": 3})
    assert record.unit.toy
    assert any("toy data" in w for w in record.warnings)


def test_tables_follow_each_run(pictures: Path) -> None:
    run(pictures)
    folder = paths.tables_dir()
    table = pd.read_csv(next(folder.glob("*.csv")))
    assert set(table["protocol"]) == {"linear-frozen", "knn"}
    assert "random weights" in next(folder.glob("*.md")).read_text()


def test_unknown_options_are_named(pictures: Path) -> None:
    with pytest.raises(MedbenchError, match="unknown option: epoch"):
        run(pictures, epoch=3)


def test_one_weights_file_is_not_for_several_models(pictures: Path) -> None:
    with pytest.raises(MedbenchError, match="is one file, but the request has 2 models"):
        run(pictures, model="toy-vit,toy-cnn", weights="some.pth")


def test_a_model_that_has_seen_the_data_is_said(pictures: Path, tmp_path: Path) -> None:
    card = tmp_path / "seen.yaml"
    card.write_text(
        "arch: resnet18\nweights: {file: none.pth}\ninput: {size: 32}\n"
        f"pretraining: {{data: [ImageNet-1k, {medbench.load_dataset(str(pictures)).card.name}]}}\n"
    )
    [record] = run(pictures, "knn", model=str(card), weights="random")
    assert any(w.startswith("contamination: seen was pre-trained on") for w in record.warnings)
