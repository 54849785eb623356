"""The tabs of a run's page: operating points, calibration, classes, confusion and curves, with 95 % intervals.

Everything is computed from stored predictions. Thresholds and temperatures are those that validation chose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from medbench.metrics.measures import measure
from medbench.metrics.measures.thresholds import RECORDED
from medbench.records.groups import Group
from medbench.report.figures.predictions.confusion import ENDS, SHARE, of_classes
from medbench.report.figures.predictions.runs import Run
from medbench.report.html import plots
from medbench.report.inference import Predicted
from medbench.report.measured import Measured, by_class, load_predictions, measured
from medbench.report.tables.choose import HELD
from medbench.report.tables.class_table import USUAL
from medbench.report.tables.table import DASH, decimal

AT_THRESHOLD = ("sensitivity", "specificity", "ppv", "npv")
OF_RULE = {
    "youden": "highest sensitivity + specificity",
    "specificity": "highest sensitivity at specificity ≥ {at:g}",
    "sensitivity": "highest specificity at sensitivity ≥ {at:g}",
}
"""What a rule looks for on validation."""
OF_PROBABILITIES = {
    "ece": "ECE (0 is best)",
    "log_loss": "log loss (lower is better)",
    "brier": "Brier score (lower is better)",
    "calibration_slope": "calibration slope (1 is best)",
    "calibration_intercept": "calibration intercept (0 is best)",
}
AREAS = {"auroc": "area under the ROC curve", "ap": "average precision"}
SHARES = "share of the true class, with its 95 % interval over test patients (Wilson, Rao-Scott)"
Draw = Callable[[Predicted, Sequence[str]], bytes | None]


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG with its title."""

    title: str
    data: bytes
    kind: str = "png"


@dataclass(frozen=True)
class Tab:
    """One tab: a table of texts, what to say of it, and plots."""

    title: str
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()


def tabs_of(group: Group, found: Predicted, classes: Sequence[str]) -> tuple[Tab, ...]:
    """Return the tabs of a group besides the overview; those without content are left out.

    Args:
        group: The records.
        found: Their test predictions.
        classes: The classes.
    """
    loaded = load_predictions(group)
    if loaded is None:
        return ()
    run = Run(group, "", loaded)
    ids = {name: measure(name, run.task).id for name in (*_at_rules(), *_of_probabilities(), *AREAS)}
    values = measured(group, list(ids.values()), intervals=True)
    numbers = {name: values[own] for name, own in ids.items()}
    made = (
        _operating(run, numbers),
        _calibration(numbers, found, classes),
        _classes(run, found, classes),
        _confusion(run, found, classes),
        _curves(run, numbers, found, classes),
    )
    return tuple(tab for tab in made if tab.rows or tab.pictures)


def _at_rules() -> list[str]:
    return [f"{name}@{rule}" for rule in RECORDED for name in AT_THRESHOLD]


def _of_probabilities() -> list[str]:
    return [name + end for name in OF_PROBABILITIES for end in ("", "@temperature")]


def _operating(run: Run, numbers: Mapping[str, Measured]) -> Tab:
    rows = [
        (OF_RULE[rule.kind].format(at=rule.at), *(_text(numbers[f"{name}@{rule}"]) for name in AT_THRESHOLD))
        for rule in RECORDED
    ]
    notes = [] if run.binary else ["mean over the classes, each against the rest, with one threshold per class"]
    return _table("Operating points", ("threshold on validation", *AT_THRESHOLD), rows, numbers, (*notes, HELD))


def _calibration(numbers: Mapping[str, Measured], found: Predicted, classes: Sequence[str]) -> Tab:
    rows = [
        (text, _text(numbers[name]), _text(numbers[f"{name}@temperature"])) for name, text in OF_PROBABILITIES.items()
    ]
    notes = ("temperature: fitted on validation, applied to test; intervals keep it fixed",)
    drawn = _pictures({"Reliability diagram, 15 bins": plots.reliability}, found, classes)
    return _table("Calibration", ("metric", "raw", "after temperature scaling"), rows, numbers, notes, drawn)


def _classes(run: Run, found: Predicted, classes: Sequence[str]) -> Tab:
    lines = by_class(run.group, USUAL)
    images = run.group.first.n["test"].classes
    rows = [
        (name, f"{images[name]:,}", *(_text(one) for one in line.values()))
        for name, line in zip(classes, lines, strict=True)
    ]
    notes = (
        "each class against the rest, at its threshold with the highest sensitivity + specificity on validation",
        HELD,
    )
    drawn = _pictures({"AUROC of each label: mean and range over seeds": plots.by_label}, found, classes)
    return _table("Classes", ("class", "test images", *USUAL), rows, lines[0] if lines else {}, notes, drawn)


def _confusion(run: Run, found: Predicted, classes: Sequence[str]) -> Tab:
    title = "Confusion matrix: images, mean over seeds; colour is the share of the true class"
    drawn = _pictures({title: plots.confusion}, found, classes)
    if run.multilabel or len(classes) > ENDS:
        return Tab("Confusion", pictures=drawn)
    cells = {(point.series, point.x): point for point in of_classes(run) if point.y == SHARE}
    rows = [
        (true, *(_share(cells[true, name].mean, cells[true, name].low, cells[true, name].high) for name in classes))
        for true in classes
    ]
    return Tab("Confusion", ("true class", *(f"predicted {name}" for name in classes)), tuple(rows), (SHARES,), drawn)


def _curves(run: Run, numbers: Mapping[str, Measured], found: Predicted, classes: Sequence[str]) -> Tab:
    rows = [(text, _text(numbers[name])) for name, text in AREAS.items()]
    notes = () if run.binary else ("mean over the classes, each against the rest",)
    draw: dict[str, Draw] = {
        "ROC curves: each class against the rest, mean over seeds": plots.roc,
        "Precision-recall curves: each class against the rest, mean over seeds": plots.precision,
    }
    return _table("Curves", ("area", "value"), rows, numbers, notes, _pictures(draw, found, classes))


def _table(
    title: str,
    heads: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    numbers: Mapping[str, Measured],
    notes: tuple[str, ...],
    pictures: tuple[Picture, ...] = (),
) -> Tab:
    """Return a tab without the rows that have no number, and with the reason for it."""
    rows = list(rows)
    numeric = [row for row in rows if any(cell != DASH and not cell.replace(",", "").isdigit() for cell in row[1:])]
    lacking = dict.fromkeys(one.lacking for one in numbers.values() if one.lacking) if len(numeric) < len(rows) else {}
    return Tab(title, heads if numeric else (), tuple(numeric), (*notes, *lacking) if rows else notes, pictures)


def _pictures(draw: Mapping[str, Draw], found: Predicted, classes: Sequence[str]) -> tuple[Picture, ...]:
    def made() -> Iterator[Picture]:
        for title, plot in draw.items():
            if (drawn := plot(found, classes)) is not None:
                yield Picture(title, drawn)

    return tuple(made())


def _text(one: Measured) -> str:
    return _share(one.value, one.low, one.high)


def _share(value: float | None, low: float | None, high: float | None) -> str:
    """Return `0.948 [0.926, 0.965]`; a dash where there is no number."""
    if value is None:
        return DASH
    return decimal(value) + ("" if low is None or high is None else f" [{decimal(low)}, {decimal(high)}]")
