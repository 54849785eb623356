"""Figures by name: found, drawn, written; the same records give the same data and files."""

from __future__ import annotations

import pytest

from medbench import cards
from medbench.errors import CardError
from medbench.records import store
from medbench.report.figures import draw as figures
from medbench.report.figures.draw import draw, figure_data, paper_figure, write_figure

from ..made import METRIC

NAMES = [f"wacv2024/figure{i}" for i in (1, 2, 3, 4, 5, 6, 7, 8, "A1")]


def test_listed():
    assert [name for name in figures.list_figures() if name.startswith("wacv2024/")] == NAMES


def test_unknown_names_and_other_spellings(made):
    assert figure_data("wacv2024/fig6", made[0]).name == "wacv2024/figure6"
    assert figures.find("wacv2024/figA1")[1] == "figureA1"
    with pytest.raises(CardError, match="unknown figure") as error:
        figure_data("wacv2024/figur4", made[0])
    assert "wacv2024/figure4" in error.value.hint
    with pytest.raises(CardError, match="unknown format 'gif'"):
        draw(figure_data("wacv2024/figure6", made[0]), "gif")


def test_a_reference_that_is_not_there(made):
    with pytest.raises(CardError, match="unknown reference 'unfrozne'"):
        figure_data("wacv2024/figure3", made[0], ref="unfrozne")
    with pytest.raises(CardError, match="unknown reference of wacv2024/figure4"):
        figure_data("wacv2024/figure4", made[0], ref="unfrozen")


def test_the_same_records_give_the_same_data(made):
    card, records = cards.find_paper("wacv2024"), list(store.read_all(made[0]))
    for name in ("figure1", "figure3", "figure5"):
        assert paper_figure(card, name, records) == paper_figure(card, name, records[::-1])


def test_models_look_alike_in_all_figures(made):
    looks = {}
    for name in ("figure2", "figure4", "figure5", "figure7"):
        for label, style in figure_data(f"wacv2024/{name}", made[0]).series.items():
            assert looks.setdefault(label, style) == style


def test_vector_files_are_the_same_each_time(made, tmp_path):
    for runs, form in ((made[0], "svg"), (tmp_path, "pdf")):
        data = figure_data("wacv2024/figure6", runs)
        assert draw(data, form) == draw(data, form)


def test_files(made, tmp_path):
    data = figure_data("wacv2024/figure6", made[0])
    written = write_figure(data, tmp_path, ("png", "svg"), dpi=30)
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "wacv2024/figure6.png", "wacv2024/figure6.svg", "wacv2024/figure6.csv",
    ]  # fmt: skip
    assert written[-1].read_text() == data.csv()
    assert written[0].read_bytes() == draw(data, "png", dpi=30)


def test_metrics_are_those_of_the_tables():
    card = cards.find_paper("wacv2024")
    for figure in card.figures.values():
        for panel in getattr(figure, "panels", []):
            if metric := getattr(panel, "metric", ""):
                assert metric == METRIC[panel.dataset]
