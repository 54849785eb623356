"""The table of classes, from files of SYNTHETIC predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medbench.errors import CardError, MedbenchError
from medbench.metrics import log_odds
from medbench.records import SplitCount
from medbench.records.store import PREDICTIONS, read_all
from medbench.report.tables.class_table import class_table
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.render import render

COUNTS = {"none": 60, "mild": 45, "severe": 15}


@pytest.fixture
def records(tmp_path, synthetic, save):
    """Two models on three classes: one with validation, one without."""
    source = np.random.default_rng(0)
    for model, parts in (("dino", ("val", "test")), ("sam", ("test",))):
        n = {split: SplitCount(images=120, classes=COUNTS) for split in parts}
        card = {"dataset": {"task": "multiclass"}}
        values = {"auroc_macro": [0.8], "recall_macro": [0.7]}
        (record,) = synthetic(model=model, seeds=(0,), n=n, material=card, values=values)
        save(tmp_path, [record])
        (record,) = (one for one in read_all(tmp_path) if one.unit.model == model)
        truth = np.repeat(np.arange(3), list(COUNTS.values()))
        frames = []
        for split in parts:
            x = log_odds(np.eye(3)[truth] + source.normal(size=(120, 3)), multilabel=False)
            frame = pd.DataFrame({"id": np.arange(120), "group": np.arange(120), "split": split, "target": truth})
            for k, name in enumerate(COUNTS):
                frame[f"score_{name}"], frame[f"log_odds_{name}"] = 1 / (1 + np.exp(-x[:, k])), x[:, k]
            frames.append(frame)
        pd.concat(frames).to_parquet(record.path / PREDICTIONS)
    return list(read_all(tmp_path))


def test_a_row_for_each_class_of_each_run(records):
    found = class_table("aptos", records)
    assert [column.id for column in found.columns] == [
        "prevalence",
        "sensitivity@youden",
        "specificity@youden",
        "auroc",
    ]
    assert [row.heads for row in found.rows] == [(name, str(n)) for name, n in COUNTS.items()] * 2
    assert [row.cells[0].value for row in found.rows[:3]] == [0.5, 0.375, 0.125]
    assert all(cell.low <= cell.value <= cell.high for row in found.rows[:3] for cell in row.cells[1:])
    assert [cell.value is None for cell in found.rows[3].cells] == [False, True, True, False], "no threshold there"
    assert sum("no number for sam" in note for note in found.notes) == 2
    text = render(found)
    assert "sam" in text
    assert "[" in text


def test_other_metrics_are_chosen_and_wrong_ones_refused(records):
    found = class_table("aptos", records, metrics=["PPV@0.5", "ece"])
    assert [column.title for column in found.columns] == ["prevalence", "ppv@0.5", "ece ↓"]
    with pytest.raises(CardError, match="not defined for each class"):
        class_table("aptos", records, metrics=["log_loss"])
    with pytest.raises(MedbenchError, match="nothing has been run on 'ddsm'"):
        class_table("ddsm", records)


def test_asked_metrics_are_columns_of_the_usual_table(records):
    found = dataset_table("aptos", records, intervals=True, metrics=["auroc", "sensitivity@specificity=0.9", "ECE"])
    assert [column.id for column in found.columns[-2:]] == ["sensitivity_macro@specificity=0.9", "ece"]
    assert found.columns[-1].title == "ece ↓"
    dino = next(row for row in found.rows if row.heads[0] == "dino")
    assert all(cell.low <= cell.value <= cell.high for cell in dino.cells[-2:])
    sam = next(row for row in found.rows if row.heads[0] == "sam")
    assert [cell.value is None for cell in sam.cells[-2:]] == [True, False]
    assert any("no number for sam" in note and "val=none" in note for note in found.notes)
    best = [row.cells[-1].value for row in found.rows if row.cells[-1].rank == "best"]
    assert best == [min(row.cells[-1].value for row in found.rows)], "the lowest error is the best"
    with pytest.raises(CardError, match="not for multiclass tasks"):
        dataset_table("aptos", records, metrics=["mae"])
    with pytest.raises(CardError, match="unknown metric"):
        dataset_table("aptos", records, metrics=["sensitvity"])


def test_without_asking_nothing_changes(records):
    assert render(dataset_table("aptos", records, metrics=["auroc"])) == render(dataset_table("aptos", records))
