"""Which SYNTHETIC records fill a cell of a paper."""

from __future__ import annotations

import pytest

from medbench import cards
from medbench.papers.cells import CellSpec
from medbench.papers.matching import RecordIndex, alike, draws_nothing, fits, other_split, repeats_of, seeds_there
from medbench.records.groups import collect

from ..records.made import synthetic

CELL = CellSpec("dinov2", "linear-frozen", "aptos", metric="kappa_quadratic", split="paper")


def fill(cell: CellSpec = CELL, include_random: bool = False, **about) -> bool:
    (group,) = collect(synthetic(**about))
    return fits(group, cell, include_random)


def test_records_of_the_cell_fill_it():
    assert fill()
    assert fill(seeds=(7,)), "their number does not matter"
    assert fill(split="grouped", options={"split": "grouped"}), "nor does their split"
    assert fill(CellSpec("dinov2", "linear-frozen", "aptos"), values={"accuracy": [0.5] * 5}), "no metric is asked for"


@pytest.mark.parametrize(
    "about",
    [
        {"model": "dino"},
        {"protocol": "knn"},
        {"dataset": "ddsm"},
        {"preset": "fixed"},
        {"options": {"views": 100}},
        {"toy": True},
        {"values": {"accuracy": [0.5] * 5}},
        {"values": {"kappa_quadratic": [None] * 5}},
        {"weights": "file"},
        {"weights": "random"},
    ],
)
def test_other_records_do_not(about):
    assert not fill(**about)


def test_settings_must_be_those_of_the_cell():
    cell = CellSpec("dinov2", "linear-frozen", "aptos", set={"views": 100, "split": "grouped"})
    assert fill(cell, options={"views": 100})
    assert fill(cell, options={"views": 100, "split": "paper"})
    assert not fill(cell)


def test_random_weights_fill_a_cell_only_if_asked_for():
    assert fill(include_random=True, weights="random")
    assert fill(include_random=True)


def test_the_official_file_counts_by_its_digest():
    digest = cards.find_model("dinov2").weights.sha256
    assert digest
    assert fill(weights="file", material={"weights": (digest + "0" * 64)[:64]})
    assert not fill(weights="file", material={"weights": "0" * 64})
    trained = CellSpec("dinov2@dino-pretrain", "knn", "aptos")
    assert fill(trained, model="dinov2@dino-pretrain", protocol="knn", weights="trained")


@pytest.mark.parametrize(
    ("protocol", "preset", "same"),
    [
        ("linear-probe", "wacv-code", True),  # both presets have the same settings, so the key is the same
        ("linear-probe", "gone", False),
        ("linear-frozen", "wacv-code", False),
        ("no-card", "wacv-code", False),
    ],
)
def test_another_preset_with_the_same_settings_fills_a_cell(protocol, preset, same):
    assert alike("dinov2", protocol, "aptos", preset, "paper") is same
    cell = CellSpec("dinov2", protocol, "aptos", metric="kappa_quadratic")
    assert fill(cell, protocol=protocol, preset=preset) is same


def test_a_preset_is_always_like_itself():
    assert alike("no-card", "no-card", "aptos", "gone", "gone")


def test_records_on_the_papers_split_come_before_more_seeds():
    other = synthetic(split="grouped", options={"split": "grouped"}, seeds=range(7))
    index = RecordIndex(other + synthetic(seeds=(0, 1)))
    match = index.choose(CELL)
    assert match.group.n == 2
    assert match.notes == []
    assert RecordIndex(other).choose(CELL).group.n == 7
    assert seeds_there(index, CELL) == 2
    assert seeds_there(RecordIndex(other), CELL) == 0, "another split does not count"


def test_of_several_groups_the_one_with_most_seeds_is_chosen_and_noted():
    few, many = synthetic(seeds=(0, 1)), synthetic(seeds=(0, 1, 2), material={"precision": "bf16"})
    match = RecordIndex(few + many).choose(CELL)
    assert match.group.n == 3
    (note,) = match.notes
    assert "1 more with the same label" in note


def test_real_weights_come_before_random_ones():
    index = RecordIndex(synthetic(weights="random", seeds=range(9)) + synthetic(seeds=(0,)))
    assert index.choose(CELL, include_random=True).group.n == 1
    assert RecordIndex(synthetic(weights="random")).choose(CELL).group is None


def test_groups_that_do_not_fill_the_cell_are_named_unless_random():
    index = RecordIndex(synthetic(preset="fixed") + synthetic(weights="random") + synthetic(model="sam"))
    match = index.choose(CELL)
    assert match.group is None
    assert [(g.first.unit.model, g.settings) for g in match.others] == [("dinov2", "fixed")]


@pytest.mark.parametrize(
    ("split", "wanted", "other"),
    [
        ("paper", "paper", None),
        ("grouped", "paper", "grouped"),
        ("grouped", None, None),
        (None, "paper", None),
        ("kfold@3", "kfold@{seed}", None),
        ("kfold@2", "kfold@{seed}", "kfold@2"),
    ],
)
def test_the_split_of_records(split, wanted, other):
    (group,) = collect(synthetic(seeds=(3,), split=split))
    assert other_split(group, CellSpec("dinov2", "linear-frozen", "aptos", split=wanted)) == other


def test_a_sweep_has_as_many_seeds_as_its_least_part():
    cell = CellSpec("dinov2", "freeze", "aptos", sweep=("frozen", 3))
    parts = [synthetic(protocol="freeze", options={"frozen": i}, seeds=range(n)) for i, n in ((1, 4), (2, 3))]
    assert seeds_there(RecordIndex(parts[0] + parts[1]), cell) == 3
    assert seeds_there(RecordIndex(parts[0]), cell) == 0


@pytest.mark.parametrize(
    ("protocol", "split", "repeats"),
    [
        ("knn", None, 1),
        ("knn", "paper", 1),
        ("knn", "kfold@{seed}", 5),
        ("linear-frozen", None, 5),
        ("no-card", None, 5),
    ],
)
def test_a_protocol_without_seeds_has_one_unit_on_each_split(protocol, split, repeats):
    cell = CellSpec("dinov2", protocol, "aptos", split=split)
    assert repeats_of(cell) == repeats
    assert draws_nothing(cell) is (repeats == 1)
