"""Draw a split and write it to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.cards import DatasetCard
from medbench.cards.dataset import METHODS
from medbench.data.checks.near_duplicates import near_groups
from medbench.data.dataset import targets_of
from medbench.data.layouts.reader import read_samples
from medbench.data.load import find_source
from medbench.data.splits.rule_names import SHOTS, number_field, with_rule
from medbench.data.splits.split_file import data_digest, make_split, write_split
from medbench.errors import CardError

if TYPE_CHECKING:
    import pandas as pd

TAKEN_BY = {"folds": ("kfold",), "fold": ("kfold",), "shots": ("fewshot",)}
"""Methods to which a number of `medbench data split` means anything; others (the seed) may be given with all."""

GROUPED = ("grouped", "kfold")
"""Methods that draw complete groups."""


def written_split(
    dataset: str,
    name: str,
    given: dict[str, int],
    out: Path | None,
    root: Path | None,
    allow_outside: bool,
    *,
    near: bool = False,
) -> tuple[DatasetCard, list[dict[str, Any]], Path]:
    """Draw a split, write it and return (card, images per split and class, file).

    Raises:
        CardError: The card has no such rule and medbench no such method, or the rule has no such number, or no groups.
        DataError: The data are missing, or too few for the split.
        OutputError: The file cannot be written.
    """
    source = find_source(dataset, root)
    card, rule = _with_rule(source.card, name or source.card.splits.default, given)
    samples = read_samples(card, source.root, allow_outside, source.tables)
    drawn_from = _near_grouped(card, rule, source.root, samples) if near else samples
    assigned = make_split(card, drawn_from, rule)
    told = "".join(f"-{'' if key == 'seed' else key}{value}" for key, value in given.items())
    path = out or Path(f"{card.name}-{rule}{told}{'-near' if near else ''}.csv")
    write_split(path, samples["id"].tolist(), assigned, data_digest(samples))
    return card, _counts(card, drawn_from, assigned), path


def _near_grouped(card: DatasetCard, rule: str, root: Path, samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples with groups joined that hold near duplicates."""
    method = card.splits.rules[rule].method
    if method not in GROUPED:
        hint = f"--near is for {', '.join(GROUPED)}"
        raise CardError(
            f"the split rule '{rule}' ({method}) does not keep groups together, so --near has no effect", hint
        )
    return samples.assign(group=near_groups(card, root, samples))


def _with_rule(card: DatasetCard, name: str, given: dict[str, int]) -> tuple[DatasetCard, str]:
    """Return the card with the rule called `name`, its own or one of that method, with the numbers asked for."""
    card = with_rule(card, name)
    rule = card.splits.rules[name]
    method = rule.method
    if "@" in name and (twice := number_field(rule)) in given:
        raise CardError(f"'{name}' and --{twice} both set the {twice}", f"remove @N or --{twice}")
    if "shots" in given and SHOTS.fullmatch(name):
        raise CardError(f"'{name}' and --shots both set the number of shots", "leave out one of them")
    for key in given:
        if method not in (methods := TAKEN_BY.get(key, METHODS)):
            raise CardError(
                f"the split rule '{name}' ({method}) takes no --{key}", f"--{key} is for {', '.join(methods)}"
            )
    rules = {**card.splits.rules, name: rule.model_copy(update=given)}
    return card.model_copy(update={"splits": card.splits.model_copy(update={"rules": rules})}), name


def _counts(card: DatasetCard, samples: pd.DataFrame, assigned: Any) -> list[dict[str, Any]]:
    targets = targets_of(samples, card)
    grouped = bool((samples["group"] != samples["id"]).any())
    rows: list[dict[str, Any]] = []
    for part in ("train", "val", "test"):
        there = assigned == part
        row: dict[str, Any] = {"split": part, "images": int(there.sum())}
        if grouped:
            row["groups"] = int(samples["group"][there].nunique())
        for i, name in enumerate(card.class_names):
            of_class = targets[there][:, i] if targets.ndim == 2 else targets[there] == i
            row[name] = int(of_class.sum())
        rows.append(row)
    return rows
