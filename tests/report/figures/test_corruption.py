"""The figure of corruptions from SYNTHETIC records."""

from __future__ import annotations

import pytest

from medbench.cli import listing
from medbench.errors import MedbenchError
from medbench.report.figures.corruption import of_table
from medbench.report.figures.own import find, list_own
from medbench.report.figures.style import context
from medbench.report.robustness.corruption_table import corruption_table

from .conftest import by_place, drawn


def corrupted(synthetic, model, values, protocol="linear-frozen", **unit):
    """Records on clean images, then with each corruption."""
    own = dict(values)
    found = synthetic(model, protocol, values={"kappa_quadratic": [own.pop(None)]}, seeds=(0,), **unit)
    origin = {"data": {"split": "paper"}, "test_on": {"in_domain": found[0].group}}
    for name, value in own.items():
        options = {"test_on": "aptos", "corrupt": name}
        score = {"kappa_quadratic": [value]}
        found += synthetic(model, protocol, values=score, seeds=(0,), options=options, provenance=origin, **unit)
    return found


def figure(records, **how):
    return of_table(corruption_table("aptos", records, **how))


def test_each_corruption_is_a_panel_with_a_line_for_each_model(synthetic):
    records = corrupted(synthetic, "a", {None: 0.8, "jpeg:1": 0.7, "jpeg:3": 0.5, "blur:2": 0.6})
    records += corrupted(synthetic, "b", {None: 0.9, "jpeg:1": 0.3})
    data = figure(records)
    rows = {place: row["mean"] for place, row in by_place(data, "panel", "series", "x").items() if row["mean"]}
    assert rows == {
        ("aptos blur", "a", "0"): 0.8,
        ("aptos blur", "a", "2"): 0.6,
        ("aptos jpeg", "a", "0"): 0.8,
        ("aptos jpeg", "a", "1"): 0.7,
        ("aptos jpeg", "a", "3"): 0.5,
        ("aptos jpeg", "b", "0"): 0.9,
        ("aptos jpeg", "b", "1"): 0.3,
    }
    assert data.name == "dataset/aptos/corruption"
    assert [panel.title for panel in data.panels] == ["blur", "jpeg"]
    with context():
        axes = drawn(data)._axes
    assert len(axes) == 2
    assert axes[0].get_ylim() == axes[1].get_ylim()


def test_protocols_are_named_where_there_are_several(synthetic):
    one = corrupted(synthetic, "a", {None: 0.8, "jpeg:1": 0.7})
    two = corrupted(synthetic, "a", {None: 0.6, "jpeg:1": 0.5}, protocol="knn")
    assert list(figure(one).series) == ["a"]
    assert sorted(figure(one + two).series) == ["a · knn", "a · linear-frozen"]


def test_random_weights_are_marked(synthetic):
    records = corrupted(synthetic, "a", {None: 0.8, "jpeg:1": 0.7}, weights="random")
    notes = figure(records, include_random=True).notes
    assert sum(note.startswith("† random weights: a sanity check") for note in notes) == 1
    with pytest.raises(MedbenchError, match="all runs have random weights") as caught:
        figure(records)
    assert caught.value.hint == "to show them, marked: --random"


def test_without_rows_the_table_tells_why(synthetic):
    records = corrupted(synthetic, "a", {None: 0.8, "jpeg:1": 0.7})
    with pytest.raises(MedbenchError, match="there are no results to draw") as caught:
        figure(records[1:])
    assert caught.value.hint == "to see why: medbench table corruption/aptos"


def test_it_is_listed_where_something_was_corrupted(tmp_path, synthetic, save):
    save(tmp_path, corrupted(synthetic, "a", {None: 0.8, "jpeg:1": 0.7}))
    assert find("aptos/corruption", tmp_path) == ("aptos", "corruption")
    assert ("dataset/aptos/corruption", "corruption") in list_own(tmp_path)
    assert listing.figure_rows(tmp_path)[-1]["title"] == "all results on aptos"
    assert listing.table_rows(tmp_path)[-1] == {
        "name": "corruption/aptos",
        "title": "results on corrupted test images of aptos",
    }
