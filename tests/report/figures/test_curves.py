"""Curves over frozen or kept units, from SYNTHETIC records."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medbench import cards
from medbench.records import store
from medbench.report.figures.draw import figure_data, paper_figure
from medbench.report.figures.style import context

from ..made import CURVE_SEEDS, DATASETS, FOUNDATIONS, MODELS, SEEDS, UNITS, key
from .conftest import LABELS, by_place, drawn


def test_freezing(made):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure4", runs, published=True), "panel", "series", "x")
    assert len(rows) == 4 * sum(UNITS[m] + 1 for m in MODELS)
    for model in MODELS:
        for dataset in DATASETS:
            for x in range(UNITS[model] + 1):
                ends = {0: key(model, "linear-unfrozen", dataset), UNITS[model]: key(model, "linear-frozen", dataset)}
                scores = known["scores"][ends.get(x, key(model, "freeze", dataset, frozen=x))]
                row = rows[dataset, LABELS[model], str(x)]
                assert row["mean"] == pytest.approx(np.mean(scores), abs=1e-12)
                assert row["std"] == pytest.approx(np.std(scores, ddof=1), abs=1e-12)
                assert row["n"] == (SEEDS if x in ends else CURVE_SEEDS)
                assert (row["published"] is not None) == (x in ends)
    assert rows["aptos", "Dinov2", "0"]["published"] == 0.909
    assert rows["aptos", "Dinov2", "12"]["published"] == 0.881
    assert rows["isic2019", "Seem", "4"]["published"] == 0.527


def test_decapitation(made):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure5", runs, published=True), "panel", "series", "x")
    assert len(rows) == 4 * sum(UNITS[m] for m in FOUNDATIONS)
    for model in FOUNDATIONS:
        for dataset in ("aptos", "ddsm"):
            for mode in ("frozen", "unfrozen"):
                for kept in range(1, UNITS[model] + 1):
                    whole = kept == UNITS[model]
                    scores = known["scores"][
                        key(model, f"deit-{mode}", dataset)
                        if whole
                        else key(model, f"decapitate-{mode}", dataset, kept=kept)
                    ]
                    row = rows[f"{dataset} decapitate-{mode}", LABELS[model], str(kept - 1)]
                    assert row["mean"] == pytest.approx(np.mean(scores), abs=1e-12)
    assert rows["ddsm decapitate-unfrozen", "Dinov2", "11"]["published"] == 0.966
    assert rows["ddsm decapitate-frozen", "Seem", "3"]["published"] == 0.925


def test_lines_are_faint_where_values_are_missing(made):
    frozen = [r for r in store.read_all(made[0], "aptos") if r.unit.options.get("frozen") != 5]
    data = paper_figure(cards.find_paper("wacv2024"), "figure4", frozen)
    with context():
        axes = drawn(data)._axes[0]
    line, points = axes.lines[0], data.of("aptos", "Dinov1")
    assert math.isnan(line.get_ydata()[5])
    assert line.get_ydata()[4] == points[4].mean
    bridges = [one for one in axes.lines if one.get_alpha() is not None]
    assert len(bridges) == sum(UNITS[m] > 5 for m in MODELS), "one for each model that has a fifth unit to freeze"
    assert list(bridges[0].get_ydata()) == [points[4].mean, points[6].mean]
    assert "faint lines: values in between were not run" in data.notes
    whole = paper_figure(cards.find_paper("wacv2024"), "figure4", store.read_all(made[0]))
    assert not [note for note in whole.notes if "faint" in note]


def test_lines_are_next_to_each_other(made):
    data = figure_data("wacv2024/figure4", made[0])
    with context():
        axes = drawn(data)._axes[0]
    starts = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) > 4 or line.get_marker() not in "|_"]
    starts = sorted({round(float(x), 6) for x in starts if -0.5 < x < 0.5})
    assert len(starts) == len(MODELS)
    assert max(starts) == -min(starts) < 0.2, "still over their number of units"
