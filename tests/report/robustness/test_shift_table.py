"""The drop from a data set to another: made-up predictions of two seeds, recomputed by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medbench.errors import MedbenchError
from medbench.metrics.measures import Predictions
from medbench.records import Record, SplitCount
from medbench.records.groups import FLAW, FLAW_MARK
from medbench.records.store import PREDICTIONS, folder_of, records_of
from medbench.report.robustness.shift_table import drops, shift_table
from medbench.report.tables.choose import chosen
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.lookup import table

NAMES = ["a", "b", "c"]


def predictions(seed: int, n: int, signal: float, names: list[str], split: str = "test") -> pd.DataFrame:
    source = np.random.default_rng(seed)
    targets = np.arange(n) % len(names)
    logits = source.normal(size=(n, len(names))) + signal * np.eye(len(names))[targets]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    frame = pd.DataFrame({"id": [f"{n}-{i}" for i in range(n)], "group": [f"{n}-{i // 2}" for i in range(n)]})
    frame = frame.assign(split=split, target=targets)
    for i, name in enumerate(names):
        frame[f"score_{name}"] = shares[:, i]
        frame[f"log_odds_{name}"] = np.log(shares[:, i]) - np.log1p(-shares[:, i])
    return frame


Made = Callable[..., list[Record]]


@pytest.fixture
def made(synthetic: Any, save: Any, tmp_path: Path) -> Made:
    def made(model: str = "dinov2", names: list[str] = NAMES, away: list[str] = NAMES, **unit: Any) -> list[Record]:
        """Write records of two seeds on 60 images, and on 45 of another data set, with their predictions."""
        found: list[Record] = []
        for classes, n, signal, on in ((names, 60, 2.0, None), (away, 45, 0.7, "elsewhere")):
            frames = [predictions(10 * seed + n, n, signal, classes) for seed in (0, 1)]
            values = [recall(frame) for frame in frames]
            if on is None:  # only records on the own data set have a validation part
                held = [predictions(70 + seed, 60, 2.0, classes, "val") for seed in (0, 1)]
                frames = [pd.concat(pair) for pair in zip(frames, held, strict=True)]
            options = {} if on is None else {"test_on": on} | ({"closed": True} if away != names else {})
            more = {} if on is None else {"test_on": {"in_domain": found[0].group}}
            provenance = {"synthetic": True, "data": {"split": "paper"}, **more}
            count = SplitCount(images=n, classes={name: n // len(classes) for name in classes})
            group = synthetic(
                model,
                seeds=(0, 1),
                values={"recall_macro": values},
                options=options,
                provenance=provenance,
                material={"test_on": {"rows": on}} if on else {},
                n={"train": count, "val": count, "test": count},
                **unit,
            )
            save(tmp_path, group)
            for record, frame in zip(group, frames, strict=True):
                frame.to_parquet(folder_of(tmp_path, record.unit, record.key) / PREDICTIONS)
            found += group
        return found

    return made


def recall(frame: pd.DataFrame) -> float:
    right = frame.filter(regex="^score_").to_numpy().argmax(axis=1) == frame["target"]
    return float(right.groupby(frame["target"]).mean().mean())


def test_the_drop_is_the_difference_with_the_interval_of_both_sets(made: Made, tmp_path: Path) -> None:
    records = made()
    (drop,), notes = drops(records_of(tmp_path, "aptos"))
    here, away = (np.mean([r.metrics["recall_macro"] for r in records if (r.test_on is None) == own]) for own in (1, 0))
    assert not notes
    assert drop.value == pytest.approx(here - away, abs=1e-6)
    assert drop.own.value == pytest.approx(here, abs=1e-6)
    assert drop.low is not None
    assert drop.high is not None
    assert drop.low < drop.value < drop.high
    content = table("shift/aptos", tmp_path)
    assert [cell.value for cell in content.rows[0].cells] == pytest.approx([here, away, here - away], abs=1e-6)
    assert content.rows[0].heads == ("elsewhere", "dinov2", "linear-frozen", "paper", "official", "2")


def test_ordinary_tables_leave_shifted_rows_out_and_say_where_they_are(made: Made, tmp_path: Path) -> None:
    made()
    content = dataset_table("aptos", records_of(tmp_path, "aptos"))
    assert len(content.rows) == 1
    assert "results on other data sets (elsewhere): medbench table shift/aptos" in content.notes


def test_in_domain_is_over_the_classes_that_the_other_set_has(made: Made, tmp_path: Path) -> None:
    """Of three classes two are scored: images of the third do not count, and the softmax is over the two."""
    made(away=["a", "c"])
    (drop,), _ = drops(records_of(tmp_path, "aptos"))
    expected = []
    for seed in (0, 1):
        frame = predictions(10 * seed + 60, 60, 2.0, NAMES)
        kept = frame[frame["target"] != 1]
        called = np.where(kept["score_a"] >= kept["score_c"], 0, 2)
        expected.append(np.mean([np.mean(called[kept["target"] == k] == k) for k in (0, 2)]))
    assert drop.own.value == pytest.approx(np.mean(expected), abs=1e-9)
    assert drop.on == "elsewhere (closed)"


def test_without_predictions_there_is_a_drop_but_no_interval(made: Made, tmp_path: Path) -> None:
    made()
    for file in tmp_path.rglob(PREDICTIONS):
        file.unlink()
    (drop,), _ = drops(records_of(tmp_path, "aptos"))
    assert drop.value is not None
    assert drop.low is None


def log_odds(frame: pd.DataFrame, columns: list[str]) -> Predictions:
    """The log-odds of some classes, by the softmax over these alone, of the images that have one of them."""
    frame = frame[frame["target"].isin([NAMES.index(name) for name in columns])]
    shares = frame[[f"score_{name}" for name in columns]].to_numpy()
    shares = shares / shares.sum(axis=1, keepdims=True)
    targets = frame["target"].map({NAMES.index(name): i for i, name in enumerate(columns)})
    return Predictions(np.log(shares) - np.log1p(-shares), targets.to_numpy())


@pytest.mark.parametrize("away", [NAMES, ["a", "c"]])
def test_a_threshold_of_validation_in_domain_is_applied_to_both(made: Made, tmp_path: Path, away: list[str]) -> None:
    made(away=away)
    name = "sensitivity_macro@specificity=0.9"
    content = table("shift/aptos", tmp_path, metrics=[name, "brier"])
    assert [column.id for column in content.columns[:3]] == [f"{name}_{x}" for x in ("in_domain", "shifted", "drop")]
    own, shifted = [], []
    for seed in (0, 1):
        held = log_odds(predictions(70 + seed, 60, 2.0, NAMES, "val"), away)
        here = log_odds(predictions(10 * seed + 60, 60, 2.0, NAMES), away)
        there = predictions(10 * seed + 45, 45, 0.7, away)
        there["target"] = there["target"].map(lambda i: NAMES.index(away[i]))
        for side, found in ((own, here), (shifted, log_odds(there, away))):
            rates = []
            for k in range(len(away)):
                inside, outside = (np.sort(held.log_odds[(held.targets == k) == same, k]) for same in (True, False))
                cut = min(t for t in np.concatenate([inside, outside]) if np.mean(outside < t) >= 0.9)
                rates.append(np.mean(found.log_odds[found.targets == k, k] >= cut))
            side.append(np.mean(rates))
    cells = content.rows[0].cells
    values = [cells[0].value, cells[1].value, cells[2].value]
    assert values == pytest.approx([np.mean(own), np.mean(shifted), np.mean(own) - np.mean(shifted)], abs=1e-6)
    assert cells[1].low <= cells[1].value <= cells[1].high
    assert cells[2].low < cells[2].value < cells[2].high
    assert any("thresholds and temperatures are chosen on validation" in note for note in content.notes)


def test_a_calibration_error_has_intervals_and_its_drop_none(made: Made, tmp_path: Path) -> None:
    made()
    own, shifted, drop = table("shift/aptos", tmp_path, metrics=["ece"]).rows[0].cells
    assert own.low is not None
    assert shifted.low is not None
    assert (drop.low, drop.high) == (None, None)
    assert drop.value == pytest.approx(own.value - shifted.value)


def test_a_fault_of_the_split_is_marked(made: Made, tmp_path: Path) -> None:
    made(warnings=["leak: 3 groups are in train and test"])
    content = table("shift/aptos", tmp_path)
    assert [FLAW_MARK in cell.mark for cell in content.rows[0].cells] == [True, True, False]
    assert FLAW in content.notes


def test_what_lacks_predictions_is_told(made: Made, tmp_path: Path) -> None:
    made()
    for file in tmp_path.rglob(PREDICTIONS):
        file.unlink()
    content = table("shift/aptos", tmp_path, metrics=["brier", "recall_macro"])
    assert [cell.value is None for cell in content.rows[0].cells] == [True, True, True, False, False, False]
    assert any(note.startswith("brier: no number for dinov2") for note in content.notes)


def test_random_weights_stay_out_unless_asked(made: Made, tmp_path: Path) -> None:
    made(weights="random")
    content = shift_table("aptos", records_of(tmp_path, "aptos"))
    assert not content.rows
    assert content.notes == ("1 row with random weights left out",)
    assert len(shift_table("aptos", records_of(tmp_path, "aptos"), include_random=True).rows) == 1


def test_two_cards_of_one_network_have_their_own_rows(made: Made, tmp_path: Path) -> None:
    known = {record.unit.options.get("test_on"): record.group for record in made("dinov2")}
    made("copy")
    records = []
    for record in records_of(tmp_path, "aptos"):  # the copy's groups become those of the other card
        on = record.unit.options.get("test_on")
        origin = record.provenance | ({"test_on": {"in_domain": known[None]}} if on else {})
        records.append(record.model_copy(update={"group": known[on], "provenance": origin}))
    rows, _ = drops(records)
    assert [drop.shifted.first.unit.model for drop in rows] == ["copy", "dinov2"]
    assert [drop.in_domain and drop.in_domain.first.unit.model for drop in rows] == ["copy", "dinov2"]


def test_where_nothing_was_tested_elsewhere_the_command_is_told(synthetic: Any, save: Any, tmp_path: Path) -> None:
    save(tmp_path, synthetic())
    with pytest.raises(MedbenchError, match="has been tested on another data set yet") as caught:
        table("shift/aptos", tmp_path)
    assert "--test-on" in caught.value.hint


@pytest.mark.parametrize("metric", ["recall_macro", "brier"])
def test_sorting_by_the_drop_puts_what_gets_least_worse_first(made: Made, tmp_path: Path, metric: str) -> None:
    made("dinov2")
    made("sam")
    content = table("shift/aptos", tmp_path, metrics=[metric])
    place = next(i for i, column in enumerate(content.columns) if column.id.endswith("drop"))
    drops = [-0.2, 0.1] if metric == "brier" else [0.1, -0.2]  # of the Brier score, low is better
    rows = [
        replace(row, cells=tuple(cell._replace(value=drop) if i == place else cell for i, cell in enumerate(row.cells)))
        for row, drop in zip(content.rows, drops, strict=True)
    ]
    found = chosen(replace(content, rows=tuple(rows)), sort=content.columns[place].id)
    assert [row.cells[place].value for row in found.rows] == drops[::-1]


def test_the_metric_is_known_without_rows(made: Made, tmp_path: Path) -> None:
    made(weights="random")
    first = table("shift/aptos", tmp_path, metrics=["brier"]).columns[0]
    assert first.title == "brier in domain"
