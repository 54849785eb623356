"""Figures of one data set by name and kind, on SYNTHETIC records."""

from __future__ import annotations

import pytest

from medbench.errors import CardError, MedbenchError
from medbench.report.figures.draw import figure_data, list_figures
from medbench.report.figures.own import find
from medbench.report.tables.lookup import list_tables


@pytest.fixture
def runs(tmp_path, synthetic, save):
    values = {"kappa_quadratic": [0.5]}
    save(tmp_path, synthetic("a", "few-shot", values=values, seeds=(0,), options={"shots": 2}))
    save(tmp_path, synthetic("a", "knn", "ddsm", values=values, seeds=(0,)))
    return tmp_path


def test_names_and_kinds(runs):
    assert find("dataset/aptos", runs) == ("aptos", "bars")
    assert find("dataset/aptos/few-shot", runs) == find("aptos/few-shot", runs) == ("aptos", "few-shot")
    assert find("wacv2024/figure4", runs) is None
    assert find("dataset/aptos/shift", runs) == ("aptos", "shift")


def test_listed_where_there_are_shots(runs):
    own = [name for name in list_figures(runs) if name.startswith("dataset/")]
    assert own == ["dataset/aptos", "dataset/aptos/few-shot", "dataset/ddsm"]


def test_listed_where_something_was_tested_elsewhere(runs, synthetic, save):
    save(runs, synthetic("a", "knn", "ddsm", seeds=(1,), options={"test_on": "cbis"}))
    own = [name for name in list_figures(runs) if name.startswith("dataset/ddsm")]
    assert own == ["dataset/ddsm", "dataset/ddsm/shift"]
    assert list_tables(runs)[-2:] == ["dataset/ddsm", "shift/ddsm"]


def test_data_by_name(runs):
    assert figure_data("dataset/aptos", runs).kind == "bars"
    assert figure_data("aptos/few-shot", runs).name == "dataset/aptos/few-shot"


def test_unknown_names(runs):
    with pytest.raises(CardError, match="unknown figure 'dataset/isic2019'"):
        find("dataset/isic2019", runs)
    with pytest.raises(CardError, match="unknown kind of figure 'few-shots'") as error:
        find("dataset/aptos/few-shots", runs)
    assert "few-shot" in error.value.hint


def test_what_a_kind_cannot_show_is_refused(runs):
    for options, match in (
        ({"class_name": "Mild"}, "--class: the figure 'bars' does not show one class"),
        ({"metric": "ece"}, "--metric: the figure 'bars' has a fixed metric"),
        ({"models": "a"}, "--model and --protocol: the figure 'bars' shows all runs"),
    ):
        with pytest.raises(MedbenchError, match=match) as error:
            figure_data("dataset/aptos", runs, **options)
        assert "reliability" in error.value.hint
    with pytest.raises(MedbenchError, match="does not show one class"):
        figure_data("wacv2024/figure4", runs, class_name="Mild")


def test_all_kinds_are_listed_where_predictions_are_stored(runs):
    next((runs / "ddsm").glob("*/*/*/record.json")).with_name("predictions.parquet").touch()
    own = {name.rpartition("/")[2] for name in list_figures(runs) if name.startswith("dataset/ddsm/")}
    assert own == {"roc", "pr", "reliability", "confusion", "per-class", "interval", "decision-curve"}


def test_the_forest_plot_of_some_runs(runs, synthetic, save):
    save(runs, synthetic("b", "knn", values={"kappa_quadratic": [0.4], "auroc": [0.7]}, seeds=(0,)))
    data = figure_data("aptos/interval", runs, models="b", metric="AUROC")
    assert [(point.x, point.mean) for point in data.points] == [("b", 0.7)]
