"""A figure as data: its points by panel and series, and its CSV file."""

from __future__ import annotations

import csv
import io

import pytest

from medbench.report.figures.figure import FigureData, Panel, Point

POINTS = (
    Point("left", "Sam", "Sam", mean=0.1 + 0.2, std=None, n=1, records=("ab", "cd")),
    Point("left", "Seem", "Seem", published=0.75),
    Point("right", "Sam", "Sam", mean=1e-17, std=0.5, n=3, marks="†"),
)


def figure_of(points: tuple[Point, ...]) -> FigureData:
    panels = (Panel("left", "Left"), Panel("right", "Right"))
    return FigureData("paper/figure1", "bars", "A title", panels, {"Sam": 0, "Seem": 1}, points)


def test_points_are_found_by_panel_and_series() -> None:
    data = figure_of(POINTS)
    assert data.of("left") == list(POINTS[:2])
    assert data.of("left", "Seem") == [POINTS[1]]
    assert data.of("right", "Seem") == []


@pytest.mark.parametrize(("x", "grouped"), [("Sam", False), ("another label", True)])
def test_bars_are_grouped_if_a_label_is_not_its_series(x: str, grouped: bool) -> None:
    assert figure_of((Point("left", "Sam", x),)).grouped is grouped


def test_csv_gives_every_number_back_in_full_precision() -> None:
    text = figure_of(POINTS).csv()
    assert "\r" not in text
    first, second, third = csv.DictReader(io.StringIO(text))
    assert (float(first["mean"]), first["std"], first["n"]) == (0.1 + 0.2, "", "1")
    assert first["records"] == "ab cd"
    assert (second["mean"], float(second["published"])) == ("", 0.75)
    assert (float(third["mean"]), float(third["std"]), third["marks"]) == (1e-17, 0.5, "†")
