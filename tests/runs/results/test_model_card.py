"""The model card of kept weights, read back as the hub reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from ..conftest import QUICK, train

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_card_holds_the_records_test_metrics_and_its_origin(data: Path) -> None:
    [record] = train(data, "linear-unfrozen", seeds=1, changes=QUICK, keep_weights=True)
    assert record.path
    text = (record.path / "README.md").read_text(encoding="utf-8")
    card = ModelCard(text)
    assert card.data.library_name == "medbench"
    assert card.data.license_name == "unknown"
    assert {one.metric_type: one.metric_value for one in card.data.eval_results} == {
        name: value for name, value in record.metrics.items() if value is not None
    }
    assert card.data.eval_results[0].metric_type == record.metric
    assert {(one.dataset_type, one.dataset_split) for one in card.data.eval_results} == {(record.unit.dataset, "test")}
    assert f"- key: {record.key}\n" in text
    assert f"- digest of the data: {record.provenance['data']['digest']}\n" in text
    assert "a sanity check, not a result" in text, "training started from random weights"
    assert all(f"- {warning}\n" in text for warning in record.warnings)


def test_runs_that_keep_no_weights_have_no_card(data: Path) -> None:
    [record] = train(data, "linear-unfrozen", seeds=1, changes=QUICK)
    assert record.path
    assert not (record.path / "README.md").exists()
