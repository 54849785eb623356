"""Further inputs of each sample: a second picture, or a volume's slices; each is a data set of its own pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import CsvLayout, DatasetCard, NpzLayout, Slices
from medbench.data.dataset import Dataset, content_digests, samples_digest, split_digest_of
from medbench.errors import DataError, unknown
from medbench.storage.patterns import Expression

Owner = npt.NDArray[np.int64]
"""Position in the data set's samples of each picture's sample, ascending."""


def further_inputs(dataset: Dataset) -> dict[str, Dataset]:
    """Return one data set per further input of a card, each row of its samples being one picture or slice.

    Its samples have the columns of the data set's, and `owner`: the position of the sample a picture belongs to. Slices
    stand in the order of their number.

    Raises:
        DataError: A picture or a volume's folder is missing, or a folder holds no slices.
    """
    layout = dataset.card.layout
    if not isinstance(layout, CsvLayout | NpzLayout):
        return {}
    return {name: _input(dataset, name, rule) for name, rule in layout.inputs.items()}


def _input(dataset: Dataset, name: str, rule: Slices) -> Dataset:
    card, samples = dataset.card, dataset.samples
    places = samples[f"input_{name}"].tolist()
    found = [_slices(dataset.root, place, rule) if rule.slices else [place] for place in places]
    owner = np.repeat(np.arange(len(found)), [len(paths) for paths in found])
    frame = samples.iloc[owner].reset_index(drop=True)
    numbers = [i for paths in found for i in range(len(paths))]
    frame["id"] = [f"{sample}/{i}" for sample, i in zip(frame["id"], numbers, strict=True)]
    frame["path"] = [path for paths in found for path in paths]
    frame["owner"] = owner
    own = card.model_copy(
        update={"name": f"{card.name}--{name}", "channels": rule.channels or card.channels, "mean": None, "std": None}
    )
    missing = [path for path in frame["path"] if not (dataset.root / path).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} images of the input '{name}' of {card.name} are missing: {', '.join(missing[:3])}",
            f"medbench data check {card.name}",
        )
    content = tuple(content_digests(own, dataset.root, frame["path"]))
    return dataclasses.replace(
        dataset,
        card=own,
        samples=frame,
        content=content,
        digest=samples_digest(frame, own, content),
        split_digest=split_digest_of(frame),
        inputs={},
    )


def _slices(root: Path, folder: str, rule: Slices) -> list[str]:
    """Return the paths of a volume's slices below `root`, by their number."""
    pattern = Expression(str(rule.slices))
    try:
        names = [entry.name for entry in (root / folder).iterdir()]
    except OSError as error:
        raise DataError(
            f"the folder of slices {root / folder} does not exist", "check that the copy is complete"
        ) from error
    numbered = sorted((int(match["index"]), name) for name in names if (match := pattern.fullmatch(name)))
    if not numbered:
        raise DataError(f"no slices in {root / folder}", f"their names should match {rule.slices}")
    return [f"{folder.rstrip('/')}/{name}" for _, name in numbered]


def chosen_slices(dataset: Dataset, how: str, stride: int) -> Dataset:
    """Return an input's data set with some slices of each volume: the middle one, or every `stride`-th around it."""
    owner = dataset.samples["owner"].to_numpy()
    if how != "centre" and stride == 1:
        return dataset
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    sizes = np.diff(starts, append=len(owner))
    within = np.arange(len(owner)) - np.repeat(starts, sizes)
    middle = np.repeat(sizes // 2, sizes)
    kept = within == middle if how == "centre" else (within - middle) % stride == 0
    rows = np.flatnonzero(kept)
    samples = dataset.samples.iloc[rows].reset_index(drop=True)
    content = tuple(dataset.content[row] for row in rows)
    return dataclasses.replace(
        dataset,
        samples=samples,
        content=content,
        digest=samples_digest(samples, dataset.card, content),
        split_digest=split_digest_of(samples),
    )


def pool(features: npt.NDArray[np.float32], owner: Owner, how: str) -> npt.NDArray[np.float32]:
    """Return one row for each distinct owner, in order: the mean or the maximum of its rows.

    Args:
        features: (m, d).
        owner: (m,), ascending.
        how: `mean`, `max` or `centre` (of one row each).
    """
    starts = np.flatnonzero(np.diff(owner, prepend=owner[0] - 1))
    if how == "max":
        return np.maximum.reduceat(features, starts, axis=0)
    sums = np.add.reduceat(features.astype(np.float64), starts, axis=0)
    return (sums / np.diff(starts, append=len(owner))[:, None]).astype(np.float32)


def choose_inputs(card: DatasetCard, wanted: list[str] | None, encoders: dict[str, str]) -> list[str]:
    """Return the names of the inputs that are used, and hold a request against the card.

    Raises:
        CardError: The card has no input of a name.
    """
    layout = card.layout
    known = [layout.input, *layout.inputs] if isinstance(layout, CsvLayout | NpzLayout) and layout.inputs else []
    for name in (*(wanted or ()), *encoders):
        if name not in known:
            raise unknown(f"input of {card.name}", name, known or ["none: its samples have one image each"])
    return list(wanted or known)
