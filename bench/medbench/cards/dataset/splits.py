"""The named splits of a data set, and how each is made."""

from __future__ import annotations

import re
from typing import Literal, get_args

from pydantic import Field, model_validator

from medbench.cards.base import Name, Strict

Split = Literal["train", "val", "test"]
Method = Literal[
    "official", "stratified", "grouped", "kfold", "fewshot", "fraction", "holdout", "shuffle", "contiguous", "whole"
]
METHODS: tuple[Method, ...] = get_args(Method)
SPLITS: tuple[Split, ...] = get_args(Split)
DERIVED: tuple[Method, ...] = ("fewshot", "fraction")
"""Methods that draw from the training part of another rule."""
FRACTION = re.compile(
    r"(?:(?P<base>.+)\+)?fraction-(?P<share>0\.[0-9]{0,3}[1-9])(?:@(?P<seed>0|[1-9][0-9]{0,8}|\{seed\}))?"
)
"""`fraction` with all that it decides; `{seed}` gives each training seed a draw of its own."""


class SplitRule(Strict):
    """How a split is made.

    - `official` uses the split of the release (and draws `val` from train if the release has none);
    - `stratified` draws samples and `grouped` draws complete groups; both keep the class proportions;
    - `kfold` draws complete groups into `folds` folds with equal class proportions: fold `fold` is test, the next one
      is val;
    - `fewshot` draws `shots` training and `shots` validation samples (`unit: group`: groups, such as patients) of each
      class from the train split of the rule `base`, with no group in both; the test split of `base` stays the same; in
      a multilabel task samples are drawn for each label, and train and val are the unions;
    - `fraction` keeps the share `train` of the train split of the rule `base`, by complete groups and with equal class
      proportions; val and test of `base` stay the same;
    - `holdout` is FLAIR's: rows shuffled by `random.seed(seed)`, then per class the first `int(test * n)` are test, the
      next `int(train * n)` train; we draw `val` from train, because hyper-parameters are chosen on it; with
      `per_class`, train and then val get this number of rows instead;
    - `shuffle` is the WACV 2024 rule: `random.Random(seed)` shuffles the row numbers, the first `int(held_out * n)` are
      val, then test, half each, and the rest is train;
    - `contiguous` is the WACV 2024 rule for CheXpert: rows are sorted by path, the first `int(held_out * n) + extra`
      are val, then test, half each, and the rest is train. `disjoint: false` copies its slices exactly, except that a
      row in both val and test is val, and a row in both test and train is train (each row has one split);
    - `whole` uses all samples as test, for protocols without training and validation (zero-shot).
    """

    method: Method = Field(description="Method of the split; see above.")
    seed: int = Field(0, ge=0, lt=2**32, description="Random seed of the split.")
    val: float = Field(
        0.15,
        ge=0,
        lt=1,
        description="Share of the samples for validation (`official`: share of train, if the "
        "release has no validation split).",
    )
    test: float = Field(
        0.15, ge=0, lt=1, description="Share of the samples for test; 0: no test split. Not used by `official`."
    )
    train: float | None = Field(
        None, gt=0, le=1, description="`holdout`, `fraction`: share of the samples for train; default: all that remain."
    )
    per_class: int | None = Field(
        None,
        gt=0,
        description="`holdout`: number of rows of each class for train, and for val, instead of shares (as in FLAIR).",
    )
    folds: int = Field(5, gt=2, le=1_000, description="`kfold`: number of folds.")
    fold: int = Field(0, ge=0, description="`kfold`: number of the test fold, from 0.")
    shots: int = Field(10, gt=0, description="`fewshot`: number of training samples of each class.")
    unit: Literal["sample", "group"] = Field(
        "sample",
        description="`fewshot`: whether `shots` counts samples, or groups (patients) with all their samples of the "
        "class.",
    )
    validation: bool = Field(
        True,
        description="`official`, `fewshot`, `holdout`: false: no validation split, for protocols that choose nothing.",
    )
    base: Name | None = Field(
        None,
        description="`fewshot`, `fraction`: split rule from whose train split samples "
        "are drawn; val and test are those of this rule.",
    )
    held_out: float = Field(
        0.3, gt=0, lt=1, description="`shuffle`, `contiguous`: share of the samples for val and test together."
    )
    extra: int = Field(
        0, ge=0, description="`contiguous`: number of rows that val and test get in addition to that share."
    )
    disjoint: bool = Field(
        True,
        description="`contiguous`: true: groups stay together and no row is in two splits; false: the exact "
        "rows of the WACV 2024 code.",
    )
    check: dict[Split, list[int]] = Field(
        default_factory=dict,
        description="`shuffle`: published first row numbers of each split; checked when the split is made.",
    )
    source: str = Field("", description="Source of the split.")

    @property
    def parts(self) -> tuple[Split, ...]:
        """The parts that a split of this rule must have; the others may be empty."""
        if self.method == "whole":
            return ("test",)
        if self.method in ("grouped", "official") and not self.test:  # pairs: what is trained is tested on other data
            return ("train", "val")
        return SPLITS if self.validation else ("train", "test")


class Splits(Strict):
    """The named splits of a data set."""

    default: Name = Field(description="Split rule that is used by default.")
    rules: dict[Name, SplitRule] = Field(min_length=1, description="Name -> split rule.")

    @model_validator(mode="after")
    def _default_known(self) -> Splits:
        if self.default not in self.rules:
            raise ValueError(f"default split '{self.default}' is not among rules: {', '.join(self.rules)}")
        return self
