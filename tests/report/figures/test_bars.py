"""Bars from SYNTHETIC records: their values, and how they are drawn."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from medbench import cards
from medbench.errors import MedbenchError
from medbench.records import store
from medbench.report.figures.bars import of_table
from medbench.report.figures.draw import figure_data, paper_figure
from medbench.report.figures.style import context
from medbench.report.tables.dataset_table import dataset_table

from ..made import DATASETS, METRIC, MODELS, key
from .conftest import LABELS, by_place, card_with, drawn, texts_of

BARS = {
    "kind": "bars", "title": "t", "source": "s", "seeds": 5, "columns": 3,
    "panels": [{"dataset": d, "metric": METRIC[d], "title": d} for d in ("aptos", "ddsm", "isic2019")],
    "rows": [
        {"label": label, "group": group, "model": model, "protocol": protocol}
        for group, protocol in (("Frozen", "linear-frozen"), ("Unfrozen", "linear-unfrozen"))
        for label, model in (("Sam", "sam"), ("Seem", "seem"), ("A model with quite a long name", "dinov2"))
    ],
}  # fmt: skip


def test_knn_bars(made):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure2", runs), "panel", "x")
    assert len(rows) == 32
    for model in MODELS:
        for dataset in DATASETS:
            row = rows[dataset, LABELS[model]]
            assert row["mean"] == known["scores"][key(model, "knn", dataset)][0]
            assert (row["std"], row["n"], row["series"]) == (None, 1, LABELS[model])


def test_sizes_relative_to_one(made):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure6", runs, published=True), "panel", "x")
    models = {"S": "dinov2-small", "B": "dinov2", "L": "dinov2-large", "g": "dinov2-giant"}
    for dataset in ("aptos", "ddsm", "isic2019"):
        base = np.mean(known["scores"][key("dinov2", "linear-unfrozen", dataset)])
        for label, model in models.items():
            scores = np.array(known["scores"][key(model, "linear-unfrozen", dataset)])
            assert rows[dataset, label]["mean"] == pytest.approx(100 * (scores.mean() / base - 1), abs=1e-9)
            assert rows[dataset, label]["std"] == pytest.approx((100 * scores / base).std(ddof=1), abs=1e-9)
    assert all(row["published"] is None for row in rows.values())  # the base alone is printed, which is 0 by definition


def test_bars_are_as_high_as_the_data_say(made):
    data = figure_data("wacv2024/figure2", made[0])
    with context():
        page = drawn(data)
        for axes, panel in zip(page._axes, data.panels, strict=True):
            assert [bar.get_height() for bar in axes.patches] == [point.mean for point in data.of(panel.name)]
            assert axes.get_ylim()[0] == 0  # a bar that does not start at 0 misleads


def test_what_was_not_run_is_drawn_as_such(made):
    records = [r for r in store.read_all(made[0]) if r.unit.model != "sam" and r.unit.dataset != "ddsm"]
    data = paper_figure(cards.find_paper("wacv2024"), "figure2", records)
    with context():
        texts = [[t.get_text() for t in axes.texts] for axes in drawn(data)._axes]
    aptos, ddsm = texts[0], texts[1]
    assert aptos.count("not run") == 1
    assert len(aptos) == 8
    assert ddsm == ["not run"]


def test_bars_of_one_label_are_side_by_side(made):
    runs, known = made
    data = paper_figure(card_with(BARS), "figure", store.read_all(runs))
    rows = by_place(data, "panel", "series", "x")
    assert len(rows) == 18
    for row in BARS["rows"]:
        for dataset in ("aptos", "ddsm", "isic2019"):
            scores = known["scores"][key(row["model"], row["protocol"], dataset)]
            assert rows[dataset, row["group"], row["label"]]["mean"] == pytest.approx(np.mean(scores), rel=1e-12)
    with context():
        page = drawn(data)
        axes = page._axes[0]
        assert [text.get_text() for text in page.figure.legends[0].get_texts()] == ["Frozen", "Unfrozen"]
    ends = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches)
    assert all(right <= left for (_, right), (left, _) in itertools.pairwise(ends)), "no bar hides another"
    assert [round(sum(end) / 2) for end in ends] == [0, 0, 1, 1, 2, 2]
    assert len({bar.get_facecolor() for bar in axes.patches}) == 2
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list(dict.fromkeys(r["label"] for r in BARS["rows"]))
    assert texts_of(axes) == [], "numbers would run into each other"


def test_bars_have_numbers_where_there_is_room(made):
    rows = [row for row in BARS["rows"] if row["group"] == "Frozen"]
    plain = [{**row, "group": ""} for row in rows]
    for found, shown in ((plain, 3), (plain * 3, 0)):
        card = card_with(BARS | {"rows": [{**row, "label": f"{row['label']} {i}"} for i, row in enumerate(found)]})
        with context():
            assert len(texts_of(drawn(paper_figure(card, "figure", store.read_all(made[0])))._axes[0])) == shown


@pytest.mark.parametrize("relative_to", [None, "A model with quite a long name"])
def test_long_names_are_not_cut_off(made, relative_to):
    rows = [{**row, "group": ""} for row in BARS["rows"] if row["group"] == "Frozen"]
    card = card_with(BARS | {"rows": rows, "relative_to": relative_to})
    data = paper_figure(card, "figure", store.read_all(made[0]))
    with context():
        page = drawn(data)
        page.save("png", page.figure.dpi)
        box = page.figure.get_tightbbox()
        heights = [axes.get_window_extent().height / page.figure.dpi for axes in page._axes]
        text = texts_of(page._axes[0])
    width, height = page.figure.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -0.01, f"{box} in {width} x {height}"
    assert min(heights) > 0.8, "inches are left for the bars"
    if relative_to:
        mean = data.of("aptos", "Sam")[0].mean
        assert text[0] == f"{mean:+.1f}".replace("-", "−")
        assert text[2] == "0"


def test_bars_need_their_reference():
    bars = {
        "kind": "bars", "title": "t", "source": "s", "relative_to": "X",
        "panels": [{"dataset": "aptos", "metric": "kappa_quadratic", "title": "t"}],
        "rows": [{"label": "Y", "model": "sam", "protocol": "knn"}],
    }  # fmt: skip
    with pytest.raises(ValueError, match="no row is called 'X'"):
        card_with(bars)


def test_the_figure_of_a_data_set_is_its_table(synthetic):
    """One panel per protocol and settings, the same models in each; lines are intervals, or nothing."""
    records = []
    for model, protocol, value in (("a", "knn", 0.7), ("b", "knn", 0.8), ("a", "linear-probe", 0.9)):
        records += synthetic(model, protocol, seeds=(0, 1), values={"kappa_quadratic": [value, value + 0.02]})
    records += synthetic("a", "timing", seeds=(0,), values={"latency_ms": [4.0]})
    table = dataset_table("aptos", records)
    low = table.rows[1].cells[0]._replace(low=0.75, high=0.87)
    rows = list(table.rows)
    rows[1] = dataclasses.replace(rows[1], cells=(low, *rows[1].cells[1:]))
    data = of_table(dataclasses.replace(table, rows=tuple(rows)))
    assert data.name == "dataset/aptos"
    assert [(p.panel, p.x, p.mean, p.low, p.marks) for p in data.points] == [
        ("linear-probe · paper", "a", pytest.approx(0.91), None, "¹"),
        ("linear-probe · paper", "b", None, None, ""),
        ("knn · paper", "a", pytest.approx(0.71), None, ""),
        ("knn · paper", "b", pytest.approx(0.81), 0.75, ""),
    ]
    assert "¹: the best of its column, as printed" in data.notes
    with context():
        page = drawn(data)
        lines = [len(axes.containers) - len(axes.patches) for axes in page._axes]
        ends = [axes.get_ylim() for axes in page._axes]
    assert lines == [0, 1], "a standard deviation does not stand among intervals"
    assert ends[0] == ends[1]
    assert ends[0][0] == 0


def test_random_weights_alone_are_no_figure_unless_asked_for(synthetic):
    random = synthetic(weights="random")
    with pytest.raises(MedbenchError, match="all runs have random weights") as caught:
        of_table(dataset_table("aptos", random))
    assert "--random" in caught.value.hint
    assert of_table(dataset_table("aptos", random, include_random=True)).panels
