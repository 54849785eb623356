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
    """How one named split is made.

    - `official` takes the release's own split (and draws `val` from train if the release has none);
    - `stratified` draws samples and `grouped` draws complete groups; both keep the class shares;
    - `kfold` draws complete groups into `folds` parts with equal class shares: part `fold` is test, the next val;
    - `fewshot` draws `shots` training and `shots` validation samples (`unit: group`: groups, such as patients) of each
      class from the training part of the rule `base`, with no group in both; the test part of `base` stays the same; in
      a multilabel task each label draws its own samples, and a part is their union;
    - `fraction` keeps the share `train` of the training part of the rule `base`, complete groups, with equal class
      shares; val and test of `base` stay the same;
    - `holdout` is FLAIR's: rows shuffled by `random.seed(seed)`, then per class the first `int(test * n)` are test, the
      next `int(train * n)` train; we draw `val` from train, because every choice here needs one; with `per_class`
      train and then val take that many rows each instead;
    - `shuffle` is the WACV 2024 rule: `random.Random(seed)` shuffles the row numbers, the first `int(held_out * n)` are
      val then test by halves, the rest is train;
    - `contiguous` is its rule for CheXpert: rows by path, the first `int(held_out * n) + extra` are val then test
      by halves, the rest is train. With `disjoint: false` its slices are copied exactly, but the row in both val and
      test is val here, and the row in both test and train is train (a row has one split);
    - `whole` takes all samples for test, for what needs neither training nor validation (zero-shot).
    """

    method: Method = Field(description="How it is made; see above.")
    seed: int = Field(0, ge=0, lt=2**32, description="Another seed draws another split.")
    val: float = Field(
        0.15, ge=0, lt=1, description="Share of validation (`official`: of train, if the release has none)."
    )
    test: float = Field(
        0.15, ge=0, lt=1, description="Share of test; 0: the split may have no test part. `official`: no share."
    )
    train: float | None = Field(None, gt=0, le=1, description="`holdout`, `fraction`: share of train; none: all.")
    per_class: int | None = Field(
        None,
        gt=0,
        description="`holdout`: rows of each class for train, and for val, instead of shares (FLAIR's shots).",
    )
    folds: int = Field(5, gt=2, le=1_000, description="`kfold`: number of parts.")
    fold: int = Field(0, ge=0, description="`kfold`: the part that is test.")
    shots: int = Field(10, gt=0, description="`fewshot`: samples of each class.")
    unit: Literal["sample", "group"] = Field(
        "sample",
        description="`fewshot`: whether `shots` counts samples, or groups with all their samples of the class.",
    )
    validation: bool = Field(
        True,
        description="`official`, `fewshot`, `holdout`: false: no validation part, for protocols that choose nothing.",
    )
    base: Name | None = Field(None, description="`fewshot`, `fraction`: the rule that gives the other parts.")
    held_out: float = Field(0.3, gt=0, lt=1, description="`shuffle`, `contiguous`: share of val and test together.")
    extra: int = Field(0, ge=0, description="`contiguous`: rows that val and test have beyond that share.")
    disjoint: bool = Field(
        True, description="`contiguous`: complete groups, no row twice; false: exact rows, as the WACV code cuts."
    )
    check: dict[Split, list[int]] = Field(
        default_factory=dict, description="`shuffle`: published first row numbers of each split; checked on reading."
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

    default: Name = Field(description="The rule that is used unless another one is asked for.")
    rules: dict[Name, SplitRule] = Field(min_length=1, description="Name -> how the split is made.")

    @model_validator(mode="after")
    def _default_known(self) -> Splits:
        if self.default not in self.rules:
            raise ValueError(f"default split '{self.default}' is not among rules: {', '.join(self.rules)}")
        return self
