"""Tables of one data set from SYNTHETIC records."""

from __future__ import annotations

import csv
import io
import json
import threading
import time

import pytest

from medbench.errors import MedbenchError
from medbench.records.groups import SEEN, SEEN_MARK
from medbench.report.tables.dataset_table import RANDOM, dataset_table, write_dataset_tables
from medbench.report.tables.lookup import list_tables, table
from medbench.report.tables.marks import SPLIT_MARK
from medbench.report.tables.render import render


def test_rows_columns_and_numbers(synthetic):
    better = synthetic(model="dino", values={"kappa_quadratic": [0.9, 0.92], "log_loss": [0.2, 0.3]}, seeds=(0, 1))
    made = dataset_table("aptos", synthetic() + better + synthetic(dataset="ddsm"))
    assert [column.id for column in made.columns] == ["kappa_quadratic", "log_loss"]
    assert made.columns[1].title == "log_loss ↓"
    assert [row.heads for row in made.rows] == [
        ("dino", "linear-frozen", "paper", "official", "2"),
        ("dinov2", "linear-frozen", "paper", "official", "5"),
    ]
    assert made.rows[0].cells[0].text == "0.910 ± 0.014"
    assert made.rows[1].cells[0].text == "0.820 ± 0.016"
    frame = made.frame()
    assert frame["kappa_quadratic_mean"].tolist() == pytest.approx([0.91, 0.82])
    assert frame["kappa_quadratic_std"].tolist() == pytest.approx([0.0002**0.5, 0.00025**0.5])
    assert frame["kappa_quadratic_n"].tolist() == [2, 5]


def test_lower_is_better_sorts_upwards(synthetic):
    low, high = (synthetic(model=m, values={"log_loss": [v]}, seeds=(0,)) for m, v in (("a", 0.9), ("b", 0.1)))
    assert [row.heads[0] for row in dataset_table("aptos", low + high).rows] == ["b", "a"]


def test_the_primary_metric_comes_first_then_the_registry(synthetic):
    values = {name: [0.5] for name in ("mcc", "own_metric", "kappa_quadratic", "accuracy")}
    made = dataset_table("aptos", synthetic(values=values, seeds=(0,)))
    assert [column.id for column in made.columns] == ["mcc", "accuracy", "kappa_quadratic", "own_metric"]


def test_random_weights_stay_out_unless_asked(synthetic):
    records = synthetic() + synthetic(weights="random", values={"kappa_quadratic": [0.99] * 5, "log_loss": [0.0] * 5})
    made = dataset_table("aptos", records)
    assert [row.heads[3] for row in made.rows] == ["official"]
    assert any("1 row with random weights left out" in note for note in made.notes)
    made = dataset_table("aptos", records, include_random=True)
    assert [(row.heads[3], row.section) for row in made.rows] == [("official", ""), ("random", RANDOM)]
    assert f"### {RANDOM}" in render(made, "md")


def test_toy_data_are_named(synthetic):
    assert "TOY DATA" in dataset_table("toy", synthetic(dataset="toy", toy=True)).title
    assert "TOY" not in dataset_table("aptos", synthetic()).title


def test_notes(synthetic):
    warned = synthetic(warnings=["edge of the grid", "toy data: generated"], absent={"recall_macro": ["DF"]})
    made = dataset_table("aptos", warned + synthetic(model="dino", images=540, seeds=(0,)))
    text = "\n".join(made.notes)
    assert "dinov2 · linear-frozen (paper): edge of the grid" in text
    assert "toy data" not in text  # the title says so
    assert "recall_macro leave out DF (absent from test)" in text
    assert "test images differ" in text
    assert "dino · linear-frozen (paper): split paper, 540 images" in text


def test_fewer_defined_values_than_seeds_show(synthetic):
    made = dataset_table("aptos", synthetic(seeds=(0, 1, 2), values={"auroc": [0.5, None, 0.7]}))
    assert made.rows[0].cells[0].text == "0.600 ± 0.141 n=2"


def test_written_files(synthetic, save, tmp_path):
    runs, tables = tmp_path / "runs", tmp_path / "tables"
    save(runs, synthetic() + synthetic(weights="random") + synthetic(model="dino", dataset="ddsm"))
    written = write_dataset_tables(runs, tables, "aptos")
    assert [path.name for path in written] == ["aptos.md", "aptos.csv"]
    before = [path.read_bytes() for path in written]
    rows = list(csv.DictReader(io.StringIO(before[1].decode())))
    assert [row["weights"] for row in rows] == ["official", "random"]
    assert float(rows[0]["kappa_quadratic_mean"]) == pytest.approx(0.82)
    assert rows[0]["kappa_quadratic_n"] == "5"
    assert rows[0]["seeds"] == "0 1 2 3 4"
    assert "0.820 ± 0.016" in before[0].decode()
    assert "ddsm" not in before[0].decode()
    write_dataset_tables(runs, tables, "aptos")
    assert [path.read_bytes() for path in written] == before
    assert {path.name for path in tables.iterdir()} <= {"aptos.md", "aptos.csv", ".aptos.lock"}


def test_writers_at_once_lose_no_row(synthetic, save, tmp_path, monkeypatch):
    """Each saves its record, then writes the table, early readers slowly: whoever is last must have seen all."""
    models = [f"m{i}" for i in range(6)]
    delays = iter([0.3, 0.2, 0.1, 0.05, 0, 0])
    read = dataset_table.records_of

    def slowly(*where):
        found = read(*where)
        time.sleep(next(delays))
        return found

    monkeypatch.setattr(dataset_table, "records_of", slowly)

    def work(model):
        save(tmp_path / "runs", synthetic(model=model, seeds=(0,)))
        write_dataset_tables(tmp_path / "runs", tmp_path / "tables", "aptos")

    threads = [threading.Thread(target=work, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "tables/aptos.csv").read_text())))
    assert sorted(row["model"] for row in rows) == models


def test_by_name(synthetic, save, tmp_path, shipped):
    runs = tmp_path / "runs"
    save(runs, synthetic())
    (runs / "empty" / "m").mkdir(parents=True)
    names = list_tables(runs)
    assert names[:4] == ["flair/transfer", "wacv2024/table1", "wacv2024/table2", "wacv2024/table3"]
    assert [name for name in names if name.startswith("dataset/")] == ["dataset/aptos"]
    assert table("dataset/aptos", runs).rows[0].heads[0] == "dinov2"
    for wrong in ("dataset/aptoss", "wacv2024/tabel1", "wacv2024", "dataset/../aptos", "dataset/*"):
        with pytest.raises(MedbenchError, match="unknown table"):
            table(wrong, runs)
    with pytest.raises(MedbenchError) as caught:
        table("wacv2024/tabel1", runs)
    assert "wacv2024/table1" in caught.value.hint


def test_nothing_run_says_how(tmp_path, shipped):
    with pytest.raises(MedbenchError, match="nothing has been run on 'toy'") as caught:
        table("dataset/toy", tmp_path / "none")
    assert "medbench run" in caught.value.hint


def test_broken_record_is_passed_over(synthetic, save, tmp_path):
    save(tmp_path, synthetic(seeds=(0, 1)))
    bad = next(tmp_path.glob("*/*/*/*/record.json"))
    bad.write_text(json.dumps({"schema_version": 99}))
    assert table("dataset/aptos", tmp_path).rows[0].heads[-1] == "1"


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


SEEN_IT = "contamination: flair was pre-trained on aptos"


def test_a_model_that_has_seen_the_data_is_marked(synthetic):
    made = dataset_table("aptos", synthetic() + synthetic(model="flair", warnings=[SEEN_IT]))
    marks = {row.heads[0]: {cell.mark for cell in row.cells} for row in made.rows}
    assert marks == {"dinov2": {""}, "flair": {SEEN_MARK}}
    assert f"0.820 ± 0.016{SEEN_MARK}" in render(made, "md")
    assert SEEN in made.notes
    assert SEEN not in dataset_table("aptos", synthetic()).notes
