"""The record of a finished unit."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from medbench.records import Record, Unit

from .made import synthetic


def test_a_record_survives_json_without_a_change():
    (record,) = synthetic(seeds=(3,), values={"auroc": [1 / 3], "ap": [None]}, chosen={"k": 5}, warnings=["ä"])
    again = Record.model_validate_json(record.model_dump_json())
    assert again == record
    assert again.metrics == {"auroc": 1 / 3, "ap": None}


def test_the_score_is_the_primary_metric():
    (record,) = synthetic(seeds=(0,), values={"auroc": [0.75], "ap": [0.5]})
    assert record.score == 0.75
    assert record.model_copy(update={"metric": "f1_macro"}).score is None


def test_a_record_prints_as_one_line():
    (record,) = synthetic(seeds=(3,), values={"auroc": [0.75]}, options={"k": 5}, weights="random", toy=True)
    unit = record.unit
    where = f"{unit.model} · {unit.protocol} · {unit.dataset} · seed 3"
    assert repr(record) == str(record) == f"<Record {where}: auroc 0.7500 (paper, k=5, random weights, toy data)>"
    assert "auroc undefined" in repr(record.model_copy(update={"metrics": {"auroc": None}}))


def test_a_record_knows_no_folder_until_it_is_read_or_written():
    assert synthetic(seeds=(0,))[0].path is None


def test_unknown_and_missing_fields_are_errors():
    (record,) = synthetic(seeds=(0,))
    content = record.model_dump()
    with pytest.raises(ValidationError, match="Extra inputs"):
        Record.model_validate({**content, "score": 1})
    del content["metrics"]
    with pytest.raises(ValidationError, match="metrics"):
        Record.model_validate(content)


def test_a_unit_is_fixed_and_its_weights_are_of_four_kinds():
    unit = Unit(model="m", protocol="knn", dataset="toy", preset="paper", seed=0)
    assert (unit.weights, unit.options, unit.toy) == ("official", {}, False)
    with pytest.raises(ValidationError, match="frozen"):
        unit.seed = 1
    with pytest.raises(ValidationError, match="weights"):
        Unit(**{**unit.model_dump(), "weights": "stolen"})
