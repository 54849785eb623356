"""The figure of domain shift from SYNTHETIC records."""

from __future__ import annotations

import pytest

from medbench.errors import MedbenchError
from medbench.report.figures.shift import of_table
from medbench.report.figures.style import context
from medbench.report.robustness.shift_table import shift_table

from .conftest import by_place, drawn


def away(synthetic, model, own, there, on="ddsm"):
    """Records on the set that was trained on, and on another one."""
    values = [{"kappa_quadratic": [score, score + 0.02]} for score in (own, there)]
    base = synthetic(model, values=values[0], seeds=(0, 1))
    origin = {"data": {"split": "paper"}, "test_on": {"in_domain": base[0].group}}
    return base + synthetic(model, values=values[1], seeds=(0, 1), options={"test_on": on}, provenance=origin)


def figure(records, **how):
    return of_table(shift_table("aptos", records, **how))


def test_each_row_is_two_bars(synthetic):
    records = away(synthetic, "a", 0.8, 0.6) + away(synthetic, "b", 0.7, 0.65)
    data = figure(records + away(synthetic, "a", 0.8, 0.5, on="isic2019")[2:])
    rows = by_place(data, "panel", "x", "series")
    assert {place: round(row["mean"], 6) for place, row in rows.items()} == {
        ("on ddsm: linear-frozen · paper", "a", "in domain"): 0.81,
        ("on ddsm: linear-frozen · paper", "a", "shifted"): 0.61,
        ("on ddsm: linear-frozen · paper", "b", "in domain"): 0.71,
        ("on ddsm: linear-frozen · paper", "b", "shifted"): 0.66,
        ("on isic2019: linear-frozen · paper", "a", "in domain"): 0.81,
        ("on isic2019: linear-frozen · paper", "a", "shifted"): 0.51,
    }
    assert data.name == "dataset/aptos/shift"
    assert data.panels[0].y_title == "kappa_quadratic"
    with context():
        first = drawn(data)._axes[0]
    assert [round(bar.get_height(), 6) for bar in first.patches] == [
        round(point.mean, 6) for point in data.of("on ddsm: linear-frozen · paper")
    ]


def test_random_weights_are_marked(synthetic):
    base = synthetic("a", values={"kappa_quadratic": [0.5]}, seeds=(0,), weights="random")
    origin = {"data": {"split": "paper"}, "test_on": {"in_domain": base[0].group}}
    more = {"weights": "random", "options": {"test_on": "ddsm"}, "provenance": origin}
    records = base + synthetic("a", values={"kappa_quadratic": [0.4]}, seeds=(0,), **more)
    data = figure(records, include_random=True)
    assert [point.marks for point in data.points] == ["†", "†"]
    assert sum(note.startswith("†") for note in data.notes) == 1
    with pytest.raises(MedbenchError, match="all runs have random weights"):
        figure(records)
