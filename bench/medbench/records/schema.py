"""The record of a finished unit."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from medbench.errors import visible

ORIGIN = "origin"
"""Where the provenance says from whom a record was taken over."""
SCHEMA = 2
"""Version of the record's content. 2 added `calibration` and `thresholds`; records of version 1 are read as before."""


@lru_cache(4096)  # every record has the same names of classes and metrics
def _printable(text: str) -> str:
    if visible(text) != text:
        raise ValueError(f"'{text}' contains a control character")
    return text


Text = Annotated[str, AfterValidator(_printable)]
"""A text that tables and figures show."""


class Unit(BaseModel):
    """One (model, protocol, data set, seed) with one set of options."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: Text
    protocol: Text
    dataset: Text
    seed: int
    preset: Text
    options: dict[Text, Any] = Field(default_factory=dict, description="Changes by --set, --image-size and so on.")
    weights: Literal["official", "file", "random", "trained"] = "official"
    toy: bool = Field(False, description="Toy data: generated images that say nothing about medicine.")


class SplitCount(BaseModel):
    """The size of one split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int
    groups: int | None = Field(None, description="Patients or lesions, if the card names a group.")
    classes: dict[Text, int] = Field(description="Class (or finding) -> images.")


class Calibration(BaseModel):
    """Calibration on the test split, as predicted and after temperature scaling that was fitted on validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: list[float | None] = Field(description="One temperature; multilabel: one for each label.")
    ece: float | None = Field(description="Expected calibration error, 15 bins; multilabel: the mean over labels.")
    ece_scaled: float | None = Field(description="The same after scaling.")
    log_loss: float | None
    log_loss_scaled: float | None


class Record(BaseModel):
    """The result of one unit and everything behind it.

    `key` is the digest of `material`, which holds everything that can change the numbers. `group` is the same digest
    without the seed: the records of one group are the repeats of one table cell.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    schema_version: int = SCHEMA
    key: str
    group: str
    unit: Unit
    material: dict[str, Any]
    metric: Text = Field(description="The primary metric's id.")
    metrics: dict[Text, float | None] = Field(description="On the test split; None: undefined there.")
    metrics_val: dict[Text, float | None]
    spread: dict[Text, float | None] = Field(
        default_factory=dict, description="Set of texts -> the primary metric on test with these texts."
    )
    absent: dict[str, list[str]] = Field(
        default_factory=dict, description="Metric -> classes that the mean leaves out because the test split has none."
    )
    calibration: Calibration | None = Field(None, description="None: there are no predictions for validation images.")
    thresholds: dict[Text, dict[Text, float | None]] = Field(
        default_factory=dict,
        description="Rule (as after the @ of a metric) -> class -> log-odds from which an image is called positive, "
        "chosen on validation; None: validation lacks images with the class, or without it.",
    )
    n: dict[Text, SplitCount]
    chosen: dict[str, Any] = Field(default_factory=dict, description="Hyper-parameters chosen on validation.")
    selection: dict[str, Any] = Field(default_factory=dict, description="Every candidate with its validation curve.")
    warnings: list[str] = Field(default_factory=list)
    timings: dict[str, float] = Field(default_factory=dict, description="Seconds, by part.")
    counts: dict[str, float] = Field(default_factory=dict, description="Forwards, images/s, peak memory (MB).")
    provenance: dict[str, Any] = Field(default_factory=dict)

    _folder: str | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _mappings(self) -> Record:
        wanted = (("provenance", ("data", "libraries", "weights")), ("material", ("protocol",)))
        for field, names in wanted:
            held = getattr(self, field)
            if odd := [name for name in names if not isinstance(held.get(name, {}), dict)]:
                raise ValueError(f"{field}.{odd[0]} is no mapping")
        return self

    def __repr__(self) -> str:
        unit = self.unit
        how = [unit.preset, *(f"{key}={value}" for key, value in unit.options.items())]
        how += [f"{unit.weights} weights"] * (unit.weights != "official") + ["toy data"] * unit.toy
        score = "undefined" if self.score is None else f"{self.score:.4f}"
        where = f"{unit.model} · {unit.protocol} · {unit.dataset} · seed {unit.seed}"
        return f"<Record {where}: {self.metric} {score} ({', '.join(how)})>"

    __str__ = __repr__

    @property
    def test_on(self) -> str | None:
        """The data set of another test set that it was tested on; None: its own test images, as they are."""
        name = self.unit.options.get("test_on")
        return None if name is None else str(name)

    @property
    def origin(self) -> str:
        """From whom it was taken over; empty: it was made here."""
        origin = self.provenance.get(ORIGIN)
        return str(origin.get("from", "unknown")) if isinstance(origin, dict) else ""

    @property
    def corruption(self) -> str | None:
        """What was done to its test images, such as `jpeg:3`; None: nothing."""
        name = self.unit.options.get("corrupt")
        return None if name is None else str(name)

    @property
    def path(self) -> Path | None:
        """The folder the record was read from or written to."""
        return None if self._folder is None else Path(self._folder)

    def has(self, name: str) -> bool:
        """Tell whether the folder it was read from or written to has a file of this name."""
        return self._folder is not None and os.path.isfile(f"{self._folder}/{name}")  # noqa: PTH113 - thousands a table

    @property
    def score(self) -> float | None:
        """The primary metric on the test split."""
        return self.metrics.get(self.metric)
