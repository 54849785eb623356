"""What a user says of files of their own, where medbench would infer it: columns, task and metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from medbench.cards.dataset import Task
from medbench.errors import DataError, MedbenchError, few, unknown


@dataclass(frozen=True)
class OwnColumns:
    """Choices for a CSV or a folder of one's own; what is None or empty is inferred.

    Attributes:
        image: Column of the image's path.
        label: Column of the class.
        labels: One column per class, instead of `label`.
        group: Column of what a split keeps together: patient, lesion.
        split: Column of train, val and test.
        task: What the labels are.
        metric: Id of the primary metric.
        negative_first: Whether, of two classes, one that means that nothing was found comes first.
    """

    image: str | None = None
    label: str | None = None
    labels: tuple[str, ...] = ()
    group: str | None = None
    split: str | None = None
    task: Task | None = None
    metric: str | None = None
    negative_first: bool = False

    @property
    def named(self) -> list[str]:
        """The columns that are named, each once."""
        every = (self.image, self.label, *self.labels, self.group, self.split)
        return list(dict.fromkeys(name for name in every if name))

    def as_options(self) -> dict[str, str]:
        """Return option -> value, as typed on the command line."""
        label = ",".join(self.labels) or self.label
        given = {
            "--image": self.image,
            "--label": label,
            "--group": self.group,
            "--split-column": self.split,
            "--task": self.task,
            "--metric": self.metric,
        }
        return {option: value for option, value in given.items() if value is not None}


def own_columns(
    image: str | None = None,
    label: str | None = None,
    group: str | None = None,
    split_column: str | None = None,
    task: str | None = None,
    metric: str | None = None,
) -> OwnColumns | None:
    """Return the choices of a command line, or None if there are none. Several names in `label` are one per class.

    Raises:
        MedbenchError: There is no such task, or a column name is empty.
    """
    kind = next((one for one in get_args(Task) if one == task), None)
    if task is not None and kind is None:
        raise unknown("task", task, get_args(Task))
    several = tuple(part.strip() for part in label.split(",")) if label and "," in label else ()
    found = OwnColumns(image, None if several else label, several, group, split_column, kind, metric)
    for option, value in found.as_options().items():
        if not all(part.strip() for part in value.split(",")):
            raise MedbenchError(f"{option} '{value}': a column name is empty", "remove the option, or give a name")
    return found if found.as_options() else None


def negative_first(columns: OwnColumns | None) -> OwnColumns:
    """Return the choices for a card that is to be written: its second class, the positive one, is the finding.

    Without a card, classes stay in the order of their names, since keys of records depend on it.
    """
    return replace(columns or OwnColumns(), negative_first=True)


def refuse_columns(given: OwnColumns | None, name: str, *, card: bool) -> None:
    """Refuse choices that a card makes itself, or columns of a folder, which has none.

    Raises:
        MedbenchError: The choices do not go with the data set.
    """
    typed = given.as_options() if given is not None else {}
    if card and typed:
        raise MedbenchError(
            f"{', '.join(typed)}: these options are for your own CSV or folder, and '{name}' has a card",
            f"edit its card instead; to print it: medbench data card {name}",
        )
    if columns := [option for option in typed if option not in ("--task", "--metric")]:
        raise MedbenchError(
            f"{', '.join(columns)}: '{name}' is a folder of class folders and has no columns",
            "give a CSV of labels, or remove these options",
        )


def task_of(given: OwnColumns, inferred: Task, classes: Sequence[str], where: Path, *, several: bool = False) -> Task:
    """Return the task that the user says, if the labels can be of it; else the inferred one.

    Args:
        given: What the user says.
        inferred: What the labels look like.
        classes: Names, in the order of their numbers.
        where: The label file or folder.
        several: Whether each class has a column of its own.

    Raises:
        DataError: The labels are not of that task.
    """
    task, listed = given.task or inferred, few(classes, 8)
    if task == "binary" and len(classes) != 2:
        fault = f"there are {len(classes)} classes: {listed}"
    elif task == "multilabel" and not several:
        fault = "the classes do not have one column each: name the columns with --label A,B,C"
    elif task != "multilabel" and inferred == "multilabel":
        fault = "some rows have several classes or none"
    elif task == "ordinal" and not several and not all(any(map(str.isdigit, name)) for name in classes):
        fault = f"the order of the classes {listed} is unknown"
    else:
        return task
    raise DataError(
        f"{where}: --task {task}, but {fault}",
        "give another task, or write a card, starting from the output of medbench data card",
    )
