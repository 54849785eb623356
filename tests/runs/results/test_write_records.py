"""Records of runs on small drawn data: complete, in agreement with their predictions, honest about the test split."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import recall_score

import medbench
from medbench.data.dataset import Dataset
from medbench.protocols import linear_frozen
from medbench.records import Record
from medbench.records.groups import collect
from medbench.report.html.run_page import command_of

from ..conftest import QUICK, SHORT, run, train

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_run_writes_complete_records_that_agree_with_their_predictions(pictures: Path) -> None:
    records = run(pictures)
    assert [(r.unit.protocol, r.unit.seed) for r in records] == [("linear-frozen", 0), ("linear-frozen", 1), ("knn", 0)]
    data = medbench.load_dataset(str(pictures))
    for record in records:
        assert {p.name for p in record.path.iterdir()} == {"record.json", "predictions.parquet", "history.csv"}
        assert record.path.name == record.key[:12]
        frame = pd.read_parquet(record.path / "predictions.parquet")
        scores = frame.filter(like="score_").to_numpy()
        assert scores.sum(axis=1) == pytest.approx(1, abs=1e-12)
        assert expit(frame.filter(like="log_odds_").to_numpy()) == pytest.approx(scores, abs=1e-12)
        assert set(frame["id"]) == set(data.samples["id"][data.samples["split"].isin(["val", "test"])])
        for split, metrics in (("test", record.metrics), ("val", record.metrics_val)):
            part = frame["split"] == split
            expected = recall_score(frame["target"][part], scores[part].argmax(1), average="macro")
            assert metrics["recall_macro"] == pytest.approx(expected)
            assert record.n[split].images == part.sum()
        check_what_validation_chose(record, frame)
        assert record.metric == "recall_macro"
        assert record.unit.weights == "random"
        assert any("random weights" in w for w in record.warnings)
        assert record.provenance["weights"]["sha256"] == "random:0"
        assert record.provenance["data"]["split_digest"] == data.split_digest
    assert sum(record.n[s].images for s in ("train", "val", "test")) == 90
    assert record.n["train"].groups == record.n["train"].images / 2
    assert records[0].score > 0.5, "three classes of stripes are easier than chance"


def check_what_validation_chose(record: Record, frame: pd.DataFrame) -> None:
    validation = frame[frame["split"] == "val"]
    assert list(record.thresholds) == ["youden", "specificity=0.9", "sensitivity=0.9"]
    for k, name in enumerate(record.n["val"].classes):
        for rule, has in (("sensitivity", validation["target"] == k), ("specificity", validation["target"] != k)):
            called = validation[f"log_odds_{name}"][has] >= record.thresholds[f"{rule}=0.9"][name]
            assert (called if rule == "sensitivity" else ~called).mean() >= 0.9
    found = record.calibration
    assert len(found.temperature) == 1
    assert found.ece == pytest.approx(record.metrics["ece_15"])
    assert found.log_loss == pytest.approx(record.metrics["log_loss"])
    assert found.log_loss_scaled != found.log_loss


def test_records_without_validation_hold_none(pictures: Path) -> None:
    (record, _) = run(pictures, "few-shot", set={"shots": 3, "val": "none"})
    assert record.metrics_val == {}
    assert (record.calibration, record.thresholds) == (None, {})
    assert (record.n["train"].images, record.n["val"].images) == (9, 0)
    frame = pd.read_parquet(record.path / "predictions.parquet")
    assert set(frame["split"]) == {"test"}
    assert len(frame) == record.n["test"].images
    assert not any("val" in warning for warning in record.warnings)
    assert record.chosen["val"] is None
    assert record.selection["by"] == "C = 0.316 is fixed: no validation is used"


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


def test_a_synthetic_twin_is_marked_as_toy_data(tmp_path: Path) -> None:
    from medbench.cards import find_dataset
    from medbench.data.twins.twin import synthesise

    twin = synthesise(find_dataset("aptos"), tmp_path / "aptos", n=40)
    [record] = medbench.run(model="toy-vit", protocol="knn", dataset="aptos", data_root=twin, set={"k": 3})
    assert record.unit.toy
    assert any("toy data" in w for w in record.warnings)


def test_a_model_that_has_seen_the_data_is_said(pictures: Path, tmp_path: Path) -> None:
    card = tmp_path / "seen.yaml"
    card.write_text(
        "arch: resnet18\nweights: {file: none.pth}\ninput: {size: 32}\n"
        f"pretraining: {{data: [ImageNet-1k, {medbench.load_dataset(str(pictures)).card.name}]}}\n"
    )
    [record] = run(pictures, "knn", model=str(card), weights="random")
    assert any(w.startswith("contamination: seen was pre-trained on") for w in record.warnings)


def test_the_record_says_what_was_trained(stacked: list[Record]) -> None:
    record = stacked[0]
    assert record.unit.options["views"] == 2
    assert record.material["encoders"]["second"][1] == "random:0"
    history = pd.read_csv(record.path / "history.csv")
    assert list(history.columns) == ["candidate", "epoch", "step", "loss", "val", "learning_rate"]
    assert record.counts["forwards"] == 90 + 2 * record.n["train"].images, "each image and view once"
    assert json.loads((record.path / "record.json").read_text())["counts"]["train_images_per_second"] > 0


def test_weights_are_kept_where_they_are_asked_for(data: Path) -> None:
    first = train(data, "linear-unfrozen", seeds=1, changes=QUICK)[0]
    assert not (first.path / "weights.safetensors").exists()
    again = train(data, "linear-unfrozen", seeds=1, changes=QUICK, keep_weights=True)[0]
    assert again.path == first.path
    assert (first.path / "weights.safetensors").exists()
    assert (first.path / "README.md").exists(), "the model card, also of a record that was there"
    assert again.metrics == first.metrics


def test_missing_images_are_left_out_and_said(pictures: Path) -> None:
    whole = run(pictures, "knn")[0]
    (pictures.parent / "images" / "004.png").unlink()
    [record] = run(pictures, "knn", missing="leave-out")
    assert record.key != whole.key
    assert "1 missing images were left out: images/004.png" in record.warnings
    assert record.provenance["data"]["left_out"] == {"images/004.png": "not there"}
    assert sum(record.n[split].images for split in ("train", "val", "test")) == 89


def test_what_is_said_of_own_data_is_part_of_the_unit(pictures: Path) -> None:
    plain = run(pictures, "knn")[0]
    [said] = run(pictures, "knn", task="ordinal", group="image")
    assert (said.metric, plain.metric) == ("kappa_quadratic", "recall_macro")
    assert said.unit.options == {"--group": "image", "--task": "ordinal", "k": 5}
    assert said.n["train"].groups is None
    assert "--group image --task ordinal --set k=5" in command_of(collect([said])[0])
