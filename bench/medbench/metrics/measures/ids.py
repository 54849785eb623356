"""The ids of metrics that are computed on demand: `NAME[_macro][:DETAIL][@CHOICE]`.

    sensitivity@specificity=0.9     the rule after @ chooses a threshold on validation, which is applied to test
    sensitivity@0.5                 a given probability: nothing is chosen
    ece:mass:10                     details follow the : (here 10 bins of equal mass)
    ece@temperature                 after temperature scaling, fitted on validation
    ppv_macro@youden                the mean over classes, each against the rest and with its own threshold

Without `_macro` a threshold is for class 1 of a binary task. `MEASURES` has all names.
"""

from __future__ import annotations

import re

from medbench.errors import CardError, unknown
from medbench.metrics.measures.measure import BINS, MEASURES, RATE, Measure
from medbench.metrics.measures.thresholds import Rule, rule_of
from medbench.metrics.registry import METRICS, NOMINAL

ECE = "ece_15"
"""The calibration error that records hold; on demand it is `ece`."""
BIASED = ("ece", "brier_reliability", "brier_resolution")
FORM = re.compile(r"(?P<name>[a-z_]+?)(?P<macro>_macro)?(?::(?P<detail>[^@]*))?(?:@(?P<choice>.*))?")


def measure(metric_id: str, task: str | None = None) -> Measure:
    """Return the metric of an id; with a task, the variant that this task has (`ece_macro` for multilabel tasks).

    Args:
        metric_id: The id, in any spelling.
        task: `binary`, `multiclass`, `ordinal` or `multilabel`; None: as the id says.

    Raises:
        CardError: It is unknown, malformed, or not for the task.
    """
    form = FORM.fullmatch(metric_id)
    if form is None or form["name"] not in MEASURES:
        name = form["name"] if form else metric_id
        if name in METRICS:
            raise CardError(
                f"the metric '{name}' is computed only in runs, on the complete test split, and only for some tasks",
                f"choose from: {', '.join(MEASURES)}",
            )
        raise unknown("metric", name, dict.fromkeys((*METRICS, *MEASURES)))
    name, base = form["name"], MEASURES[form["name"]]
    size, mass, rate = _details(metric_id, name, form["detail"])
    rule, scaled = _choice(metric_id, name, form["choice"])
    macro = form["macro"] is not None or (task is not None and task not in base.plain and task in base.macro)
    found = Measure(name, macro, rule, size, mass, rate, scaled)
    if task is not None and task not in found.tasks:
        fitting = [f"{one}_macro" if task not in MEASURES[one].plain else one for one in MEASURES if _fits(one, task)]
        raise CardError(f"the metric '{metric_id}' is not for {task} tasks", f"choose from: {', '.join(fitting)}")
    if not found.tasks:
        raise CardError(f"the metric '{metric_id}' has no mean over classes", f"remove _macro: {name}")
    return found


def spellings(metric_id: str) -> set[str]:
    """Return the ids that a user may mean: as typed, and for tasks of two and of several classes."""
    found = {metric_id}
    for task in (*NOMINAL, "multilabel"):
        try:
            found.add(measure(metric_id, task).id)
        except CardError:
            continue
    return found


def higher_is_better(metric_id: str) -> bool | None:
    """Return the direction of any metric; None for one that has none, or that is unknown."""
    if metric_id in METRICS:
        return METRICS[metric_id].higher_is_better
    form = FORM.fullmatch(metric_id)
    return None if form is None or form["name"] not in MEASURES else MEASURES[form["name"]].higher_is_better


def on_demand(metric_id: str) -> bool:
    """Tell whether a metric is one that no record holds, and so is computed from stored predictions."""
    form = FORM.fullmatch(metric_id)
    return metric_id not in METRICS and form is not None and form["name"] in MEASURES


def biased(metric_id: str) -> bool:
    """Tell whether noise moves a metric in one direction, further in smaller test splits: ECE and the parts of Brier.

    A difference of such a metric between two sets of images then has no interval that can be trusted.
    """
    form = FORM.fullmatch(metric_id)
    return metric_id == ECE or (form is not None and form["name"] in BIASED)


def _fits(name: str, task: str) -> bool:
    return task in MEASURES[name].plain or task in MEASURES[name].macro


def _details(metric_id: str, name: str, detail: str | None) -> tuple[int, bool, float]:
    """Return (number of bins, whether they are of equal mass, highest rate) from the text after the `:`."""
    if detail is None:
        return BINS, False, RATE
    if MEASURES[name].kind == "bins" and (form := re.fullmatch(r"(width|mass)?:?(\d{0,4})", detail)):
        size = int(form[2] or BINS)
        if size > 0 and (form[1] or form[2]):
            return size, form[1] == "mass", RATE
    if name == "auroc_partial" and re.fullmatch(r"0?\.\d+|1(\.0*)?", detail) and float(detail) > 0:
        return BINS, False, float(detail)
    ways = {"bins": "a number of bins, or mass:10 for bins of equal mass"}
    hint = "the highest false positive rate, such as 0.1" if name == "auroc_partial" else ways.get(MEASURES[name].kind)
    raise CardError(
        f"'{metric_id}': {name} does not accept '{detail}'", f"after the : {hint}" if hint else "leave it out"
    )


def _choice(metric_id: str, name: str, choice: str | None) -> tuple[Rule | None, bool]:
    """Return (rule of the threshold, whether temperatures are fitted) from the text after the `@`."""
    kind = MEASURES[name].kind
    if kind == "threshold":
        rule = Rule() if choice is None else rule_of(choice, metric_id)
        if name == "net_benefit" and rule.on_validation:
            raise CardError(
                f"'{metric_id}': net benefit needs the threshold probability of treatment",
                "give the probability after the @, such as net_benefit@0.1",
            )
        return rule, False
    if choice is None:
        return None, False
    if choice == "temperature" and kind in ("bins", "probability"):
        return None, True
    allowed = "after the @: temperature" if kind in ("bins", "probability") else "leave it out"
    raise CardError(f"'{metric_id}': {name} cannot be combined with @{choice}", allowed)
