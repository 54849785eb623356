"""The critical-difference diagram from SYNTHETIC records."""

from __future__ import annotations

import csv
import io

import pytest

from medbench.errors import MedbenchError
from medbench.report.figures.canvas import Page
from medbench.report.figures.draw import draw
from medbench.report.figures.style import context
from medbench.report.ranks import diagram
from medbench.report.ranks.ranks_table import ranked
from medbench.stats.ranks import critical_difference

from .conftest import DATA, study

MODELS = ("dino", "dinov2", "sam", "blip", "clip")


def figure(synthetic, metric="accuracy", spread=0.05, **how):
    records = [
        record
        for i, model in enumerate(MODELS)
        for dataset in DATA
        for record in synthetic(model, dataset=dataset, values={metric: [0.9 - spread * i]}, seeds=(0,))
    ]
    return diagram.of_study(ranked(study(models=MODELS, **how), records))


def drawn(data):
    with context():
        page = Page(data)
        diagram.draw(page, data)
        return page._axes[0]


def test_the_data_have_ranks_and_tests(synthetic) -> None:
    data = figure(synthetic)
    rows = {(row["panel"], row["series"]): row for row in csv.DictReader(io.StringIO(data.csv()))}
    assert [float(rows["ranks", model]["mean"]) for model in MODELS] == [1, 2, 3, 4, 5]
    assert float(rows["test", "Nemenyi"]["mean"]) == pytest.approx(critical_difference(5, 3))
    assert 0 < float(rows["test", "Friedman"]["mean"]) < 0.05


def test_bars_join_what_the_critical_difference_does_not_tell_apart(synthetic) -> None:
    axes = drawn(figure(synthetic))
    thick = [line for line in axes.lines if line.get_linewidth() == 3.0]
    ends = [tuple(round(float(x), 2) for x in line.get_xdata()) for line in thick]
    assert critical_difference(5, 3) == pytest.approx(3.52, abs=0.01)
    assert ends == [(0.97, 4.03), (1.97, 5.03)], "ranks 1 to 4 and 2 to 5 are closer than 3.52"


def test_each_entrant_has_a_label_on_the_side_it_is_nearer(synthetic) -> None:
    axes = drawn(figure(synthetic))
    texts = {text.get_text().strip(): text.get_ha() for text in axes.texts}
    assert texts["dino  1.00"] == texts["dinov2  2.00"] == texts["sam  3.00"] == "right"
    assert texts["blip  4.00"] == texts["clip  5.00"] == "left"
    assert "CD 3.522" in texts


def test_a_critical_difference_longer_than_the_axis_is_said(synthetic) -> None:
    two = {"data": [{"dataset": name, "metric": "accuracy"} for name in DATA[:2]]}
    texts = [text.get_text() for text in drawn(figure(synthetic, **two)).texts]
    assert any("longer than the axis" in text for text in texts)


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_it_is_drawn_in_every_format_the_same_each_time(synthetic, form) -> None:
    data = figure(synthetic, entrants=[{"model": m, "label": m * 30} for m in MODELS])
    assert draw(data, form, 50) == draw(data, form, 50)


def test_equal_entrants_are_drawn_too(synthetic) -> None:
    data = figure(synthetic, spread=0.0)
    assert drawn(data) is not None
    assert next(p.mean for p in data.points if p.series == "Friedman") is None


def test_too_little_has_no_diagram() -> None:
    with pytest.raises(MedbenchError, match="ranks/mine: two entrants") as caught:
        diagram.of_study(ranked(study(), []))
    assert caught.value.hint == "medbench table ranks/mine --fill"
