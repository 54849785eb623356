"""What a split does wrong is said by every run, by name, and marks the row."""

from __future__ import annotations

from pathlib import Path

import pytest

import medbench
from medbench.data.checks.check import check
from medbench.records.groups import FLAW, FLAW_MARK
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.render import render

pytestmark = pytest.mark.usefixtures("one_thread")

PATIENTS = "12 groups are in more than one split: P00, P01, P02 and 9 more; --set split=grouped keeps them together"
CLASS = "train has no image of class malignant"
SHORT = {"knn": {"k": 3}, "linear-frozen": {"epochs": 1, "views": 0, "learning_rates": [0.1]}, "linear-probe": {}}


@pytest.mark.parametrize(
    ("case", "protocol", "warning", "found"),
    [
        ("patients-cut-unsaid", "knn", f"leak: {PATIENTS}", PATIENTS),
        *(("train-lacks-class", name, f"missing class: {CLASS}", CLASS) for name in SHORT),
    ],
)
def test_the_run_says_what_the_check_knows(shared: Path, case: str, protocol: str, warning: str, found: str) -> None:
    labels = str(shared / "cases" / case / "labels.csv")
    records = medbench.run("toy-cnn", protocol, labels, seeds=1, set=SHORT[protocol], device="cpu", weights="random")
    assert warning in records[0].warnings
    assert not any("counted from 0" in text for text in records[0].warnings)
    table = dataset_table(records[0].unit.dataset, records, include_random=True)
    assert FLAW_MARK in table.rows[0].cells[0].mark
    assert FLAW in table.notes
    assert f"toy-cnn · {protocol}" in render(table, "md")
    assert found in [finding.text for finding in check(labels, images=False).findings if finding.severity == "warning"]
