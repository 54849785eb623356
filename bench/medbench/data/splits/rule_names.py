"""A card's split rules by name; RULE@N, the same rule with another seed; and names that say the whole rule.

Few shots: `fewshot-K[-group][-noval]` draws K samples (`-group`: patients) of each class from the training part of the
card's default rule, and as many for validation (`-noval`: none); `BASE+fewshot-K…` draws from the rule BASE, which can
be RULE@M. With `@N` at the end the draw has the seed N: `official+fewshot-5-group@3`. No rule's own name has @ or +.
`fraction-0.25`, likewise with BASE and @N, keeps this share of the training part, and val and test as they are.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Literal

from medbench.cards.dataset import DERIVED, FRACTION, METHODS, DatasetCard, SplitRule
from medbench.errors import CardError, unknown

NUMBERED = re.compile(r"(?P<rule>[^@]+)@(?P<number>0|[1-9][0-9]{0,8})")
"""RULE@N. No rule's own name has an @; one number is written in one way, so that it has one file."""
PARTS = re.compile(r"kfold-([1-9][0-9]{0,2})")
"""`kfold` with this number of parts, where a card does not list it."""
SHOTS = re.compile(
    r"(?:(?P<base>.+)\+)?fewshot-(?P<shots>[1-9][0-9]{0,5})(?P<group>-group)?(?P<noval>-noval)?"
    r"(?:@(?P<seed>0|[1-9][0-9]{0,8}))?"
)
"""`fewshot` with all that it decides."""
UNDRAWN = ("official", "contiguous", "whole")
"""Methods whose test part no seed draws."""


def has_rule(card: DatasetCard, name: str) -> bool:
    """Tell whether a name is that of a rule of the card, or RULE@N of one."""
    numbered = NUMBERED.fullmatch(name)
    return name in card.splits.rules or bool(numbered and numbered["rule"] in card.splits.rules)


def is_told(card: DatasetCard, name: str) -> bool:
    """Tell whether a name says a rule that the card does not have: a method, `kfold-N`, few shots, a fraction."""
    plain = name.partition("@")[0]
    known = plain in METHODS or PARTS.fullmatch(plain) or SHOTS.fullmatch(name) or FRACTION.fullmatch(name)
    return bool(known) and not has_rule(card, name)


def rule_of(card: DatasetCard, name: str) -> SplitRule:
    """Return the rule of a name; RULE@N is that rule with the seed N, or of `kfold` with the part N as test.

    So FLAIR's five folds are `flair-holdout@0` to `flair-holdout@4`, and `kfold@0` to `kfold@4` test each group once.

    Raises:
        CardError: The card has no such rule, its test part is not drawn, or N is not an integer.
    """
    rules = card.splits.rules
    if name in rules:
        return rules[name]
    base, _, number = name.partition("@")
    if base not in rules:
        raise _unknown(card, name)
    rule = rules[base]
    if rule.method in UNDRAWN:
        drawn = _drawn(card)
        hint = f"use {base} without @N" + (f", or a rule that draws at random: {', '.join(drawn)}" if drawn else "")
        raise CardError(
            f"{card.name}: no split '{name}': the rule '{base}' ({rule.method}) does not draw at random", hint
        )
    if not NUMBERED.fullmatch(name):
        raise CardError(f"{card.name}: no split '{name}': '{number}' is not an integer from 0", f"for example {base}@3")
    return rule.model_copy(update=_changes(rule, int(number)))


def number_field(rule: SplitRule) -> str:
    """Return what N tells: the field `fold` of a k-fold, the `seed` of all others."""
    return "fold" if rule.method == "kfold" else "seed"


def with_rule(card: DatasetCard, name: str) -> DatasetCard:
    """Return the card with a rule called `name`: its own, that of a method it does not list, or RULE@N of either.

    `kfold-7` is `kfold` with 7 parts; `SHOTS` and `FRACTION` are patterns of names.

    Raises:
        CardError: The card has no such rule and medbench no such method.
    """
    rules, plain = dict(card.splits.rules), name.partition("@")[0]
    if (told := SHOTS.fullmatch(name)) and not has_rule(card, name):
        base = told["base"] or _default_base(card)
        return _with(with_rule(card, base), {name: _few(base, told)})
    if (told := FRACTION.fullmatch(name)) and not has_rule(card, name):
        base = told["base"] or _default_base(card)
        rule = SplitRule(method="fraction", train=float(told["share"]), seed=int(told["seed"] or 0))
        return _with(with_rule(card, base), {name: rule.model_copy(update={"base": base})})
    if plain not in rules and (parts := PARTS.fullmatch(plain)):
        rules[plain] = SplitRule(method="kfold", folds=int(parts[1]))
        card = _with(card, rules)
    elif plain not in rules:
        if plain not in METHODS:
            raise unknown(f"split rule of {card.name}", name, {*rules, *METHODS})
        base = _default_base(card) if plain in DERIVED else None
        rules[plain] = SplitRule.model_validate({"method": plain, "base": base})
        card = _with(card, rules)
    return _with(card, {name: rule_of(card, name)})


def _few(base: str, told: re.Match[str]) -> SplitRule:
    """Return the rule that a name of few shots says."""
    unit: Literal["sample", "group"] = "group" if told["group"] else "sample"
    shots, seed = int(told["shots"]), int(told["seed"] or 0)
    rule = SplitRule(method="fewshot", shots=shots, unit=unit, validation=not told["noval"], seed=seed)
    return rule.model_copy(update={"base": base})  # which can be RULE@N, unlike that of a card


def _default_base(card: DatasetCard) -> str:
    """Return the rule that few shots and fractions draw from unless another is named."""
    default = card.splits.rules[card.splits.default]
    return (default.method in DERIVED and default.base) or card.splits.default


def _with(card: DatasetCard, rules: dict[str, SplitRule]) -> DatasetCard:
    rules = {**card.splits.rules, **rules}
    return card.model_copy(update={"splits": card.splits.model_copy(update={"rules": rules})})


def _changes(rule: SplitRule, number: int) -> dict[str, Any]:
    field = number_field(rule)
    if field == "seed" and number != rule.seed:
        return {field: number, "check": {}}  # published rows are those of the rule's own seed
    return {field: number}


def _drawn(card: DatasetCard) -> list[str]:
    return [name for name, rule in card.splits.rules.items() if rule.method not in UNDRAWN]


def _unknown(card: DatasetCard, name: str) -> CardError:
    base, at, number = name.partition("@")
    near = difflib.get_close_matches(base, _drawn(card) if at else card.splits.rules, cutoff=0.5)
    if "fewshot-" in name:
        return CardError(
            f"data set '{card.name}' has no split '{name}'",
            "a few-shot split is fewshot-K@SEED with K from 1 up; -group after K counts patients, -noval means no "
            "validation, and RULE+ in front draws from that rule: official+fewshot-5-group-noval@0",
        )
    if "fraction-" in name:
        return CardError(
            f"data set '{card.name}' has no split '{name}'",
            "a share of train is fraction-0.25@SEED, between 0 and 1; RULE+ in front draws from that rule",
        )
    meant = f"did you mean {' or '.join(f'{rule}{at}{number}' for rule in near)}; " if near else ""
    return CardError(
        f"data set '{card.name}' has no split '{name}'",
        f"{meant}it has: {', '.join(card.splits.rules)}; or give a CSV file with the columns id and split",
    )
