"""The data set card: where the data come from, their files, what the labels mean and how they are split."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from medbench.cards.base import Card, Cell, Deviation, Strict
from medbench.cards.dataset.csv_layout import CsvLayout
from medbench.cards.dataset.layouts import Layout
from medbench.cards.dataset.splits import Split, Splits
from medbench.cards.prompts.card import Prompt
from medbench.errors import CardError

Task = Literal["binary", "multiclass", "ordinal", "multilabel"]
METRICS: dict[Task, str] = {
    "binary": "auroc",
    "multiclass": "recall_macro",
    "ordinal": "kappa_quadratic",
    "multilabel": "auroc_macro",
}
"""The primary metric of a card that names none."""


class ClassInfo(Strict):
    """One class (or, for multilabel tasks, one finding)."""

    name: Cell = Field(description="Its name in tables and figures.")
    terms: list[Prompt] = Field(
        default_factory=list,
        description="Names and signs of the class, the most common first; each is put into a template.",
    )
    prompts: list[Prompt] = Field(
        default_factory=list, description="Whole descriptions of an image of the class, without a template."
    )
    absent: list[Prompt] = Field(
        default_factory=list,
        description="Multilabel: terms for an image without the finding; none: `no` before the first term or the name.",
    )


Class = Annotated[ClassInfo, BeforeValidator(lambda v: v if isinstance(v, (dict, ClassInfo)) else {"name": v})]


class Download(Strict):
    """One file that anyone can download."""

    urls: list[str] = Field(min_length=1, description="Its addresses; mirrors are tried in this order.")
    name: str = Field(description="Its name in the data folder.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="Its digest; checked.")
    bytes: int | None = Field(None, gt=0, description="Its size; checked.")
    unpack: bool = Field(True, description="Whether a zip or tar archive is unpacked in the data folder.")


class Access(Strict):
    """How to get the data."""

    kind: Literal["open", "kaggle", "form", "generated", "own"] = Field(
        "open", description="Who may get it: anyone, Kaggle's users, who fills in a form; drawn here; or your own."
    )
    url: str = Field("", description="Page of the data set.")
    steps: str = Field("", description="What to do, command by command; shown if the data are missing.")
    files: list[Download] = Field(default_factory=list, description="Files that anyone can download, in this order.")


class Counts(Strict):
    """What a complete copy contains."""

    images: int | None = Field(None, ge=0, description="Images in all.")
    classes: list[int] | None = Field(None, description="Images per class, in the order of `classes`.")
    splits: dict[Split, int] = Field(default_factory=dict, description="Images per official split.")


class DatasetCard(Card):
    """One data set with one task."""

    modality: str = Field("", description="E.g. `colour fundus`, `chest X-ray`, `dermoscopy`.")
    licence: str = Field("", description="Licence of the data.")
    access: Access = Field(default_factory=Access, description="How to get the data.")
    root: str | None = Field(
        None,
        description="Folder of the data, from the card's folder and inside it (or beside it, if that is called"
        " `datasets`). --data-root goes before it, MEDBENCH_DATA after it.",
    )
    layout: Layout = Field(description="How the files lie; its `kind` tells which of the forms below it has.")
    exclude: str | None = Field(
        None, description="Text file below the card's folder, one sample id a line: these samples are left out."
    )
    task: Task = Field(description="`ordinal`: classes in order, such as grades; `multilabel`: any number of findings.")
    classes: list[Class] = Field(
        min_length=1,
        description="Names (or mappings) in the order of their numbers, from 0, or by number (`0: normal`); of two, the"
        " second is positive.",
    )
    channels: Literal[1, 3] = Field(3, description="1: images are decoded to grey, 3: to RGB.")
    dicom_window: bool = Field(False, description="Apply the first display window (VOI) of DICOM files that have one.")
    metric: str = Field(
        "",
        description="Id of the primary metric, which all choices use. Default by task: auroc (binary), recall_macro"
        " (multiclass), kappa_quadratic (ordinal), auroc_macro (multilabel).",
    )
    mean: list[float] | None = Field(None, description="Published mean on [0, 1]; none: computed from train.")
    std: list[Deviation] | None = Field(None, description="Published deviation on [0, 1]; none: computed from train.")
    splits: Splits = Field(description="The named splits.")
    counts: Counts = Field(default_factory=Counts, description="What a complete copy contains; `data check` compares.")
    verified: bool = Field(True, description="False: counts are from memory or a third party; runs carry a warning.")
    also: list[str] = Field(default_factory=list, description="Other names, for contamination lists.")
    shift: dict[str, dict[Cell, Cell | None]] = Field(
        default_factory=dict,
        description="For --test-on: training set -> (class of this set -> class there; null: left out). `'*'`: all"
        " other classes of this set; `no finding`: images without one (multilabel). None: classes match by name.",
    )

    @property
    def toy(self) -> bool:
        """Whether the images are drawn by medbench."""
        return self.layout.kind == "toy"

    @property
    def class_names(self) -> list[str]:
        """The classes' names, in index order."""
        return [c.name for c in self.classes]

    def data_folder(self) -> Path | None:
        """Return the folder that the card's `root` names, or None.

        Raises:
            CardError: It is absolute, or leaves the card's folder (of a card in `datasets/`, the folder above).
        """
        if self.root is None:
            return None
        folder = self.folder.absolute()
        top = folder.parent if folder.name == "datasets" else folder
        place = Path(os.path.normpath(folder / self.root))
        if Path(self.root).is_absolute() or not place.is_relative_to(top):
            raise CardError(
                f"data set card {self.name}: root: '{self.root}' is not below {top}",
                "give a folder there, or leave `root` out and pass --data-root",
            )
        return place

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, content: Any) -> Any:
        """Fill in the metric of the task, and the numbers of classes that `values` or `folders` name."""
        if not isinstance(content, dict):
            return content
        usual = [metric for task, metric in METRICS.items() if task == content.get("task")]
        content = {**content, "metric": content.get("metric") or "".join(usual)}
        if isinstance(classes := content.get("classes"), dict):
            content["classes"] = _in_order(classes)
        if isinstance(layout := content.get("layout"), dict):
            content["layout"] = {**layout, **_numbered(layout, content.get("classes"))}
        return content

    @model_validator(mode="after")
    def _consistent(self) -> DatasetCard:
        n = len(self.classes)
        if self.task == "binary" and n != 2:
            raise ValueError(f"a binary task has 2 classes, not {n}")
        if isinstance(self.layout, CsvLayout) and self.layout.labels is not None and len(self.layout.labels) != n:
            raise ValueError(f"layout.labels names {len(self.layout.labels)} columns for {n} classes")
        several = getattr(self.layout, "labels", None) or getattr(self.layout, "separator", None)
        if self.task == "multilabel" and not several and self.layout.kind not in ("toy", "npz"):
            raise ValueError("a multilabel task needs layout.labels, one column per class, or layout.separator")
        if (self.mean is None) != (self.std is None):
            raise ValueError("give both mean and std, or neither")
        for stat in (self.mean, self.std):
            if stat is not None and len(stat) != self.channels:
                raise ValueError(f"mean and std need {self.channels} numbers each")
        return self

    def material(self) -> dict[str, Any]:
        """Return what can change a number, apart from the samples and the split, which have their own digests."""
        return {
            "task": self.task,
            "classes": self.class_names,
            "channels": self.channels,
            **({"dicom_window": True} if self.dicom_window else {}),
            "metric": self.metric,
            "mean": self.mean,
            "std": self.std,
        }


def _in_order(classes: dict[Any, Any]) -> list[Any]:
    """Return the classes of a mapping of numbers, in their order."""
    named = {str(number): name for number, name in classes.items()}
    numbers = [str(number) for number in range(len(named))]
    if set(named) != set(numbers):
        raise ValueError(f"classes: the numbers {', '.join(map(str, classes))} do not run from 0 to {len(classes) - 1}")
    return [named[number] for number in numbers]


def _numbered(layout: dict[str, Any], classes: Any) -> dict[str, Any]:
    """Return `values` and `folders` of a layout as it stands in a card, with class numbers for class names."""
    names = [c.get("name") if isinstance(c, dict) else c for c in classes] if isinstance(classes, list) else []
    number = {str(name): at for at, name in enumerate(names)}
    return {
        field: {key: number.get(value, value) if isinstance(value, str) else value for key, value in given.items()}
        for field in ("values", "folders")
        if isinstance(given := layout.get(field), dict)
    }
