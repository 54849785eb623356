"""One page of the report: records that differ only in their seed, with everything behind their score."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.cards.recipes import KINDS
from medbench.metrics import METRICS
from medbench.records import Record
from medbench.records.groups import TESTED, Group, leaves, plain
from medbench.report import inference
from medbench.report.html import diagnostics, plots
from medbench.report.html.data_tabs import data_tabs
from medbench.report.html.tabs import Picture, Tab, tabs_of
from medbench.report.tables.table import DASH, Table
from medbench.storage import files

Pictures = Callable[[str, Mapping[str, tuple[str, ...]]], Mapping[str, bytes]]
"""(data set, id of an image -> its class or findings) -> id -> a small JPEG, for images that are on this machine."""
Facts = tuple[tuple[str, str], ...]
"""(name, value) in order."""
CURVE = "Training curve or grid: mean over seeds, one line per candidate"
LONG = 160  # longer values are cut


@dataclass(frozen=True)
class Wrong:
    """One of the worst-classified images, with its thumbnail if the data are on this machine."""

    image: diagnostics.Worst
    thumbnail: Picture | None


@dataclass(frozen=True)
class MetricRow:
    """One metric: name, mean as a number and as text, interval, value of each seed, values on validation."""

    name: str
    value: float | None
    mean: str
    interval: str
    seeds: tuple[str, ...]
    validation: str


@dataclass(frozen=True)
class Page:
    """The content of one group's page."""

    anchor: str
    group: Group
    badges: tuple[str, ...]
    metrics: tuple[MetricRow, ...]
    pictures: tuple[Picture, ...]
    tabs: tuple[Tab, ...]
    worst: tuple[Wrong, ...]
    warnings: tuple[str, ...]
    chosen: tuple[str, ...]
    chosen_rows: tuple[tuple[str, ...], ...]
    texts: tuple[tuple[str, str, str], ...]
    counts: tuple[tuple[str, int, int | None, str], ...]
    configuration: Facts
    costs: Facts
    provenance: Facts
    command: str
    folders: tuple[str, ...]

    @property
    def unit(self) -> Any:
        """The unit of its first seed."""
        return self.group.first.unit

    @property
    def title(self) -> str:
        """Model · protocol (with its shots) · data set."""
        on = self.group.first.test_on
        where = self.unit.dataset if on is None else f"{self.unit.dataset}, tested on {on}"
        return f"{self.unit.model} · {self.unit.protocol}{self.group.with_shots} · {where}"

    @property
    def score(self) -> tuple[float | None, float | None, int]:
        """(mean, sample standard deviation, n) of the primary metric."""
        return self.group.summary(self.group.first.metric)


def anchor(group: Group) -> str:
    """Return the id of a group's page; two cards of one network and file have a page each."""
    return f"run-{files.digest(list(group.place))[:12]}"


def page_of(
    group: Group,
    runs: Path,
    interval: tuple[float | None, float | None],
    pictures: Pictures | None,
    thumbnails: int,
    corrupted: Table | None = None,
) -> Page:
    """Return the page of a group.

    Args:
        group: The records.
        runs: The run store; folders are given relative to it.
        interval: Ends of the primary metric's 95 % interval, or None.
        pictures: Gives thumbnails; None: the page has none.
        thumbnails: How many of the worst images are shown.
        corrupted: The table of corruptions of its data set; None: there is none.
    """
    first = group.first
    names, rows = _chosen(group.records)
    found = inference.predicted(group)
    drawn = plots.curves(group.records, first.metric)
    shown: tuple[Wrong, ...] = ()
    tabs: tuple[Tab, ...] = ()
    classes = tuple(first.n["test"].classes) if "test" in first.n else ()
    if found is not None and len(classes) == found.scores.shape[2]:
        tabs = (*tabs_of(group, found, classes), *data_tabs(group, corrupted))
        shown = _worst(found, classes, first.test_on or first.unit.dataset, pictures, thumbnails)
    return Page(
        anchor=anchor(group),
        group=group,
        badges=_badges(group),
        metrics=tuple(_metric(group, name, interval) for name in _names(group)),
        pictures=() if drawn is None else (Picture(CURVE, drawn),),
        tabs=tabs,
        worst=shown,
        warnings=tuple(group.warnings() + group.left_out()),
        chosen=names,
        chosen_rows=rows,
        texts=tuple(_texts(first, classes)),
        counts=tuple((split, n.images, n.groups, _classes(n.classes)) for split, n in first.n.items()),
        configuration=facts(first.material),
        costs=_costs(group.records),
        provenance=facts(first.provenance),
        command=command_of(group),
        folders=tuple(r.path.relative_to(runs).as_posix() for r in group.records if r.path is not None),
    )


def facts(values: Mapping[str, Any]) -> Facts:
    """Return nested values as (dotted path, text), in order; long texts are cut."""
    return tuple((path, _text(value)) for path, value in leaves(values))


def command_of(group: Group) -> str:
    """Return the command that made the group's last record; where that is not known, one that runs the group again."""
    if made := group.records[-1].provenance.get("command"):
        return str(made)
    unit, seeds = group.first.unit, [record.unit.seed for record in group.records]
    words = ["medbench", "run", "--model", unit.model, "--protocol", unit.protocol, "--dataset", unit.dataset]
    words += [] if unit.preset == "paper" else ["--preset", unit.preset]
    kind = str(group.first.material.get("protocol", {}).get("kind", unit.protocol))
    # A protocol on fine-tuned networks draws nothing itself: `--seeds` would count the seeds of those networks.
    words += [] if kind in KINDS and KINDS[kind].tunes else ["--seeds", _seeds(seeds)]
    for key, value in sorted(unit.options.items()):
        if key in TESTED:
            words += [f"--{key.replace('_', '-')}", *([] if value is True else [plain(value)])]
            continue
        words += [key, plain(value)] if key.startswith("--") else ["--set", f"{key}={plain(value)}"]
    words += {"random": ["--weights", "random"], "file": ["--weights", "FILE"]}.get(unit.weights, [])
    return shlex.join(words)


def _seeds(seeds: Sequence[int]) -> str:
    """Return seeds as `--seeds` takes them: a number n for the seeds 0 to n - 1, else a list."""
    if list(seeds) == list(range(len(seeds))):
        return str(len(seeds))
    return ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")


def _badges(group: Group) -> tuple[str, ...]:
    unit = group.first.unit
    said = {
        "random weights: not a result": unit.weights == "random",
        "toy data: says nothing about medicine": unit.toy,
        "contamination: the model was pre-trained on this data set": group.contaminated,
        "error in the split: see the warnings": group.flawed,
        "synthetic record": bool(group.first.provenance.get("synthetic")),
    }
    return tuple(text for text, holds in said.items() if holds)


def _names(group: Group) -> list[str]:
    """Return the metrics of the records: the primary one, then in the order of the registry."""
    seen = {name for record in group.records for name in record.metrics}
    primary = group.first.metric
    return list(dict.fromkeys([primary, *(name for name in METRICS if name in seen), *sorted(seen)]))


def _metric(group: Group, name: str, interval: tuple[float | None, float | None]) -> MetricRow:
    mean, std, n = group.summary(name)
    known = METRICS.get(name)
    low, high = interval
    return MetricRow(
        name=name if known is None or known.higher_is_better else f"{name} (lower is better)",
        value=mean,
        mean=DASH if mean is None else f"{mean:.4f}" + ("" if std is None else f" ± {std:.4f} (n={n})"),
        interval=f"[{low:.4f}, {high:.4f}]" if name == group.first.metric and None not in interval else "",
        seeds=tuple(number(record.metrics.get(name)) for record in group.records),
        validation=" ".join(number(record.metrics_val.get(name)) for record in group.records),
    )


def number(value: float | None) -> str:
    """Return a metric's value with four decimals; a dash if it is undefined."""
    return DASH if value is None or value != value else f"{value:.4f}"


def _worst(
    found: inference.Predicted, classes: Sequence[str], dataset: str, pictures: Pictures | None, n: int
) -> tuple[Wrong, ...]:
    images = diagnostics.worst(found, classes, n)
    truth = {image.id: image.truth for image in images}
    small = pictures(dataset, truth) if pictures is not None and truth else {}
    return tuple(
        Wrong(image, Picture(image.id, small[image.id], "jpeg") if image.id in small else None) for image in images
    )


def _chosen(records: Sequence[Record]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return (names, one row per seed) of the hyper-parameters chosen on validation."""
    names = tuple(dict.fromkeys(name for record in records for name in record.chosen))
    rows = tuple((str(r.unit.seed), *(_text(r.chosen.get(name)) for name in names)) for r in records)
    return names, rows if names else ()


def _texts(record: Record, classes: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    """Yield (set of texts, class, its texts), those of the number first; nothing where no text tower was used."""
    for name, one in record.provenance.get("language", {}).get("sets", {}).items():
        absent = one.get("negatives") or [()] * len(classes)
        for label, texts, negatives in zip(classes, one.get("texts", ()), absent, strict=False):
            yield name, label, "; ".join(texts) + (f" (against: {'; '.join(negatives)})" if negatives else "")


def _costs(records: Sequence[Record]) -> Facts:
    """Return times and counts; a value that several seeds share is listed once."""
    found: dict[str, list[str]] = {}
    for record in records:
        for name, value in {**{f"{k}, seconds": v for k, v in record.timings.items()}, **record.counts}.items():
            found.setdefault(name, []).append(_text(value))
    return tuple((name, ", ".join(dict.fromkeys(values))) for name, values in found.items())


def _classes(classes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in classes.items())


def _text(value: Any) -> str:
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= LONG else f"{shown[:LONG]}… ({len(shown):,} characters)"
