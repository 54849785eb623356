"""Similarity of models to each other: the CKA of their features of the same images, one square per data set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from medbench.cards.paper import FigurePanel, Similarity
from medbench.papers.cells import CellSpec
from medbench.records.groups import Group
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.values import FigureRecords, Values

if TYPE_CHECKING:
    from medbench.report.figures.canvas import Page

FILE = "features.npy"
Images = tuple[object, object, str]


def collect(finder: FigureRecords, styles: dict[str, int]) -> FigureData:
    """Return the data of a figure of kind `similarity`: all pairs of models whose features are of the same images."""
    figure = finder.figure
    assert isinstance(figure, Similarity)
    points = [point for panel in figure.panels for point in _panel(finder, figure, panel)]
    notes, commands = finder.closing(any_published=False)
    return FigureData(
        name=f"{finder.card.name}/{finder.name}",
        kind=figure.kind,
        title=figure.title,
        panels=tuple(Panel(panel.dataset, panel.title) for panel in figure.panels),
        series={row.label: styles[row.label] for row in figure.rows},
        points=tuple(points),
        columns=figure.columns,
        width=figure.width,
        notes=notes,
        commands=commands,
    )


def _panel(finder: FigureRecords, figure: Similarity, panel: FigurePanel) -> list[Point]:
    found = {}
    for row in figure.rows:
        wanted = CellSpec(
            model=row.model,
            protocol=row.protocol,
            dataset=panel.dataset,
            set=row.set,
            preset=figure.preset,
            seeds=figure.seeds,
            split=figure.splits.get(panel.dataset),
        )
        found[row.label] = finder.find(wanted, f"{row.label} on {panel.dataset}", lambda record: 0.0)
    features = _features(finder, panel.dataset, found)
    matrix = _matrix(features)
    return [
        Point(
            panel=panel.dataset,
            series=a,
            x=b,
            mean=matrix.get((a, b)),
            n=int((a, b) in matrix),
            marks="".join(dict.fromkeys(found[a].marks + found[b].marks)),
            records=tuple(dict.fromkeys(found[a].records + found[b].records)) if (a, b) in matrix else (),
        )
        for a in found
        for b in found
    ]


def _features(finder: FigureRecords, dataset: str, found: dict[str, Values]) -> dict[str, Any]:
    """Return label -> features (n, d) of those that are of the same images as most."""
    import numpy as np

    groups = {label: values.group for label, values in found.items() if values.group}
    usual = _most([_images(group) for group in groups.values()])
    kept = {}
    for label, group in groups.items():
        record = group.first
        file = record.path / FILE if record.path is not None else None
        if _images(group) != usual:
            finder.say("not compared, because most models have features of other images", f"{label} on {dataset}")
        elif file is None or not file.is_file():
            finder.say(f"no {FILE} in its record's folder", f"{label} on {dataset}")
        else:
            kept[label] = np.load(file, allow_pickle=False)
    return kept


def _images(group: Group) -> Images:
    """Return what identifies the images: how many, which ids, and the content of the data."""
    return group.first.chosen.get("images"), group.first.chosen.get("ids"), group.content


def _most(images: list[Images]) -> Images | None:
    """Return the commonest; of equally common ones the first."""
    return max(dict.fromkeys(images), key=images.count, default=None)


def _matrix(features: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Return (model, model) -> CKA where it is defined."""
    from medbench.metrics.cka import cka_matrix

    values = cka_matrix(list(features.values()), debiased=True)
    return {
        (a, b): float(values[i, j])
        for i, a in enumerate(features)
        for j, b in enumerate(features)
        if math.isfinite(values[i, j])
    }


def draw(page: Page, data: FigureData) -> None:
    """Draw one square per data set with the numbers in it."""
    image = None
    panels = page.grid(len(data.panels), data.columns, square=True)
    for at, (axes, panel) in enumerate(zip(panels, data.panels, strict=True)):
        left, bottom = page.outer(at)
        image = page.matrix(axes, data.of(panel.name), list(data.series)) or image
        axes.set_title(panel.title)
        axes.tick_params(labelleft=left, labelbottom=bottom)
    page.scale(image, "CKA")
