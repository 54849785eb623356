"""Gains over one row of a table, from the published numbers alone and from SYNTHETIC records."""

from __future__ import annotations

import numpy as np
import pytest

from medbench import cards
from medbench.records import store
from medbench.report.figures.draw import figure_data, paper_figure
from medbench.report.figures.style import context

from ..made import DATASETS, FOUNDATIONS, MODELS, SEEDS, key
from .conftest import LABELS, by_place, card_with, drawn, rows_of, texts_of

# Recomputed from the published Table 2; the source of the formula prints them to two decimals.
PUBLISHED = {
    ("Linear", "Dinov1"): -2.10, ("DeiT-B", "Sam"): -2.02, ("Linear", "Sam"): -1.17, ("Linear", "BLIP"): -1.09,
    ("DeiT-B", "BLIP"): -0.78, ("DeiT-B", "Seem"): -0.75, ("Linear", "OpenCLIP"): -0.29,
    ("DeiT-B", "OpenCLIP"): -0.22, ("Linear", "ResNet152"): -0.01, ("Linear", "ImNet-1k-Sup"): 0.0,
    ("DeiT-B", "Dinov2"): 0.60, ("Linear", "Seem"): 0.60, ("Linear", "Dinov2"): 1.86,
}  # fmt: skip


GAINS = {
    "kind": "gains", "title": "t", "source": "s", "table": "table2", "reference": ["Linear", "Sam"], "images": {},
}  # fmt: skip


def test_gains_of_the_published_table_alone(tmp_path):
    data = figure_data("wacv2024/figure1", tmp_path, published=True)
    rows = [row for row in rows_of(data) if row["panel"] == "gain"]
    assert {(row["series"], row["x"]): round(row["published"], 2) + 0.0 for row in rows} == PUBLISHED
    assert [row["published"] for row in rows] == sorted(row["published"] for row in rows)
    assert all(row["mean"] is None and row["n"] == 0 for row in rows)
    assert "not run: all" in data.notes
    assert all(point.published is None for point in figure_data("wacv2024/figure1", tmp_path).of("gain"))


def test_sizes_of_pre_training_are_in_the_order_of_the_bars(tmp_path):
    data = figure_data("wacv2024/figure1", tmp_path, published=True)
    assert [(p.series, p.x) for p in data.of("images")] == [(p.series, p.x) for p in data.of("gain")]
    sizes = {point.x: point.published for point in data.of("images")}
    assert sizes == {
        "Dinov1": 1.3e6, "ImNet-1k-Sup": 1.3e6, "ResNet152": 1.3e6, "Sam": 1e9, "Seem": 2e5, "OpenCLIP": 2e9,
        "Dinov2": 1.4e8, "BLIP": 1.3e8,
    }  # fmt: skip


def test_gains(made):
    runs, known = made
    rows = {
        k[1:]: r
        for k, r in by_place(figure_data("wacv2024/figure1", runs), "panel", "series", "x").items()
        if k[0] == "gain"
    }
    base = [np.mean(known["scores"][key("imagenet", "linear-unfrozen", d)]) for d in DATASETS]
    for group, protocol, models in (("Linear", "linear-unfrozen", MODELS), ("DeiT-B", "deit-unfrozen", FOUNDATIONS)):
        for model in models:
            scores = np.array([known["scores"][key(model, protocol, d)] for d in DATASETS])  # (data sets, seeds)
            row = rows[group, LABELS[model]]
            gain = np.mean([100 * (m / b - 1) for m, b in zip(scores.mean(axis=1), base, strict=True)])
            assert row["mean"] == pytest.approx(gain, abs=1e-9)
            each = 100 * ((scores / np.array(base)[:, None]).mean(axis=0) - 1)
            assert row["std"] == pytest.approx(each.std(ddof=1), abs=1e-9)
            assert row["n"] == SEEDS
            assert len(row["records"].split()) == len(DATASETS)
    means = [row["mean"] for row in rows.values()]
    assert means == sorted(means)
    assert rows["Linear", "ImNet-1k-Sup"]["mean"] == pytest.approx(0, abs=1e-9)


def test_no_gain_over_fewer_data_sets(made):
    records = [r for r in store.read_all(made[0]) if (r.unit.model, r.unit.dataset) != ("sam", "ddsm")]
    data = paper_figure(cards.find_paper("wacv2024"), "figure1", records)
    rows = {(p.series, p.x): p for p in data.of("gain")}
    assert rows["Linear", "Sam"].mean is None
    assert rows["Linear", "Seem"].mean is not None
    assert any("Linear Sam, DeiT-B Sam: no gain is shown" in note for note in data.notes)
    assert any(note.startswith("not run: 2 of 52 values (Linear Sam, DeiT-B Sam on ddsm)") for note in data.notes)
    assert "medbench figure wacv2024/figure1 --fill" in data.commands
    assert "medbench run --model sam --protocol linear-unfrozen --dataset ddsm" in data.commands


def test_gains_of_nothing_are_an_empty_panel(made):
    data = paper_figure(cards.find_paper("wacv2024"), "figure1", [])
    with context():
        assert texts_of(drawn(data)._axes[0]) == ["not run"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"table": "table9"}, "'table9' is no table of this paper"),
        ({"reference": ["Linear", "Nobody"]}, "table2 has no row"),
        ({"colour": "red"}, "colour"),
        ({"kind": "pie"}, "kind"),
    ],
)
def test_faults_in_a_card_are_named(change, said):
    assert card_with(GAINS).figures["figure"].kind == "gains"
    with pytest.raises(ValueError, match=said):
        card_with(GAINS | change)
