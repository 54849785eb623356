"""`medbench ls`."""

from __future__ import annotations

import json
import re

import pytest

from medbench import cards


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


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_at_80_columns_names_are_whole_and_the_rest_is_named(medbench, monkeypatch, kind):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    done = medbench("ls", kind)
    assert done.width <= 80
    assert [line.split()[0] for line in done.plain.splitlines()[3:] if line[0] != " "] == cards.names(kind)
    assert re.fullmatch(r"columns not shown at this width: .*\(to see them: .*\)\n", done.err)


def test_a_broken_card_does_not_hide_the_others(medbench, own_cards):
    (own_cards / "datasets" / "broken.yaml").write_text("task: ordinal\nlayuot: {}\n")
    done = medbench("ls", "datasets")
    assert done.status == 2
    assert "\ntoy " in done.out
    assert "broken.yaml:2: layuot: unknown field, did you mean 'layout'?" in done.err


def test_tables_are_the_papers_first_then_the_studies(medbench):
    rows = json.loads(medbench("ls", "tables", "--json").out)
    names = [row["name"] for row in rows]
    papers = [name.partition("/")[0] for name in names[:-1]]
    assert (papers, names[-1]) == (sorted(papers), "ranks/losses")
    assert {"flair/transfer", "wacv2024/table1", "wacv2024/tableB2"} <= set(names)
    assert not [row for row in rows if row["name"].startswith("dataset/")], "nothing was run"


def test_runs_of_a_store(medbench, runs):
    rows = json.loads(medbench("ls", "runs", "--json", "--filter", "toy", "--runs", runs).out)
    assert sorted(row["seed"] for row in rows) == [0, 1, 2]
    assert len(medbench("ls", "runs", "--runs", runs).out.splitlines()) == 4
    assert not json.loads(medbench("ls", "runs", "--json", "--filter", "sam*", "--runs", runs).out)
    assert not json.loads(medbench("ls", "runs", "--json").out), "another store"
    assert "dataset/toy" in medbench("ls", "tables", "--runs", runs).out
