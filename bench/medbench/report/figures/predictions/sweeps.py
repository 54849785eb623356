"""A metric against a setting: the depth of `freeze` and `decapitate`, or the share of the training images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medbench import cards
from medbench.cards.dataset import FRACTION
from medbench.cards.recipes import KINDS
from medbench.errors import CardError, MedbenchError
from medbench.records import Record
from medbench.records.groups import FLAW, FLAW_MARK, SEEN, SEEN_MARK, Group, collect, pick
from medbench.report.figures import shots
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.names import Label, label_of, names_of, shared_settings, styles_of
from medbench.report.figures.predictions.runs import TOY, Selection, records_of
from medbench.report.measured import measured
from medbench.report.tables.marks import SANITY, interval

if TYPE_CHECKING:
    from medbench.report.figures.canvas import Page

DEPTHS, EFFICIENCY = "depths", "label-efficiency"
SWEPT = ("frozen", "kept")
"""Settings that are depths."""
SHARE = b"fraction-"
"""What the units of records with a share of the training images have."""


@dataclass(frozen=True)
class Place:
    """Where a group is in a figure.

    Attributes:
        group: The records.
        label: What distinguishes its line.
        x: Its place on the line.
        panel: Its panel.
    """

    group: Group
    label: Label
    x: float
    panel: str = ""


def depths(dataset: str, records: Sequence[Record], include_random: bool, selection: Selection) -> FigureData:
    """Return the figure of the metric against the number of frozen or kept units, one panel for each protocol.

    The ends of a line, no unit and all units, are the runs of the protocols that are the same there.

    Raises:
        MedbenchError: No such protocol was run.
    """
    groups, notes = _groups(dataset, records, include_random, selection)
    found = [place for group in groups for place in _depth(group, groups)]
    if not found:
        raise MedbenchError(
            f"nothing has been run on '{dataset}' with several depths yet",
            f"medbench run --model MODEL --protocol freeze --set frozen=[1,2,3] --dataset {dataset}",
        )
    titles = {"frozen": "frozen units", "kept": "kept units"}
    options = {place.panel: _swept(place.group) for place in found if _swept(place.group)}
    panels = [Panel(name, name, titles[option]) for name, option in options.items()]
    others = dict.fromkeys(p.group.first.unit.protocol for p in found if p.group.first.unit.protocol != p.panel)
    ends = [f"ends of lines: {', '.join(others)}, which is the same training with no unit or with all units"] * bool(
        others
    )
    return _figure(dataset, DEPTHS, found, panels, "depth", selection.metric, [*ends, *notes])


def _swept(group: Group) -> str:
    """Return the setting of a group that is a depth; empty: it has none."""
    return next((option for option in SWEPT if option in group.first.unit.options), "")


def _kind_of(group: Group) -> str:
    return str(group.first.material.get("protocol", {}).get("kind", group.first.unit.protocol))


def _depth(group: Group, groups: Sequence[Group]) -> Iterable[Place]:
    """Yield the place of a group with a depth, and those of the groups at the ends of its line."""
    option = _swept(group)
    if not option or _kind_of(group) not in KINDS:
        return
    kind, label = KINDS[_kind_of(group)], label_of(group, option)
    yield Place(group, label, float(group.first.unit.options[option]), label.protocol)
    try:
        units = cards.find_model(label.model).units
    except CardError:
        units = None
    for end, x in ((kind.first, 0), (kind.last, units)):
        for other in groups if end and x is not None else ():
            if _kind_of(other) == end and label_of(other)._replace(protocol=label.protocol) == label:
                yield Place(other, label, float(x or 0), label.protocol)


def efficiency(dataset: str, records: Sequence[Record], include_random: bool, selection: Selection) -> FigureData:
    """Return the figure of the metric against the share of the training images.

    Raises:
        MedbenchError: Nothing was run with a share of them.
    """
    groups, notes = _groups(dataset, records, include_random, selection)
    found = [place for group in groups if (place := _share(group)) is not None]
    lines = {place.label for place in found if place.x < 1}
    found = [place for place in found if place.label in lines]
    if not found:
        raise MedbenchError(
            f"nothing has been run on '{dataset}' with a share of the training images yet",
            "medbench run --model MODEL --protocol PROTOCOL --set 'split=fraction-0.1@{seed}' "
            f"--dataset {dataset}, and the same with other shares",
        )
    sizes = {place.group.first.n["train"].images for place in found if place.x == 1 and "train" in place.group.first.n}
    whole = f" (all: {', '.join(map(str, sorted(sizes)))} images)" if sizes else ""
    panels = [Panel("", "", f"share of the training images{whole}")]
    return _figure(dataset, EFFICIENCY, found, panels, "share of the training images", selection.metric, notes)


def _share(group: Group) -> Place | None:
    """Return the place of a group; None if it did not learn from the training part, or from its shots."""
    split = group.first.unit.options.get("split")
    told = FRACTION.fullmatch(str(split)) if split is not None else None
    if isinstance(group.shots, int):
        return None
    label = label_of(group, "split")
    base = told["base"] if told else split
    drawn = f"; split={base}" * (base is not None)
    return Place(group, label._replace(settings=label.settings + drawn), float(told["share"]) if told else 1.0)


def _groups(
    dataset: str, records: Sequence[Record], include_random: bool, selection: Selection
) -> tuple[list[Group], list[str]]:
    """Return the groups that may be shown, and notes."""
    groups, notes = pick(collect(records_of(dataset, records, selection)))
    return [g for g in groups if include_random or g.first.unit.weights != "random"], notes


def _figure(
    dataset: str,
    kind: str,
    found: Sequence[Place],
    panels: Sequence[Panel],
    what: str,
    metric: str,
    notes: Sequence[str],
) -> FigureData:
    found = list({(place.label, place.x, place.panel, place.group.place): place for place in found}.values())
    labels = list(dict.fromkeys(place.label for place in found))
    names = dict(zip(labels, names_of(labels), strict=True))
    shown = metric or found[0].group.first.metric
    points = [_point(place, names[place.label], shown) for place in sorted(found, key=lambda place: place.x)]
    marks = "".join(point.marks for point in points)
    toy = TOY * any(place.group.first.unit.toy for place in found)
    lines = [shots.BANDS + shots.STD * any(p.low is None and p.std is not None for p in points)]
    lines += [SANITY] * any(label.weights == "random" for label in labels)
    lines += [text for text in (SEEN, FLAW) if text[0] in marks]
    return FigureData(
        name=f"dataset/{dataset}/{kind}",
        kind=kind,
        title=f"{dataset}{toy}: {shown} on the test split against {what}",
        panels=tuple(Panel(panel.name, panel.title, panel.x_title, shown) for panel in panels),
        series=styles_of(labels, list(names.values())),
        points=tuple(points),
        columns=1,
        notes=(*lines, *shared_settings(labels), *notes),
    )


def _point(place: Place, name: str, metric: str) -> Point:
    group, x = place.group, place.x
    if any(metric in record.metrics for record in group.records):
        (mean, std, n), (low, high) = group.summary(metric), interval(group, metric)
    else:
        one = measured(group, [metric], intervals=True)[metric]
        mean, std, n, low, high = one.value, one.std, one.n, one.low, one.high
    marks = SEEN_MARK * group.contaminated + FLAW_MARK * group.flawed
    at = int(x) if x == int(x) else x
    return Point(place.panel, name, at, None, mean, std, n, None, marks, (group.first.group[:12],), low, high)


def draw(page: Page, data: FigureData) -> None:
    """Draw each panel as `shots` does: depths one unit apart, shares by doublings."""
    place: Callable[[Iterable[str | float]], dict[str | float, float]] = shots.places
    if data.kind == DEPTHS:
        place = lambda xs: {x: float(x) for x in xs}  # noqa: E731
    shots.draw_at(page, data, place(point.x for point in data.points))
