"""The commands that fill the cells of a paper."""

from __future__ import annotations

import pytest

from medbench.papers.cells import CellSpec, wanted_of
from medbench.papers.commands import Commands


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.mark.parametrize(
    ("cell", "command"),
    [
        (CellSpec("dino", "knn", "aptos"), "--model dino --protocol knn --dataset aptos"),
        (
            CellSpec("dino", "knn", "aptos", preset="fixed"),
            "--model dino --protocol knn --dataset aptos --preset fixed",
        ),
        (CellSpec("dino", "knn", "aptos", seeds=3), "--model dino --protocol knn --dataset aptos --seeds 3"),
        (CellSpec("dino", "knn", "aptos", seeds=1), "--model dino --protocol knn --dataset aptos"),
        (
            CellSpec("dino@linear-frozen", "knn", "aptos", set={"k": 7, "text": "a b"}),
            "--model dino@linear-frozen --protocol knn --dataset aptos --set k=7 --set 'text=a b'",
        ),
        (CellSpec("dino", "knn", "aptos", split="paper"), "--model dino --protocol knn --dataset aptos"),
        (
            CellSpec("dino", "knn", "aptos", split="grouped", set={"lr": [1e-4]}),
            "--model dino --protocol knn --dataset aptos --set 'lr=[0.0001]' --set split=grouped",
        ),
    ],
)
def test_the_command_of_one_cell(commands, cell, command):
    assert commands.cell(cell) == f"medbench run {command}"


def test_a_cell_without_its_cards_has_no_command(commands):
    assert commands.cell(CellSpec("nobody", "knn", "aptos")) is None


def test_what_no_run_can_fill_is_said_and_not_asked_for(commands):
    """A model without weights runs with random ones alone, which fill no cell."""
    toy = CellSpec("toy-vit", "knn", "aptos")
    assert commands.cell(toy) is None
    assert commands.table("mini/t1", [toy]) == []
    assert commands.lacking([toy], [toy, CellSpec("dino", "knn", "aptos")]) == [
        "without weights, so their results are shown only with --random: toy-vit"
    ]
    assert commands.lacking([toy], []) == [], "--random shows it"


def test_the_commands_of_a_table_are_one_for_all_and_one_per_recipe(commands, paper):
    assert commands.table("mini/t1", wanted_of(paper, ["t1"])) == [
        "medbench table mini/t1 --fill",
        "medbench run --model dino --protocol linear-frozen --dataset aptos --seeds 2 --set split=grouped",
        "medbench run --model dino --protocol linear-frozen --dataset ddsm --seeds 2",
        "medbench run --model dino --protocol knn --dataset aptos,ddsm --seeds 3 --set k=7 --set split=stratified",
    ]
    assert commands.table("mini/t1", []) == []
    assert commands.table("mini/t1", [CellSpec("nobody", "knn", "aptos")]) == []


def test_the_note_on_missing_cards_names_each_once(commands):
    cells = [CellSpec("nobody", "kmm", "aptos"), CellSpec("nobody", "knn", "aptos"), CellSpec("dino", "knn", "aptos")]
    (note,) = commands.lacking(cells, cells)
    assert note.endswith(": models nobody; protocols kmm")
    assert commands.lacking(cells[2:], cells[2:]) == []


def test_a_data_set_without_a_card_keeps_the_papers_split(commands):
    assert commands.changes(CellSpec("dino", "knn", "nothing", split="official")) == {}
    assert commands.changes(CellSpec("dino", "knn", "aptos", split="official", set={"k": 1})) == {
        "k": 1,
        "split": "official",
    }
