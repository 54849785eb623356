from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from medbench import stats
from medbench.errors import CardError, DataError, MedbenchError
from medbench.records.store import PREDICTIONS
from medbench.report.subgroups.subgroup_table import subgroup_table
from medbench.report.tables.render import FORMATS, render

from .conftest import GRADES, people


def test_a_row_for_each_group_and_one_for_the_gap(put, by) -> None:
    found = subgroup_table("aptos", put(), by("sex,age:40:79", fewest=5))
    assert found.heads == ("by", "group", "images", "patients", "positive")
    assert [row.heads for row in found.rows] == [
        ("sex", "F", "80", "40", "50 %"),
        ("sex", "M", "160", "80", "50 %"),
        ("sex", "gap", "", "", ""),
        ("age", "<40", "72", "36", "50 %"),  # two of every twenty patients from 20 on are not known
        ("age", "40 to <79", "144", "72", "50 %"),
        ("age", "unknown", "24", "12", "50 %"),
        ("age", "gap", "", "", ""),
    ]
    assert [column.title for column in found.columns] == ["auroc", "p", "p (Holm)"]
    marks = [row.cells[0].mark for row in found.rows[:3]]
    assert marks == ["▲", "▼", ""]
    assert found.rows[5].cells[0].value is None
    assert found.rows[2].about["auroc_worst"] == "M"
    assert any("images without a value in the labels" in note for note in found.notes)


def test_p_is_adjusted_over_the_table(put, by) -> None:
    put(model="sam")
    records = [*put(), *put(model="sam")]
    found = subgroup_table("aptos", records, by("sex,age:40"), metrics=["auroc", "brier"])
    gaps = [row for row in found.rows if row.heads[1] == "gap"]
    raw = [row.cells[i].value for row in gaps for i in (1, 4)]
    adjusted = [row.cells[i].value for row in gaps for i in (2, 5)]
    assert len(raw) == 8
    np.testing.assert_allclose(adjusted, stats.holm(raw))
    assert any("adjusted for the 8 tests" in note for note in found.notes)


def test_small_groups_are_counted_alone(put, by) -> None:
    found = subgroup_table("aptos", put(), by("sex*age:75", fewest=10))
    values = {row.heads[1]: row.cells[0].value for row in found.rows}
    assert values["F, ≥75"] is None
    assert values["F, <75"] is not None
    assert any("fewer than 10 patients in F, ≥75" in note for note in found.notes)
    with pytest.raises(DataError, match="fewer than two groups have 60 patients in the test split: F: 40, M: 80"):
        subgroup_table("aptos", put(), by("sex", fewest=60))


def test_what_a_reader_must_know_is_said(put, by) -> None:
    found = subgroup_table("aptos", put(), by("view"), metrics=["sensitivity", "ece", "calibration_slope"])
    text = " ".join(found.notes)
    assert "120 patients have images in several groups" in text
    assert "all groups of a run have the same" in text, "of thresholds"
    assert "ece: noise alone makes these higher in small groups" in text
    assert "without a better direction" in text
    findings = subgroup_table("aptos", put(task="multilabel", model="x", stored=True, metric="auroc_macro"), by("sex"))
    assert findings.heads[4] == "any finding"
    assert any("auroc_macro by sex: the mean is computed without c" in note for note in findings.notes)


def test_runs_without_groups_are_left_out_and_named(put, by) -> None:
    records = [*put(), *put(model="sam")]
    for record in records:
        if record.unit.model == "sam":
            (record.path / PREDICTIONS).unlink()
    found = subgroup_table("aptos", records, by("sex"))
    assert {row.about["model"] for row in found.rows} == {"dino"}
    assert any(note.startswith("sam · ") and "left out" in note for note in found.notes)
    with pytest.raises(DataError, match="no predictions are stored"):
        subgroup_table("aptos", [record for record in records if record.unit.model == "sam"], by("sex"))


def test_errors(put, by) -> None:
    with pytest.raises(DataError, match="all test images have 'A'"):
        subgroup_table("aptos", put(), by("site"))
    with pytest.raises(CardError, match="unknown metric"):
        subgroup_table("aptos", put(), by("sex"), metrics=["aurok"])
    with pytest.raises(MedbenchError, match="nothing has been run on 'idrid'"):
        subgroup_table("idrid", put(), by("sex"))
    with pytest.raises(DataError, match="the labels lack"):
        subgroup_table("aptos", put(), by("sex", people().iloc[:10]))


def test_every_format_has_it(put, by) -> None:
    found = subgroup_table("aptos", put(stored=True), by("sex,view"))
    shown = {form: render(found, form) for form in FORMATS}
    assert all("gap" in text for text in shown.values())
    rows = list(csv.DictReader(io.StringIO(shown["csv"])))
    assert [float(rows[0][name]) for name in ("images", "patients", "prevalence")] == [80, 40, 0.5]
    assert float(rows[2]["auroc_p_holm"]) == found.rows[2].cells[2].value
    assert "bigtriangleup" in shown["latex"]
    assert "NaN" not in shown["json"]
    assert json.loads(shown["json"])


def test_several_classes(put, by):
    labels = people().assign(target=GRADES)
    records = put(task="ordinal", metric="recall_macro")
    found = subgroup_table("aptos", records, by("sex", labels), metrics=["recall_macro", "mae"])
    assert found.heads[4] == "classes"
    own = labels["subgroup_sex"] == "F"
    shares = labels["target"][own].value_counts(normalize=True).sort_index()
    assert found.rows[0].heads[4] == "/".join(f"{100 * share:.0f}" for share in shares) + " %"
    assert "classes: shares of a, b, c, in this order" in found.notes
    for k, metric in ((0, sk.recall_score), (3, sk.mean_absolute_error)):
        how = {"average": "macro"} if k == 0 else {}
        values = []
        for record in records:
            test = pd.read_parquet(record.path / PREDICTIONS).query("split == 'test'").reset_index(drop=True)[own]
            called = test[[f"score_{name}" for name in "abc"]].to_numpy().argmax(axis=1)
            values.append(metric(test["target"], called, **how))
        assert found.rows[0].cells[k].value == pytest.approx(np.mean(values), abs=1e-9)
    marks = [found.rows[i].cells[3].mark for i in (0, 1)]
    assert marks == ["▲", "▼"], "the lowest error is the best"
