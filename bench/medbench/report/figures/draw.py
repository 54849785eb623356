"""Figures from records: the data first, the picture from the data alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from medbench import cards
from medbench.cards import PaperCard
from medbench.cards.study import RANKS
from medbench.errors import unknown
from medbench.papers.matching import paper_records
from medbench.records import Record
from medbench.records.store import gc_paused
from medbench.report.figures import bars, curves, dots, gains, heatmaps, lines, own, ratios, shots, similarity
from medbench.report.figures.figure import FigureData
from medbench.report.figures.predictions import confusion, reliability, sweeps
from medbench.report.figures.predictions.kinds import refuse
from medbench.report.figures.predictions.runs import Selection
from medbench.report.figures.values import FigureRecords
from medbench.report.ranks import diagram
from medbench.report.ranks.ranks_table import ranked_study
from medbench.storage import files, paths

FORMATS = ("png", "svg", "pdf")
KINDS: dict[str, ModuleType] = {
    "bars": bars,
    "curves": curves,
    "gains": gains,
    "heatmaps": heatmaps,
    "ratios": ratios,
    "similarity": similarity,
    shots.KIND: shots,
    diagram.KIND: diagram,
    "lines": lines,
    dots.KIND: dots,
    reliability.KIND: reliability,
    confusion.KIND: confusion,
    sweeps.DEPTHS: sweeps,
    sweeps.EFFICIENCY: sweeps,
}
"""Kind of figure -> the module that draws it, and collects the data of papers' figures."""


def list_figures(runs: Path | None = None) -> list[str]:
    """Return the names of figures: of papers, of studies, then of each data set, `dataset/<name>` and its kinds.

    Args:
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
    """
    papers = [f"{paper}/{name}" for paper in cards.names("papers") for name in cards.find_paper(paper).figures]
    papers += [f"{RANKS}/{study}" for study in cards.names("studies")]
    return papers + [name for name, _ in own.list_own(runs)]


def figures_dir(runs: Path | None = None) -> Path:
    """Return the folder of the rendered figures, next to the run store."""
    return paths.runs_dir(runs).parent / "figures"


def figure_data(
    name: str,
    runs: Path | None = None,
    published: bool = False,
    include_random: bool = False,
    ref: str = "same",
    preset: str | None = None,
    models: str = "",
    protocols: str = "",
    class_name: str = "",
    metric: str = "",
) -> FigureData:
    """Return a figure's data by name.

    Args:
        name: `wacv2024/figure4` and its like (`fig4` is understood too), `dataset/<name>`, or `dataset/<name>/<kind>`,
            for which `<name>/<kind>` is short; `ranks/<name>` of a study.
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
        published: Give the paper's values too, where they follow from what its tables print.
        include_random: Let random weights stand for what nothing else is there for, marked.
        ref: In figures of ratios, which panel's reference row divides: `same`, or a panel's name.
        preset: Show what was run under another preset than the paper's.
        models: Of a data set's figures: comma list of the models to show: names, globs, or `MODEL/PROTOCOL/SETTINGS`;
            empty: all.
        protocols: Comma list of their protocols, names or globs; empty: of each model the one that is best on
            validation.
        class_name: The class to show against the rest; empty: class 1 of two, else the mean.
        metric: The metric to show; empty: the figure's own. Of a study, a comma list: what to rank by.

    Raises:
        CardError: There is no such figure, reference, model, protocol, class or metric.
        MedbenchError: The figure has nothing to show.
    """
    selection = Selection(models, protocols, class_name, metric)
    if found := own.find(name, runs):
        return own.data_of(*found, runs, include_random, selection)
    if (study := name.removeprefix(f"{RANKS}/")) != name:
        refuse(name, replace(selection, metric=""))
        metrics = [one.strip() for one in metric.split(",") if one.strip()]
        return diagram.of_study(ranked_study(study, runs, include_random, preset=preset, metrics=metrics))
    refuse(name, selection)
    card, place = find(name)
    with gc_paused():
        records = paper_records(card, paths.runs_dir(runs), [place])
        return paper_figure(card, place, records, published, include_random, ref, preset)


def find(name: str) -> tuple[PaperCard, str]:
    """Return the paper and the name in it of a figure as users type it: `wacv2024/figure4`, `wacv2024/fig4`.

    Raises:
        CardError: There is no such figure.
    """
    paper, _, rest = name.partition("/")
    rest = re.sub(r"^fig(?=[0-9A-Z])", "figure", rest)
    if paper not in cards.names("papers") or rest not in (card := cards.find_paper(paper)).figures:
        raise unknown("figure", name, list_figures(), "All: medbench figure")
    return card, rest


def paper_figure(
    card: PaperCard,
    name: str,
    records: Iterable[Record],
    published: bool = False,
    include_random: bool = False,
    ref: str = "same",
    preset: str | None = None,
) -> FigureData:
    """Return the data of one figure of a paper from records, in any order.

    Records fill values by the rule of tables (`papers.matching.fits`); those that the figure does not show are ignored.
    The other arguments are those of `figure_data`; only figures of ratios have another `ref` than `same`.

    Raises:
        CardError: There is no such figure, or no such reference.
    """
    if name not in card.figures:
        raise unknown("figure", name, card.figures)
    kind = card.figures[name].kind
    finder = FigureRecords(card, name, records, published, include_random, preset)
    if kind == "ratios":
        return ratios.collect(finder, ref)
    if ref != "same":
        raise unknown(f"reference of {card.name}/{name}", ref, ["same"])
    found: FigureData = KINDS[kind].collect(finder, _styles(card))
    return found


def draw(data: FigureData, form: str = "png", dpi: float = 300) -> bytes:
    """Return the picture of a figure's data; the same data give the same bytes with the same matplotlib.

    Args:
        data: What `figure_data` gave.
        form: `png`, `svg` or `pdf`.
        dpi: Dots per inch of a png.

    Raises:
        CardError: The format is unknown.
    """
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    from medbench.report.figures.canvas import Page
    from medbench.report.figures.style import context

    with context():
        page = Page(data)
        KINDS[data.kind].draw(page, data)
        return page.save(form, dpi)


def write_figure(data: FigureData, folder: Path, formats: Sequence[str] = ("png",), dpi: float = 300) -> list[Path]:
    """Write `<folder>/<paper>/<figure>.<format>` for each format and the data as `.csv`; return their paths.

    Raises:
        CardError: A format is unknown.
        OutputError: The folder is read-only or full.
    """
    stem = folder / data.name
    pictures = {form: draw(data, form, dpi) for form in formats}
    for form, picture in pictures.items():
        with files.atomic(stem.with_name(f"{stem.name}.{form}")) as part:
            part.write_bytes(picture)
    values = stem.with_name(f"{stem.name}.csv")
    files.write_text(values, data.csv())
    return [*(stem.with_name(f"{stem.name}.{form}") for form in pictures), values]


def _styles(card: PaperCard) -> dict[str, int]:
    """Return label -> number of its style, in the order in which the paper's tables and figures name them."""
    labels = [row.labels[-1] for row in next(iter(card.tables.values())).rows]
    for figure in card.figures.values():
        labels += [row.label for row in getattr(figure, "rows", [])]
        labels += [line.label for line in getattr(figure, "lines", [])]
    return {label: i for i, label in enumerate(dict.fromkeys(labels))}
