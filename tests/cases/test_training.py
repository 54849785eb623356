"""Choices where validation cannot tell: never the first candidate without a word."""

from __future__ import annotations

import pytest

import medbench

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "linear-frozen": {"epochs": 5, "views": 2},
    "linear-unfrozen": {"epochs": 2, "learning_rates": [1e-4, 1e-3], "views": 1},
    "linear-probe": {"C": [0.01, 0.1, 1.0]},
    "knn": {"k": "auto"},
}


@pytest.mark.parametrize("protocol", SMALL)
def test_log_loss_chooses_where_validation_holds_one_class(shared, protocol: str) -> None:
    labels = shared / "cases" / "undefined-validation" / "labels.csv"
    (record,) = medbench.run(
        "toy-cnn", protocol, str(labels), seeds=1, set=SMALL[protocol], device="cpu", weights="random", image_size=32
    )
    assert any("auroc cannot be used to choose" in text and "log loss" in text for text in record.warnings)
    assert not any("wider grid" in text for text in record.warnings)
    listed = record.selection["candidates"]
    values = [one["val"] if "val" in one else one["mean"] for one in listed]
    assert min(values) == pytest.approx(record.chosen["val"])
