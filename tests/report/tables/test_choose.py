"""Columns and rows that are asked for, from one SYNTHETIC table."""

from __future__ import annotations

import csv
import io

import pytest

from medbench.errors import MedbenchError
from medbench.report.tables.choose import chosen
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.render import render


@pytest.fixture
def table(synthetic):
    records = []
    for model, settings, (kappa, loss) in (
        ("m10", {}, (0.9, 0.5)),
        ("m2", {"k": 5}, (0.8, 0.1)),
        ("m1", {}, (0.7, 0.9)),
    ):
        values = {"kappa_quadratic": [kappa], "accuracy": [1 - kappa], "log_loss": [loss]}
        records += synthetic(model, seeds=(0,), values=values, options=settings)
    return dataset_table("aptos", records)


def names(table):
    return [*table.heads, *(column.id for column in table.columns)]


def test_metrics_in_the_order_asked_for(table):
    found = chosen(table, metrics=["log_loss", "KAPPA_quadratic"])
    assert names(found) == ["model", "protocol", "settings", "weights", "seeds", "log_loss", "kappa_quadratic"]
    assert [cell.value for cell in found.rows[0].cells] == [0.5, 0.9]
    assert found.rows[0].cells[1].rank == "best", "ranks are those of the whole table"
    head = render(found, "csv").splitlines()[0].split(",")
    assert "log_loss_mean" in head
    assert "accuracy_mean" not in head
    assert "accuracy" not in render(found, "latex")


def test_columns_of_texts_and_numbers(table):
    assert names(chosen(table, columns=["model", "accuracy"])) == ["model", "accuracy"]
    assert names(chosen(table, ["accuracy"], ["seeds", "model"])) == ["seeds", "model", "accuracy"]
    found = chosen(table, columns=["Model", "settings"])
    assert names(found) == ["model", "settings", "kappa_quadratic", "accuracy", "log_loss"]
    rows = list(csv.DictReader(io.StringIO(render(found, "csv"))))
    assert [name for name in rows[0] if "_" not in name] == ["model", "preset", "options"]


@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("accuracy", ["m1", "m2", "m10"]),
        ("-accuracy", ["m10", "m2", "m1"]),
        ("log_loss", ["m2", "m10", "m1"]),  # lower is better
        ("model", ["m1", "m2", "m10"]),  # 2 comes before 10
        ("-model", ["m10", "m2", "m1"]),
        ("", ["m10", "m2", "m1"]),
    ],
)
def test_rows_are_sorted_the_best_first(table, by, order):
    assert [row.heads[0] for row in chosen(table, sort=by).rows] == order


@pytest.mark.parametrize("how", [{"metrics": ["acuracy"]}, {"columns": ["acuracy"]}, {"sort": "acuracy"}])
def test_an_unknown_column_names_those_there_are(table, how):
    with pytest.raises(MedbenchError, match=r"unknown (metric|column) 'acuracy'") as error:
        chosen(table, **how)
    assert "accuracy" in str(error.value) + str(error.value.hint)
