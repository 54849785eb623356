"""Another test set: other data, whose classes become those that were trained on, or the own images, corrupted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import DatasetCard
from medbench.data.dataset import Dataset, split_digest_of
from medbench.data.images.corruption import Corruption
from medbench.data.splits.rules import hot_of
from medbench.errors import CardError, DataError, few

if TYPE_CHECKING:
    import pandas as pd

Part = Literal["all", "test"]
"""Which images of the other set are tested: all, since nothing is fitted to any of them, or its own test part."""
Classes = dict[str, str | None]
"""Class of the other set -> class of the set that was trained on; None: its images are left out."""
Hot = npt.NDArray[np.bool_]

NOTHING = "no finding"
"""Of a set of findings: the images without any."""
REST = "*"
"""In a card's map: every other class."""


@dataclass(frozen=True)
class Shifted:
    """Another test set, seen through the classes of the set that was trained on.

    Attributes:
        dataset: The images that count are its `test`, with the trained set's task, channels and metric; the others are
            in no split.
        original: The other set's own card.
        classes: What each of its classes is.
        columns: The classes that are scored, by their place among those trained on.
        closed: Whether classes that the other set lacks are left out of the scores.
        part: Which of its images count.
        dropped: Why images of that part do not count -> how many.
    """

    dataset: Dataset
    original: DatasetCard
    classes: Classes
    columns: tuple[int, ...]
    closed: bool = False
    part: Part = "all"
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The other set's name."""
        return self.original.name

    @property
    def corruption(self) -> Corruption | None:
        """What is done to its images, which are then the own test images."""
        return self.dataset.corruption

    @property
    def extracted(self) -> int:
        """Number of images that go through an encoder whose features are stored."""
        return self.dataset.sizes["test"] if self.corruption else len(self.dataset.samples)

    @property
    def options(self) -> dict[str, Any]:
        """The options that distinguish units tested on it from those tested on the data set of the training."""
        part = {"test_part": self.part} if self.part != "all" else {}
        corrupt = {"corrupt": str(self.corruption)} if self.corruption else {}
        return {"test_on": self.name, **part, **({"closed": True} if self.closed else {}), **corrupt}

    @property
    def material(self) -> dict[str, Any]:
        """What can change a number in addition to what the trained job's material has."""
        if self.corruption:
            return {"corruption": self.corruption.material}
        return {
            "dataset": self.original.material(),
            "data": self.dataset.digest,
            "rows": self.dataset.split_digest,
            "classes": self.classes,
            "columns": self.dataset.card.class_names,
        }


def shifted(trained: Dataset, other: Dataset, *, closed: bool = False, part: Part = "all") -> Shifted:
    """Return `other` as a test set of what is trained on `trained`.

    If `other` has one class per image, an image counts if its class is mapped. If `other` has findings and `trained`
    one class per image, an image counts if its findings map to one class. If both have findings, all images count; a
    finding that nothing maps to is not scored, since its labels are unknown there.

    Args:
        trained: The set that was trained on.
        other: The set to test on.
        closed: Score only the classes that both sets have. Sets of findings are always scored so.
        part: Which images of `other` count.

    Raises:
        MedbenchError: It is the same set, images or patients are in both, a class does not map, nothing is left.
    """
    classes = class_map(trained.card, other.card)
    names = trained.card.class_names
    known = {name for name in classes.values() if name in names}
    closed = (closed or trained.multilabel) and len(known) < len(names)
    columns = tuple(i for i, name in enumerate(names) if name in known or not closed)
    if len(columns) < (1 if trained.multilabel else 2):
        raise DataError(
            f"{other.card.name} shares {'no finding' if trained.multilabel else 'fewer than two classes'} with"
            f" {trained.card.name}",
            "test on a data set with more of its classes" + (", or remove --closed" if closed else ""),
        )
    assigned = other.samples["split"].to_numpy()
    wanted = np.full(len(assigned), True) if part == "all" else assigned == part
    targets, why = _targets(trained.card, other, classes, columns)
    counts = wanted & (why == "")
    if not counts.any():
        raise DataError(f"no image of {other.card.name} has a class of {trained.card.name}", _hint(trained.card, other))
    card = other.card.model_copy(
        update={
            "task": trained.card.task,
            "classes": [trained.card.classes[i] for i in columns],
            "channels": trained.card.channels,
            "metric": trained.card.metric,
        }
    )
    samples = other.samples[["id", "path", "group"]].assign(split=np.where(counts, "test", ""), **targets)
    dataset = dataclasses.replace(other, card=card, samples=samples, split_digest=split_digest_of(samples))
    refuse_shared(trained, dataset)
    reasons = why[wanted & (why != "")].tolist()
    dropped = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    return Shifted(dataset, other.card, classes, columns, closed, part, dropped)


def corrupted(trained: Dataset, corruption: Corruption) -> Shifted:
    """Return the test images of a data set, corrupted, as a test set of what is trained on it."""
    names = trained.card.class_names
    dataset = dataclasses.replace(trained, corruption=corruption)
    return Shifted(dataset, trained.card, {name: name for name in names}, tuple(range(len(names))))


def class_map(trained: DatasetCard, other: DatasetCard) -> Classes:
    """Return what each class of `other` is among the classes of `trained`.

    The map is `shift` in the card of `other`; without one, classes of the same name are the same, in any case of
    letters.

    Raises:
        CardError: A class is not mapped, or the map has a name that is none.
    """
    own, there = _names(other), {name.lower(): name for name in _names(trained)}
    written = other.shift.get(trained.name)
    asked = {name.lower(): name for name in own} if written is None else {k.lower(): v for k, v in written.items()}
    known = {*map(str.lower, own), REST}
    strange = [name for name in asked if name not in known]
    strange += [name for name in asked.values() if written and name is not None and name.lower() not in there]
    if strange:
        raise CardError(
            f"data set card {other.name}: shift: {trained.name}: unknown class {few(strange)}",
            f"classes here: {', '.join(own)}; classes there: {', '.join(there.values())}",
        )
    found: Classes = {}
    for name in own:
        target = asked[name.lower()] if name.lower() in asked else asked.get(REST, name)
        found[name] = None if target is None else there.get(target.lower(), "")
    if lost := [name for name, target in found.items() if target == ""]:
        raise CardError(
            f"{len(lost)} class{'es' * (len(lost) > 1)} of {other.name} {'are' if len(lost) > 1 else 'is'} no class of"
            f" {trained.name}: {few(lost, 8)}",
            f"map each class in the card of {other.name} to one of {', '.join(there.values())}, or to null, which "
            f"leaves its images out: shift: {{{trained.name}: {{{lost[0]}: null}}}}",
        )
    return found


def _names(card: DatasetCard) -> list[str]:
    """Return the names of a set's classes; of findings, also the name for images without any."""
    lacks = card.task == "multilabel" and NOTHING not in map(str.lower, card.class_names)
    return [*card.class_names, *([NOTHING] if lacks else [])]


def _targets(
    trained: DatasetCard, other: Dataset, classes: Classes, columns: Sequence[int]
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.str_]]:
    """Return the targets of all images as columns of a samples table, and why each does not count (empty: it does)."""
    hot, own = hot_of(other.card, other.samples), list(classes)
    if len(own) > hot.shape[1]:
        hot = np.column_stack([hot, ~hot.any(axis=1)])
    scored = [trained.class_names[i] for i in columns]
    to = np.array([[classes[name] == target for target in scored] for name in own])
    found: Hot = (hot.astype(int) @ to.astype(int)) > 0
    if trained.task == "multilabel":
        left = np.array([classes[name] is None for name in own]) & (not other.multilabel)
        return {f"target_{name}": found[:, i].astype(np.uint8) for i, name in enumerate(scored)}, _reasons(
            hot & left, own
        )
    several = found.sum(axis=1)
    why = _reasons(hot & (several == 0)[:, None], own)
    why = np.where(several > 1, f"findings of several classes of {trained.name}", why)
    why = np.where((several == 0) & (why == ""), "no label", why)
    return {"target": found.argmax(axis=1).astype(np.int64)}, why


def _reasons(hot: Hot, names: Sequence[str]) -> npt.NDArray[np.str_]:
    """Return the classes that keep each image out; empty: none does."""
    return np.array(["" if not row.any() else " + ".join(np.array(names)[row]) for row in hot])


def refuse_shared(trained: Dataset, other: Dataset) -> None:
    """Refuse a set that is the trained one, or that has images or patients of it.

    Images are compared by their bytes. Patients are compared where both sets are of one release (they share a name, or
    a folder): elsewhere equal numbers are chance.

    Raises:
        DataError: It is, or it has.
    """
    name = f"--test-on {other.card.name}"
    if trained.digest == other.digest:
        raise DataError(f"{name}: this is the training data set itself", "name another data set")
    used = [set(np.array(data.content)[data.samples["split"].to_numpy() != ""]) for data in (trained, other)]
    drawn = trained.toy and other.toy  # generated sets, on which people try commands, may share images
    if (same := len(used[0] & used[1])) and not drawn:
        raise DataError(
            f"{name}: {same} of its {len(used[1])} images are also in {trained.card.name}",
            "leave them out of one of the data sets: `exclude` in its card",
        )
    groups = [_groups(data.samples) for data in (trained, other)]
    if trained.grouped and other.grouped and _one_release(trained, other) and (both := groups[0] & groups[1]):
        raise DataError(
            f"{name}: {len(both)} of its {len(groups[1])} groups (patients) are also in {trained.card.name}:"
            f" {few(sorted(both))}",
            "leave their images out of one of the data sets: `exclude` in its card",
        )


def _groups(samples: pd.DataFrame) -> set[str]:
    return set(samples.loc[samples["split"] != "", "group"].astype(str))


def _one_release(trained: Dataset, other: Dataset) -> bool:
    names = [{name.lower() for name in (data.card.name, *data.card.also)} for data in (trained, other)]
    return bool(names[0] & names[1]) or trained.root.resolve() == other.root.resolve()


def _hint(trained: DatasetCard, other: Dataset) -> str:
    return f"see `shift: {{{trained.name}: …}}` in the card of {other.card.name}, or --test-part all"
