"""Marks of the best, the second and of ties, and their legend."""

from __future__ import annotations

import dataclasses

from medbench.records.groups import SEEN, SEEN_MARK, collect
from medbench.records.store import PREDICTIONS, records_of
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.marks import SPLIT_MARK, Words, interval, legend, ranked, stored
from medbench.report.tables.render import render
from medbench.report.tables.table import Cell, Column, Row, Table

SEEN_IT = "contamination: flair was pre-trained on aptos"


def test_the_best_and_the_second_of_each_column_are_marked(synthetic):
    def of(model, kappa, loss, **more):
        return synthetic(
            model=model, values={"kappa_quadratic": [kappa] * 2, "log_loss": [loss] * 2}, seeds=(0, 1), **more
        )

    records = of("a", 0.9, 0.3) + of("b", 0.8, 0.1) + of("c", 0.7, 0.2)
    out = of("d", 0.99, 0.0, weights="random") + of("e", 0.98, 0.0, warnings=[SEEN_IT]) + of("f", 0.97, 0.0, images=9)
    made = dataset_table("aptos", records + out, include_random=True)
    ranks = {row.heads[0]: [cell.rank for cell in row.cells] for row in made.rows}
    assert ranks == {
        "a": ["best", ""],
        "b": ["second", "best"],  # a low loss is better
        "c": ["", "second"],
        "d": ["", ""],
        "e": ["", ""],
        "f": ["", ""],
    }
    assert "**0.900 ± 0.000**" in render(made, "md")
    assert "0.900 ± 0.000¹" in render(made, "text")
    assert "(rows with ‡ or § or random weights left out)" in made.ranking
    assert {row.heads[0]: row.cells[0].mark for row in made.rows}["f"] == SPLIT_MARK


def test_one_row_is_not_the_best_of_one(synthetic):
    made = dataset_table("aptos", synthetic())
    assert {cell.rank for row in made.rows for cell in row.cells} == {""}
    two = dataset_table(
        "aptos", synthetic() + synthetic(model="dino", values={"kappa_quadratic": [0.1], "log_loss": [1]}, seeds=(0,))
    )
    assert [row.cells[0].rank for row in two.rows] == ["best", ""], "of two, the other is not the second best"


def test_what_prints_alike_ranks_alike(synthetic):
    records = [
        synthetic(model=m, values={"kappa_quadratic": [v]}, seeds=(0,))
        for m, v in zip("abc", (0.80041, 0.80039, 0.79), strict=True)
    ]
    made = dataset_table("aptos", [record for group in records for record in group])
    assert [row.cells[0].rank for row in made.rows] == ["best", "best", "second"]


def test_a_model_that_has_seen_the_data_is_marked(synthetic):
    made = dataset_table("aptos", synthetic() + synthetic(model="flair", warnings=[SEEN_IT]))
    marks = {row.heads[0]: {cell.mark for cell in row.cells} for row in made.rows}
    assert marks == {"dinov2": {""}, "flair": {SEEN_MARK}}
    assert f"0.820 ± 0.016{SEEN_MARK}" in render(made, "md")
    assert SEEN in made.notes
    assert SEEN not in dataset_table("aptos", synthetic()).notes


def test_a_legend_explains_only_what_is_there(made):
    for form in ("text", "md", "latex", "html"):
        out = render(made, form)
        assert "the best of" not in out
        assert "95 % interval" not in out


def test_cells_that_do_not_compare_have_no_rank() -> None:
    cells = [Cell(0.9, mark="†"), Cell(0.8), Cell(None), Cell(0.7), Cell(0.6, mark=SPLIT_MARK), Cell(0.5)]
    found = ranked(cells, [None] * len(cells), "accuracy")
    assert [cell.rank for cell in found] == ["", "best", "", "second", "", ""]
    assert [cell.rank for cell in ranked(cells, [None] * len(cells), "log_loss")] == ["", "", "", "second", "", "best"]
    assert ranked(cells, [None] * len(cells), "a metric of one's own") == cells


def test_a_legend_names_what_the_table_shows() -> None:
    cells = (Cell(0.9, rank="best", low=0.8, high=1.0), Cell(0.8, tied=True))
    rows = tuple(Row((f"r{i}",), (cell,)) for i, cell in enumerate(cells))
    table = Table("t", "title", ("head",), (Column("c", "c", "accuracy", ""),), rows, ranking="its column")
    best, tie = legend(table, Words("bold", "underlined"))
    assert best == "bold: the best of its column, as printed", "there is no second"
    assert tie.startswith("≈ not distinguishable from the best")
    with_intervals = dataclasses.replace(table, intervals=True)
    assert legend(with_intervals, Words("bold", "underlined"))[-1] == "in brackets: 95 % interval"


def test_without_stored_predictions_there_is_no_interval(synthetic, save, tmp_path) -> None:
    save(tmp_path, synthetic(seeds=(0, 1)))
    (group,) = collect(records_of(tmp_path, "aptos"))
    assert not stored(group)
    assert interval(group, "kappa_quadratic") == interval(None, "kappa_quadratic") == (None, None)
    for record in group.records:
        (record.path / PREDICTIONS).touch()
    assert stored(group)
    assert interval(group, "a metric of one's own") == (None, None)
