"""Tables of one data set from SYNTHETIC records."""

from __future__ import annotations

import csv
import io
import threading
import time

import numpy as np
import pandas as pd
import pytest

from medbench.records.store import PREDICTIONS, read_all, records_of
from medbench.report.tables.dataset_table import RANDOM, dataset_table, write_dataset_tables
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
    ends = ("mean", "std", "n", "low", "high")
    assert list(frame)[:8] == ["model", "protocol", *(f"kappa_quadratic_{end}" for end in ends), "preset"]
    assert sorted(frame) == sorted(made.flat()[0])
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
    assert "recall_macro computed without DF (absent from test)" in text
    assert "test images differ" in text
    assert "dino · linear-frozen (paper): split paper, 540 images" in text


def test_two_data_sets_of_one_name_stand_apart(synthetic):
    """Each has a section, its own best and its own primary metric; the one with most rows comes first."""
    eye = {"data": "e" * 64, "dataset": {"task": "binary", "classes": ["no", "yes"]}}
    skin = {"data": "5" * 64, "dataset": {"task": "multiclass", "classes": ["a", "b", "c"]}}
    records = [
        record
        for model, about, value in (("a", eye, 0.9), ("b", eye, 0.8), ("c", eye, 0.7))
        for record in synthetic(
            model, dataset="labels", values={"auroc": [value]}, seeds=(0,), material=about, images=20
        )
    ]
    for model, value in (("a", 0.3), ("b", 0.4)):
        values = {"recall_macro": [value], "auroc": [0.99]}
        records += synthetic(model, dataset="labels", values=values, seeds=(0,), material=skin, images=30)
    made = dataset_table("labels", records)
    assert [(row.section, row.heads[0], row.about["data"]) for row in made.rows] == [
        *(("data eeeeeeee: 20 test images, 2 classes, by auroc", name, "eeeeeeee") for name in "abc"),
        *(("data 55555555: 30 test images, 2 classes, by recall_macro", name, "55555555") for name in "ba"),
    ]
    assert [[cell.rank for cell in row.cells] for row in made.rows] == [
        ["best", ""],
        ["second", ""],
        ["", ""],
        ["best", "best"],
        ["best", ""],
    ]
    assert any(note.startswith("runs named labels used 2 different data sets ") for note in made.notes)
    assert "rows of different sections are not comparable" in render(made, "md")


def test_intervals_are_those_of_each_sections_metric(synthetic, save, tmp_path):
    """Two and three classes under one name, with predictions: no metric is asked of the other's scores."""
    for data, classes, metric in (("e", 2, "auroc"), ("5", 3, "recall_macro")):
        truth = np.arange(30) % classes
        about = {"data": data * 64, "dataset": {"task": "t", "classes": list(range(classes))}}
        for model in ("a", "b"):
            made = synthetic(model, dataset="labels", values={metric: [0.7]}, seeds=(0,), material=about)
            save(tmp_path, made)
            scores = np.random.default_rng(classes).dirichlet(np.ones(classes), 30)
            frame = pd.DataFrame({"id": range(30), "group": range(30), "split": "test", "target": truth})
            frame[[f"score_{k}" for k in range(classes)]] = scores
            path = next(r.path for r in read_all(tmp_path) if r.key == made[0].key)
            frame.to_parquet(path / PREDICTIONS)
    found = dataset_table("labels", read_all(tmp_path), intervals=True)
    assert [[cell.low is not None for cell in row.cells] for row in found.rows] == [[True, False]] * 2 + [
        [False, True]
    ] * 2


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

    def slowly(*where):
        found = records_of(*where)
        time.sleep(next(delays))
        return found

    monkeypatch.setattr("medbench.report.tables.dataset_table.records_of", slowly)

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


def few(synthetic, model, shots, score, protocol="few-shot", **options):
    values = {"kappa_quadratic": [score], "log_loss": [1 - score]}
    return synthetic(model, protocol, values=values, seeds=(0,), options={"shots": shots, **options})


def test_shots_stand_together_and_are_ranked_apart(synthetic):
    """Twenty samples beat one whatever the model: each number of shots has its own best."""
    records = [
        record
        for model, scores in (("a", (0.1, 0.4, 0.5, 0.7)), ("b", (0.2, 0.3, 0.9, 0.6)))
        for shots, score in zip((1, 2, 20, "all"), scores, strict=True)
        for record in few(synthetic, model, shots, score)
    ]
    for protocol, score in (("linear-probe", 0.65), ("zero-shot", 0.95)):
        records += synthetic("a", protocol, values={"kappa_quadratic": [score], "log_loss": [0.5]}, seeds=(0,))
    made = dataset_table("aptos", records[::-1])
    assert made.heads == ("model", "protocol", "shots", "settings", "weights", "seeds")
    assert [(*row.heads[:4], row.cells[0].rank) for row in made.rows] == [
        ("a", "zero-shot", "0", "paper", ""),
        ("b", "few-shot", "1", "paper", "best"),
        ("b", "few-shot", "2", "paper", ""),
        ("b", "few-shot", "20", "paper", "best"),
        ("b", "few-shot", "all", "paper", ""),
        ("a", "few-shot", "1", "paper", ""),
        ("a", "few-shot", "2", "paper", "best"),
        ("a", "few-shot", "20", "paper", ""),
        ("a", "few-shot", "all", "paper", "best"),
        ("a", "linear-probe", "", "paper", "second"),
    ]
    assert [row.about["shots"] for row in made.rows[:3]] == ["0", "1", "2"]
    assert made.rows[1].about["options"] == "shots=1", "what compare and run take"
    assert "the best of its column among equal shots" in render(made, "text")
    assert "shots" not in dataset_table("aptos", synthetic()).heads


def test_other_settings_are_other_rows_of_shots(synthetic):
    records = few(synthetic, "a", 10, 0.5) + few(synthetic, "a", 2, 0.4)
    records += few(synthetic, "a", 10, 0.6, val="none") + few(synthetic, "a", 2, 0.3, val="none")
    assert [row.heads[2:4] for row in dataset_table("aptos", records).rows] == [
        ("2", "paper; val=none"),
        ("10", "paper; val=none"),
        ("2", "paper"),
        ("10", "paper"),
    ]


def test_a_warning_names_a_models_shots_once(synthetic):
    records = [r for shots in (10, 2) for r in few(synthetic, "a", shots, 0.5)]
    for record in records:
        record.warnings.append("edge of the grid")
    notes = dataset_table("aptos", records).notes
    assert "a · few-shot (paper), shots 2, 10: edge of the grid" in notes


def test_warnings_that_differ_in_numbers_alone_are_one_note(synthetic):
    """Each draw of few shots has its own C and its own validation set: fifty lines that say the same tell nothing."""
    records = [r for shots in (10, 2) for r in few(synthetic, "a", shots, 0.5)] + few(synthetic, "b2", 5, 0.4)
    texts = "C 0.001 leads by 0.01 on 4 images", "C 3.16 leads by 1e-05 on 15 images (1 of 5 seeds)", "b2 is not b3"
    for record, text in zip(records, texts, strict=True):
        record.warnings.append(text)
    notes = dataset_table("aptos", records).notes
    assert (
        "a · few-shot (paper), shots 2, 10: C 3.16 leads by 1e-05 on 15 images (1 of 5 seeds)"
        " (and 1 more with other numbers)" in notes
    )
    assert "b2 · few-shot (paper), shots 5: b2 is not b3" in notes


def test_costs_stand_beside_the_metric_where_records_say_what_was_trained(synthetic) -> None:
    plain, trained = synthetic(model="dino", seeds=(0, 1)), synthetic(model="sam", seeds=(0, 1))
    assert "trained" not in dataset_table("aptos", plain, costs=True).heads, "older records do not say"
    for record, seconds in zip(trained, (40.0, 25.0), strict=True):  # two jobs: the second seed was added later
        record.counts["trainable_parameters"] = 12345.0
        record.timings.update({"prepare": 7.0, "extract": 5.0, "protocol": seconds})
    for record in plain:
        record.timings.clear()
    records = plain + trained
    assert "trained" not in dataset_table("aptos", records).heads, "tables that runs write hold no times"
    made = dataset_table("aptos", records, costs=True)
    assert made.heads[-2:] == ("trained", "seconds")
    rows = {row.heads[0]: row for row in made.rows}
    assert rows["sam"].heads[-2:] == ("12345", "75.0")
    assert rows["dino"].heads[-2:] == ("", "")
    assert rows["sam"].about["trained_parameters"] == "12345"
    assert "trained: number of trained parameters" in made.notes[-1]
