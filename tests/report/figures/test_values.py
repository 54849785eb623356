"""Which SYNTHETIC records a value comes from, and what the small print says of them."""

from __future__ import annotations

import numpy as np
import pytest

from medbench import cards
from medbench.records import store
from medbench.records.groups import SEEN_MARK
from medbench.report.figures.draw import figure_data, paper_figure
from medbench.report.figures.values import Values, relative
from medbench.report.tables.marks import RANDOM_MARK, SPLIT_MARK

from ..made import METRIC

CELL = {"model": "dinov2", "protocol": "knn", "dataset": "aptos", "split": "paper", "seeds": (0,)}


def point_of(records, **how):
    data = paper_figure(cards.find_paper("wacv2024"), "figure2", records, **how)
    return next(p for p in data.of("aptos") if p.x == "Dinov2"), data


@pytest.mark.parametrize(
    "other",
    [{"preset": "fixed"}, {"options": {"k": 5}}, {"weights": "random"}, {"toy": True}, {"values": {"accuracy": [0.5]}}],
)
def test_what_is_not_the_papers_stays_out(synthetic, other):
    point, data = point_of(synthetic(**{**CELL, **other}))
    assert (point.mean, point.n) == (None, 0)
    said = any("Dinov2 on aptos: run with other settings" in note for note in data.notes)
    assert said == ("preset" in other or "options" in other)
    assert point_of(synthetic(**CELL))[0].mean == 0.8


def test_marks(synthetic):
    point, data = point_of(synthetic(**CELL | {"weights": "random"}), include_random=True)
    assert (point.mean, point.marks) == (0.8, RANDOM_MARK)
    assert any("sanity" in note for note in data.notes)
    point, _ = point_of(synthetic(**CELL | {"weights": "random"}) + synthetic(**CELL), include_random=True)
    assert point.marks == ""
    seen = synthetic(**CELL, warnings=["contamination: dinov2 was pre-trained on aptos"])
    assert point_of(seen)[0].marks == SEEN_MARK
    point, data = point_of(synthetic(**CELL | {"split": "grouped"}))
    assert point.marks == SPLIT_MARK
    assert "Dinov2 on aptos: split 'grouped', the paper's is 'paper'" in data.notes
    assert any("--split" not in c and "--protocol knn --dataset aptos" in c for c in data.commands)


def test_another_preset(synthetic):
    other = synthetic(**CELL | {"preset": "wacv-code"})
    point, data = point_of(other, preset="wacv-code")
    assert point.mean == 0.8
    assert data.notes[0].startswith("preset wacv-code (the paper: paper)")


def test_fewer_seeds_are_said(made):
    data = figure_data("wacv2024/figure5", made[0])
    assert data.notes[0].endswith("over 2 to 5 seeds (the paper: 5)")
    assert not any(note.startswith("not run") for note in data.notes)
    assert any("--protocol decapitate-frozen" in command and "--set" not in command for command in data.commands)


def test_synthetic_records_are_said_to_be(made):
    assert any(note.startswith("SYNTHETIC") for note in figure_data("wacv2024/figure2", made[0]).notes)


def test_a_class_that_the_test_split_lacks_is_said_of_the_metric_shown(made):
    absent = {METRIC["aptos"]: ["severe"], "f1_macro": ["severe", "mild"]}
    records = [
        r.model_copy(update={"absent": absent}) if r.unit.dataset == "aptos" else r for r in store.read_all(made[0])
    ]
    card = cards.find_paper("wacv2024")
    said = [note for note in paper_figure(card, "figure2", records).notes if "absent" in note]
    assert said == [f"aptos: {METRIC['aptos']} is computed without severe (absent from test)"], (
        "once, not for each model"
    )
    steps = paper_figure(card, "figure3", records)  # iterations and times leave out no class
    assert not [note for note in steps.notes if "absent" in note]


def test_other_values_of_a_sweep_are_no_other_runs(made):
    """Whatever name the weights have: a file of the card's digest is the official one."""
    digest = cards.find_model("dinov2").weights.sha256
    records = [
        r.model_copy(
            update={
                "unit": r.unit.model_copy(update={"weights": "file"}),
                "material": {**r.material, "weights": digest},
            }
        )
        for r in store.read_all(made[0], "aptos")
        if r.unit.model == "dinov2" and r.unit.options.get("frozen") != 5
    ]
    data = paper_figure(cards.find_paper("wacv2024"), "figure4", records)
    assert sum(point.mean is not None for point in data.of("aptos", "Dinov2")) == 12
    assert not [note for note in data.notes if "run with other settings" in note]


def test_a_value_has_the_mean_and_sample_deviation_of_its_seeds():
    value = Values({0: 0.7, 1: 0.9, 4: 0.8})
    assert value.summary == (pytest.approx(0.8), pytest.approx(np.std([0.7, 0.9, 0.8], ddof=1)), 3)
    assert Values({2: 0.5}).summary == (0.5, None, 1)
    assert (Values().mean, Values().records) == (None, ())


def test_a_ratio_is_the_mean_over_data_sets_and_deviates_over_their_common_seeds():
    first, second = Values({0: 1.0, 1: 3.0, 2: 5.0}), Values({1: 4.0, 2: 8.0})
    mean, std, n = relative([first, second], [2.0, 4.0])
    assert mean == pytest.approx((3 / 2 + 6 / 4) / 2)
    assert std == pytest.approx(np.std([(3 / 2 + 4 / 4) / 2, (5 / 2 + 8 / 4) / 2], ddof=1))
    assert n == 2, "seed 0 was not run on the second data set"
    assert relative([Values({0: 1.0})], [2.0]) == (0.5, None, 1)
