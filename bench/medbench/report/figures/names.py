"""How lines of a figure are called and how they look: the model, and what else tells lines apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from medbench.records.groups import Group, spelt
from medbench.report.figures.style import LOOKS
from medbench.report.tables.marks import RANDOM_MARK

WIDE = 26
"""Letters of a run's name that the title of a small panel has room for in one line."""
SHORT = 16
"""Letters of a class's name that axes have room for."""


class Label(NamedTuple):
    """What distinguishes a line: model, protocol, settings, weights."""

    model: str
    protocol: str
    settings: str
    weights: str


def label_of(group: Group, but: str = "") -> Label:
    """Return the label of a group, its option `but` aside."""
    unit = group.first.unit
    options = spelt({key: value for key, value in unit.options.items() if key != but})
    return Label(unit.model, unit.protocol, "; ".join(filter(None, (unit.preset, options))), group.weights)


def names_of(labels: Sequence[Label]) -> list[str]:
    """Return the name of each label: its model, and protocol, settings and weights only where labels differ in them."""
    protocols = {label.protocol for label in labels}
    names = []
    for model, protocol, settings, weights in labels:
        parts = [model] + [protocol] * (len(protocols) > 1)
        parts += [settings] * (len({one.settings for one in labels if one.protocol == protocol}) > 1)
        parts += [f"{weights} weights"] * (len({one.weights for one in labels if one.model == model}) > 1)
        names.append(" · ".join(parts) + RANDOM_MARK * (weights == "random"))
    return names


def shared_settings(labels: Sequence[Label]) -> list[str]:
    """Return a note with the settings that all labels of a protocol share, which their names lack."""
    found: dict[str, set[str]] = {}
    for label in labels:
        found.setdefault(label.protocol, set()).add(label.settings)
    shared = [f"{protocol} ({settings.pop()})" for protocol, settings in found.items() if len(settings) == 1]
    return [f"settings: {', '.join(shared)}"] * bool(shared)


def styles_of(labels: Sequence[Label], names: Sequence[str]) -> dict[str, int]:
    """Return a style for each name: models have a colour each, and their lines differ in marker and dash."""
    lines = {name: label.model for name, label in zip(names, labels, strict=True)}
    models = list(dict.fromkeys(lines.values()))
    if len(models) == 1:
        return {name: i for i, name in enumerate(lines)}
    others = list(dict.fromkeys(name.removeprefix(model) for name, model in lines.items()))
    n = len(LOOKS)
    return {name: models.index(m) % n + n * others.index(name.removeprefix(m)) for name, m in lines.items()}


def short(name: str) -> str:
    """Return a class's name as axes have room for it."""
    return name if len(name) <= SHORT else name[: SHORT - 1] + "…"


def in_lines(name: str) -> str:
    """Return a run's name as the title of a small panel, in lines if it is long."""
    return name if len(name) <= WIDE else name.replace(" · ", "\n")
