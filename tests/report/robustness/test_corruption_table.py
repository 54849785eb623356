"""What corruptions cost: made-up predictions of two seeds, recomputed by hand and by the paired bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medbench import stats
from medbench.errors import MedbenchError
from medbench.records import Record, SplitCount
from medbench.records.groups import FLAW, FLAW_MARK
from medbench.records.store import PREDICTIONS, folder_of, records_of
from medbench.report.inference import DRAWS
from medbench.report.robustness.corruption_table import corruption_table, damages
from medbench.report.robustness.shift_table import shift_table
from medbench.report.tables.choose import chosen
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.lookup import list_tables, table
from medbench.report.tables.table import Row
from medbench.stats.bootstrap import evaluate
from medbench.stats.paired import difference
from medbench.stats.resampling import design

NAMES = ["a", "b", "c"]
N = 60
TARGETS = np.arange(N) % 3
GROUPS = np.array([f"p{i // 3 // 2}" for i in range(N)])
SETS = {"jpeg:1": 1.2, "jpeg:2": 0.6, "noise:1": 0.2}
Made = Callable[..., list[Record]]


def scores(name: str, signal: float) -> np.ndarray:
    """Return (2, n, c) probabilities of two seeds; the same name and signal give the same ones."""
    source = np.random.default_rng([ord(letter) for letter in name])
    logits = source.normal(size=(2, N, 3)) + signal * np.eye(3)[TARGETS]
    found: np.ndarray = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return found


def recall(found: np.ndarray) -> float:
    right = found.argmax(axis=1) == TARGETS
    return float(np.mean([right[k == TARGETS].mean() for k in range(3)]))


@pytest.fixture
def made(synthetic: Any, save: Any, tmp_path: Path) -> Made:
    def made(
        model: str = "dinov2",
        clean: float = 2.0,
        sets: dict[str, float] = SETS,
        seeds: tuple[int, int] = (0, 1),
        **unit: Any,
    ) -> list[Record]:
        """Write records of two seeds on clean images and on corrupted ones, with their predictions."""
        records: list[Record] = []
        count = SplitCount(images=N, classes=dict.fromkeys(NAMES, N // 3))
        for name, signal in {None: clean, **sets}.items():
            found = scores("clean" if name is None else model + name, signal)
            on = {} if name is None else {"test_on": "aptos", "corrupt": name}
            more = {} if name is None else {"test_on": {"in_domain": records[0].group}}
            group = synthetic(
                model,
                seeds=seeds,
                values={"recall_macro": [recall(one) for one in found]},
                options=on,
                provenance={"synthetic": True, "data": {"split": "paper"}, **more},
                material={"test_on": name} if name else {},
                n={"train": count, "val": count, "test": count},
                **unit,
            )
            save(tmp_path, group)
            for record, one in zip(group, found, strict=True):
                frame = pd.DataFrame({"id": [f"i{i}" for i in range(N)], "group": GROUPS, "split": "test"})
                columns = {f"score_{c}": one[:, i] for i, c in enumerate(NAMES)}
                columns |= {f"log_odds_{c}": np.log(one[:, i]) - np.log1p(-one[:, i]) for i, c in enumerate(NAMES)}
                frame = frame.assign(target=TARGETS, **columns)
                if name is None:  # only records on clean images have a validation part
                    frame = pd.concat([frame, frame.assign(split="val", id="v" + frame["id"])])
                frame.to_parquet(folder_of(tmp_path, record.unit, record.key) / PREDICTIONS)
            records += group
        return records

    return made


def cells(row: Row, names: list[str]) -> dict[str, Any]:
    return dict(zip(names, row.cells, strict=True))


def rows_of(runs: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the cells of each (scope, model) by column."""
    found = corruption_table("aptos", records_of(runs, "aptos"))
    names = [column.id for column in found.columns]
    return {(row.about["corruption"], row.about["model"]): cells(row, names) for row in found.rows}


def test_means_over_corruptions_and_severities(made: Made, tmp_path: Path) -> None:
    made()
    values = {name: np.mean([recall(one) for one in scores(f"dinov2{name}", s)]) for name, s in SETS.items()}
    clean = np.mean([recall(one) for one in scores("clean", 2.0)])
    rows = rows_of(tmp_path)
    whole, jpeg = rows["all", "dinov2"], rows["jpeg", "dinov2"]
    assert whole["clean"].value == pytest.approx(clean)
    assert whole["loss"].value == pytest.approx(clean - np.mean(list(values.values())))
    assert whole["share"].value == pytest.approx(whole["loss"].value / clean)
    assert whole["severity1"].value == pytest.approx((values["jpeg:1"] + values["noise:1"]) / 2)
    assert whole["severity2"].value == pytest.approx(values["jpeg:2"])
    assert jpeg["severity1"].value == pytest.approx(values["jpeg:1"])
    assert jpeg["loss"].value == pytest.approx(clean - (values["jpeg:1"] + values["jpeg:2"]) / 2)
    assert rows["noise", "dinov2"]["severity2"].value is None
    content = table("corruption/aptos", tmp_path)
    assert [row.section for row in content.rows] == ["", "jpeg", "noise"]
    assert content.rows[0].heads == ("dinov2", "linear-frozen", "paper", "official", "2", "3", "noise")


def test_the_interval_is_that_of_the_paired_bootstrap_over_patients(made: Made, tmp_path: Path) -> None:
    """With one corrupted set, the loss is the difference of two predictions of the same images."""
    made(sets={"noise:1": 0.2})
    expected = stats.paired(
        "recall_macro", scores("clean", 2.0), scores("dinov2noise:1", 0.2), TARGETS, GROUPS, draws=DRAWS
    ).interval()
    loss = rows_of(tmp_path)["noise", "dinov2"]["loss"]
    assert (loss.low, loss.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_share_of_a_perfect_metric_is_the_loss(made: Made, tmp_path: Path) -> None:
    made(clean=20.0)
    found = rows_of(tmp_path)["all", "dinov2"]
    loss, share = found["loss"], found["share"]
    assert found["clean"].value == 1
    assert (share.value, share.low, share.high) == pytest.approx((loss.value, loss.low, loss.high))


def test_two_models_are_compared_on_the_same_images(made: Made, tmp_path: Path) -> None:
    """Their clean predictions are the same, so their losses differ by their predictions of corrupted images."""
    made("dinov2", sets={"noise:1": 1.5})
    made("sam", sets={"noise:1": 0.2})
    rows = rows_of(tmp_path)
    assert rows["all", "dinov2"]["more"].value is None
    more = rows["all", "sam"]["more"]
    expected = stats.paired(
        "recall_macro", scores("dinov2noise:1", 1.5), scores("samnoise:1", 0.2), TARGETS, GROUPS, draws=DRAWS
    )
    assert more.value == pytest.approx(expected.value)
    ends = expected.interval()
    assert (more.low, more.high) == pytest.approx((ends.low, ends.high), abs=1e-9)


def test_other_seeds_are_not_drawn_together(made: Made, tmp_path: Path) -> None:
    made("dinov2", sets={"noise:1": 1.5})
    made("sam", sets={"noise:1": 0.2}, seeds=(1, 2))
    more = rows_of(tmp_path)["all", "sam"]["more"]
    plan = design(TARGETS, GROUPS)
    losses = []
    for model, signal in (("dinov2", 1.5), ("sam", 0.2)):
        clean, left = (
            evaluate("recall_macro", found, TARGETS, plan, DRAWS)
            for found in (scores("clean", 2.0), scores(f"{model}noise:1", signal))
        )
        losses.append(clean.minus(left))
    ends = difference(losses[1], losses[0], plan, same_seeds=False).interval()
    assert (more.low, more.high) == pytest.approx((ends.low, ends.high), abs=1e-9)


def test_models_with_other_corruptions_are_not_compared_over_all(made: Made, tmp_path: Path) -> None:
    made("dinov2", sets={"noise:1": 1.5, "jpeg:1": 1.0})
    made("sam", sets={"noise:1": 0.2})
    rows = rows_of(tmp_path)
    assert rows["all", "sam"]["more"].value is None
    assert rows["noise", "sam"]["more"].value is not None
    assert any("different numbers of sets" in note for note in table("corruption/aptos", tmp_path).notes)


def test_only_seeds_that_all_sets_have_count(made: Made, tmp_path: Path) -> None:
    made()
    record = next(r for r in records_of(tmp_path, "aptos") if r.corruption == "jpeg:2" and r.unit.seed == 1)
    (row,), _ = damages(r for r in records_of(tmp_path, "aptos") if r.key != record.key)
    assert [group.n for group in row.groups] == [1, 1, 1, 1]
    assert row.loss == pytest.approx(
        recall(scores("clean", 2.0)[0]) - np.mean([recall(scores(f"dinov2{name}", s)[0]) for name, s in SETS.items()])
    )


def test_without_predictions_there_are_values_and_no_intervals(made: Made, tmp_path: Path) -> None:
    for record in made():
        (folder_of(tmp_path, record.unit, record.key) / PREDICTIONS).unlink()
    found = rows_of(tmp_path)["all", "dinov2"]
    assert found["loss"].value is not None
    assert (found["loss"].low, found["share"].low) == (None, None)


def test_random_weights_are_left_out_or_marked(made: Made, tmp_path: Path) -> None:
    made(weights="random")
    records = records_of(tmp_path, "aptos")
    hidden, shown = corruption_table("aptos", records), corruption_table("aptos", records, True)
    assert not hidden.rows
    assert hidden.notes == ("1 row with random weights left out",)
    assert hidden.title.startswith("aptos: recall_macro on clean"), "the metric is known without rows, too"
    assert corruption_table("aptos", records, metrics=["ece"]).columns[0].id == "ece_clean"
    assert shown.rows[0].cells[0].mark


def test_other_tables_leave_corrupted_images_out_and_say_where_they_are(made: Made, tmp_path: Path) -> None:
    made()
    records = records_of(tmp_path, "aptos")
    content = dataset_table("aptos", records)
    assert len(content.rows) == 1
    assert "results on corrupted test images: medbench table corruption/aptos" in content.notes
    assert list_tables(tmp_path)[-2:] == ["dataset/aptos", "corruption/aptos"]
    with pytest.raises(MedbenchError, match="tested on another data set"):
        shift_table("aptos", records)


def brier(found: np.ndarray) -> float:
    return float(((found - np.eye(3)[TARGETS]) ** 2).sum(axis=1).mean())


def test_another_metric_is_computed_from_predictions(made: Made, tmp_path: Path) -> None:
    made("dinov2")
    made("sam", sets={name: signal / 2 for name, signal in SETS.items()})
    content = table("corruption/aptos", tmp_path, metrics=["brier", "recall_macro"])
    plain = table("corruption/aptos", tmp_path)
    names = [column.id for column in content.columns]
    assert names[:2] == ["brier_clean", "brier_loss"]
    row = next(row for row in content.rows if row.about["model"] == "dinov2" and not row.section)
    found = cells(row, names)
    clean = np.mean([brier(one) for one in scores("clean", 2.0)])
    left = np.mean([[brier(one) for one in scores(f"dinov2{name}", s)] for name, s in SETS.items()])
    assert found["brier_clean"].value == pytest.approx(clean)
    assert found["brier_loss"].value == pytest.approx(left - clean), "lower is better: the loss is the rise"
    assert found["brier_loss"].low < left - clean < found["brier_loss"].high
    own = cells(next(row for row in plain.rows if row.about["model"] == "dinov2"), [c.id for c in plain.columns])
    assert {name: found[name] for name in own} == own, "the columns of the primary metric stay as they are"
    shown = chosen(content, ["brier"])
    assert {column.metric for column in shown.columns} == {"brier"}
    losses = [row.cells[1].value for row in shown.rows if not row.section]
    assert losses == sorted(losses), "by the first metric"


def test_thresholds_are_those_of_clean_validation_images(made: Made, tmp_path: Path) -> None:
    """Here the validation images are the clean test images: class by class the threshold lets 90 % of the rest pass."""
    made(sets={"noise:1": 0.2})
    name = "specificity_macro@specificity=0.9"
    (row, _) = table("corruption/aptos", tmp_path, metrics=[name]).rows
    expected = []
    for clean, left in zip(scores("clean", 2.0), scores("dinov2noise:1", 0.2), strict=True):
        cuts = [min(x for x in clean[:, k] if np.mean(clean[k != TARGETS, k] < x) >= 0.9) for k in range(3)]
        expected.append([[np.mean(one[k != TARGETS, k] < cuts[k]) for k in range(3)] for one in (clean, left)])
    clean, left = np.mean(expected, axis=(0, 2))
    assert [cell.value for cell in row.cells[:2]] == pytest.approx([clean, clean - left])
    assert row.cells[1].low < clean - left < row.cells[1].high


def test_the_loss_of_a_calibration_error_has_no_interval(made: Made, tmp_path: Path) -> None:
    made()
    content = table("corruption/aptos", tmp_path, metrics=["ece"])
    found = cells(content.rows[0], [column.id for column in content.columns])
    assert found["ece_loss"].value is not None
    assert (found["ece_loss"].low, found["ece_share"].low) == (None, None)
    assert any(note.startswith("ece: noise makes these numbers larger") for note in content.notes)


def test_a_fault_of_the_split_is_marked(made: Made, tmp_path: Path) -> None:
    made(warnings=["leak: 3 groups are in train and test"])
    found = corruption_table("aptos", records_of(tmp_path, "aptos"))
    assert FLAW_MARK in found.rows[0].cells[0].mark
    assert FLAW in found.notes


def test_nothing_was_corrupted(synthetic: Any) -> None:
    with pytest.raises(MedbenchError, match="corrupted images of 'aptos'") as caught:
        corruption_table("aptos", synthetic("dinov2"))
    assert "--corrupt all" in caught.value.hint


def test_what_has_no_clean_records_is_told(made: Made, tmp_path: Path) -> None:
    made()
    away = [record for record in records_of(tmp_path, "aptos") if record.corruption is not None]
    rows, notes = damages(away)
    assert (rows, notes) == ([], ["3 corrupted test sets left out: the records on the clean images are missing"])
    assert not corruption_table("aptos", away).rows


def test_a_model_without_a_common_seed_is_left_out(made: Made, tmp_path: Path) -> None:
    made()
    records = records_of(tmp_path, "aptos")
    apart = [r for r in records if (r.corruption, r.unit.seed) not in (("jpeg:1", 0), ("jpeg:2", 1))]
    rows, notes = damages(apart)
    assert not rows
    assert notes == ["dinov2 · linear-frozen (paper) left out: no seed was tested on all of its corrupted test sets"]


def test_a_metric_without_a_best_value_has_no_loss(made: Made, tmp_path: Path) -> None:
    made()
    content = table("corruption/aptos", tmp_path, metrics=["calibration_slope"])
    found = cells(content.rows[0], [column.id.removeprefix("calibration_slope_") for column in content.columns])
    assert found["clean"].value is not None
    assert found["severity1"].value is not None
    assert [found[name].value for name in ("loss", "share", "more")] == [None] * 3
    assert content.rows[0].about["worst"] == ""
    assert "calibration_slope: neither low nor high values are best, so there is no loss" in content.notes


@pytest.mark.parametrize(("metric", "by"), [("recall_macro", "loss"), ("brier", "brier_loss")])
def test_sorting_puts_the_smallest_loss_first(made: Made, tmp_path: Path, metric: str, by: str) -> None:
    made("dinov2", sets={"noise:1": 0.2})
    made("sam", sets={"noise:1": 1.5})
    content = table("corruption/aptos", tmp_path, metrics=[metric])
    assert [row.heads[0] for row in chosen(content, sort=by).rows if not row.section] == ["sam", "dinov2"]
    assert [row.heads[0] for row in chosen(content, sort=f"-{by}").rows if not row.section] == ["dinov2", "sam"]
