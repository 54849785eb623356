"""Image-text pairs: the texts and categories of a data set, for protocols that align images with texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import DatasetCard
from medbench.cards.find import dataset_kind
from medbench.data.dataset import TEXTS, Dataset, targets_of
from medbench.data.layouts.own.pairs_table import read_pairs, split_list
from medbench.data.layouts.own_columns import OwnColumns
from medbench.data.load import Missing, Opened, Source, absent_files, open_dataset
from medbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Pairs:
    """Categories, attributes and texts of the images, one entry per sample.

    Attributes:
        categories: Names of what the image shows; empty where nothing is named.
        attributes: Further words, such as `noisy`.
        texts: The image's own text; empty: it has none.
        sources: The data set that the image is from.
    """

    categories: tuple[tuple[str, ...], ...]
    attributes: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def of(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> Pairs:
        """Return the pairs of some samples."""
        return Pairs(
            tuple(self.categories[row] for row in rows),
            tuple(self.attributes[row] for row in rows),
            tuple(self.texts[row] for row in rows),
            tuple(self.sources[row] for row in rows),
        )


def open_pairs(
    name: str,
    root: Path | str | None = None,
    *,
    allow_outside: bool = False,
    missing: Missing = "stop",
    columns: OwnColumns | None = None,
) -> Opened:
    """Read image-text pairs: a pairs file, or any data set with classes.

    Of a data set with classes the categories are the first term of each class of its card, else the class's name.

    Args:
        name: A pairs file (.csv, .tsv, .parquet; see `read_pairs`), or what `load_dataset` takes.
        root: Folder of a pairs file's images; else as in `load_dataset`.
        allow_outside: Let image paths of a table lead out of the data folder.
        missing: `stop` at images that are not there, or `leave-out`.
        columns: What the user says about a table's columns; `label` names the column of categories.

    Raises:
        CardError: No such card.
        DataError: The table or the images are missing or wrong; see `read_pairs`.
    """
    if dataset_kind(name) != "labels":
        plain = open_dataset(name, root, allow_outside=allow_outside, missing=missing, columns=columns)
        return Opened(plain.source, _with_texts(plain.samples, plain.source.card), plain.left_out)
    path, folder = Path(name).expanduser(), None if root is None else Path(root).expanduser()
    if not path.is_file():
        raise DataError(f"no pairs file {path}", "check the path")
    if folder is not None and not folder.is_dir():
        raise DataError(
            f"the data folder {root} of {path} does not exist", "give the folder of the images with --data-root"
        )
    own, samples = read_pairs(path, folder, columns, allow_outside=allow_outside)
    gone = absent_files(own.root, samples)
    if missing == "stop" or len(gone) == len(samples):
        _require_images(own.root, samples["path"].tolist(), gone)
    source = Source(own.card, own.root, path.parent, own.taken)
    return Opened(source, samples, gone if missing == "leave-out" else [])


def _require_images(root: Path, paths: Sequence[str], gone: Sequence[int]) -> None:
    if gone:
        first = ", ".join(paths[row] for row in gone[:3]) + (" …" if len(gone) > 3 else "")
        raise DataError(
            f"{len(gone)} of {len(paths)} images are missing below {root}: {first}",
            "check --data-root; to train without them: --missing leave-out",
        )


def _with_texts(samples: pd.DataFrame, card: DatasetCard) -> pd.DataFrame:
    """Return samples with the columns of `TEXTS`, made of their classes."""
    terms = [(one.terms or [one.name])[0] for one in card.classes]
    hot = targets_of(samples, card)
    if card.task != "multilabel":
        hot = np.eye(len(terms), dtype=np.uint8)[hot]
    named = [str([terms[i] for i in np.flatnonzero(row)]) for row in hot]  # a term may hold a separator
    texts = dict.fromkeys(TEXTS, "") | {"categories": named}
    return samples.assign(**texts)


def pairs_of(dataset: Dataset, split: str | None = None) -> Pairs:
    """Return the pairs of one split of a data set, or of all its samples, in their order."""
    samples = dataset.samples if split is None else dataset.samples.iloc[dataset.rows(split)]
    sources = [source or dataset.card.name for source in samples["source"]]
    categories, attributes = (
        tuple(tuple(split_list(cell)) for cell in samples[column]) for column in ("categories", "attributes")
    )
    return Pairs(categories, attributes, tuple(samples["text"]), tuple(sources))
