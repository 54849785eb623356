"""The rows that `medbench ls` lists."""

from __future__ import annotations

from medbench.cli import listing


def test_filter_on_runs_looks_at_dataset_model_and_protocol():
    row = {"dataset": "toy", "model": "dinov2-small", "protocol": "knn", "score": None}
    assert listing.matches(row, "dinov2*")
    assert listing.matches(row, "k?n")
    assert listing.matches(row, "dino")
    assert listing.matches(row, "")
    assert not listing.matches(row, "sam*")
    assert not listing.matches(row, "None"), "an empty cell has no text"


def test_tables_of_a_store_come_after_those_of_papers(runs):
    rows = listing.table_rows(runs)
    assert rows[-1] == {"name": "dataset/toy", "title": "all results on toy"}
    assert all(row["title"] for row in rows)
    assert rows[:-1] == listing.table_rows()


def test_errors_of_cards_come_with_the_rows_of_the_others(own_cards):
    (own_cards / "protocols" / "broken.yaml").write_text("kind: knn\ndefualts: {}\n")
    rows, errors = listing.listed("protocols")
    assert "knn" in [row["name"] for row in rows]
    assert [error.split(": ", 1)[1] for error in errors if "defualts" in error] == [
        "defualts: unknown field, did you mean 'defaults'?"
    ]


def test_a_run_is_a_row_with_its_score_and_folder(runs):
    rows, errors = listing.listed("runs", runs)
    assert not errors
    assert [(row["model"], row["seed"], row["metric"], row["score"]) for row in rows] == [
        ("m", row["seed"], "accuracy", {0: 0.5, 1: 0.7, 2: None}[row["seed"]]) for row in rows
    ]
    assert all(row["path"].startswith(str(runs)) for row in rows)
