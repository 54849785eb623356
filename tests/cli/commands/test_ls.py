"""`medbench ls`."""

from __future__ import annotations

import json

import pytest

from medbench import cards
from medbench.cli.commands import ls


@pytest.mark.parametrize("kind", ["models", "protocols", "datasets"])
def test_lists_every_card(medbench, kind):
    done = medbench("ls", kind)
    assert done.status == 0
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == cards.names(kind)


def test_json_is_the_same_rows(medbench):
    rows = json.loads(medbench("ls", "datasets", "--json").out)
    toy = next(row for row in rows if row["name"] == "toy")
    assert (toy["task"], toy["classes"], toy["images"], toy["access"]) == ("ordinal", 5, 600, "generated")


@pytest.mark.parametrize(
    ("select", "names"),
    [
        ("toy-b*", ["toy-binary"]),
        ("TOY-B*", ["toy-binary"]),
        ("*-binary", ["toy-binary"]),
        ("drawn", ["toy", "toy-binary", "toy-multiclass", "toy-multilabel"]),
        ("no such thing", []),
    ],
)
def test_filter_is_a_glob_on_names_or_any_text(medbench, select, names):
    rows = json.loads(medbench("ls", "datasets", "--json", "--filter", select).out)
    assert [row["name"] for row in rows] == names


def test_filter_on_runs_looks_at_dataset_model_and_protocol():
    row = {"dataset": "toy", "model": "dinov2-small", "protocol": "knn", "score": None}
    assert ls.matches(row, "dinov2*")
    assert ls.matches(row, "k?n")
    assert ls.matches(row, "dino")
    assert not ls.matches(row, "sam*")


def test_a_broken_card_does_not_hide_the_others(medbench, own_cards):
    (own_cards / "datasets" / "broken.yaml").write_text("task: ordinal\nlayuot: {}\n")
    done = medbench("ls", "datasets")
    assert done.status == 2
    assert "\ntoy " in done.out
    assert "broken.yaml:2: layuot: unknown field, did you mean 'layout'?" in done.err


def test_tables_are_the_papers_first(medbench):
    rows = json.loads(medbench("ls", "tables", "--json").out)
    names = [row["name"] for row in rows]
    assert names == sorted(names)
    assert {"flair/transfer", "wacv2024/table1", "wacv2024/tableB2"} <= set(names)
    assert not [row for row in rows if row["name"].startswith("dataset/")], "nothing was run"
