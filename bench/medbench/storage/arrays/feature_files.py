"""Files of features: one row of numbers for each image, by its id. Other programs can make and read them."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from safetensors import SafetensorError

from medbench.errors import DataError, few, first_line, unknown
from medbench.storage import files

IDS, VALUES = "id", "features"
"""What the two columns, or arrays, of a file are called."""
ABOUT = "medbench"
"""Where a file says what its features are, as JSON; other programs need not."""
_BROKEN = (OSError, ValueError, KeyError, AttributeError, EOFError, zipfile.BadZipFile, SafetensorError)
"""What the libraries raise of files that are no such files."""


@dataclass(frozen=True)
class FeatureTable:
    """The features of images.

    Attributes:
        ids: The images' ids, each once.
        values: (n, d), float32, finite.
        about: What they are: model, data set and so on; empty if the file does not say.
    """

    ids: Sequence[str]
    values: NDArray[np.float32]
    about: dict[str, Any] = field(default_factory=dict)

    def of(self, ids: Sequence[str], file: Path) -> NDArray[np.float32]:
        """Return the features of these images, in this order, (len(ids), d).

        Raises:
            DataError: The file lacks some of them.
        """
        at = {name: row for row, name in enumerate(self.ids)}
        if lacking := [name for name in ids if name not in at]:
            raise DataError(
                f"{file} has no features for {len(lacking)} of {len(ids)} images: {few(lacking)}",
                f"its ids must be those of the data set; the file has {few(self.ids)}",
            )
        return self.values[[at[name] for name in ids]]


def write_table(path: Path, table: FeatureTable) -> None:
    """Write a features file; its ending says how: .parquet, .npz or .safetensors.

    Raises:
        CardError: The ending is another one.
    """
    form = form_of(path)
    with files.atomic(path) as part:
        form.write(part, table, json.dumps(table.about))


def read_table(path: Path) -> FeatureTable:
    """Read a features file.

    Raises:
        DataError: It is no such file, an id is there twice, or a number is not finite; the message says which.
        CardError: Its ending is unknown.
    """
    form = form_of(path)
    with _reading(path):
        ids, values = form.read(path)
    if values.ndim != 2 or values.shape[0] != len(ids) or not values.size or not np.issubdtype(values.dtype, np.number):
        raise _no_table(path, f"{len(ids)} ids, features of shape {values.shape} and type {values.dtype}")
    if twice := [name for name, n in Counter(ids).items() if n > 1]:
        raise DataError(f"{path}: duplicate id {twice[0]}", "each image must have one row")
    found = values.astype(np.float32)
    if len(odd := np.flatnonzero(~np.isfinite(found).all(axis=1))):
        raise DataError(f"{path}: the features of {ids[odd[0]]} are not all finite", "extract them again")
    return FeatureTable(ids, found, read_about(path))


def read_about(path: Path) -> dict[str, Any]:
    """Return what a file says of its features; nothing if it does not.

    Raises:
        DataError: It is not a features file.
        CardError: Its ending is unknown.
    """
    form = form_of(path)
    with _reading(path):
        text = form.about(path)
        found = json.loads(text) if text else {}
    if not isinstance(found, dict):
        raise _no_table(path, f"'{ABOUT}' is not a JSON object")
    return found


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what libraries raise of a broken file into one error."""
    try:
        yield
    except _BROKEN as error:
        raise _no_table(path, first_line(error)) from error


def _no_table(path: Path, why: str) -> DataError:
    wanted = f"expected '{IDS}' (n texts) and '{VALUES}' (n rows of d numbers); to write such a file: medbench features"
    return DataError(f"{path} is not a features file: {why}", wanted)


Rows = tuple[list[str], NDArray[Any]]
"""Ids and values."""


class Form(NamedTuple):
    """How files of one ending are read and written."""

    read: Callable[[Path], Rows]
    about: Callable[[Path], str]
    write: Callable[[Path, FeatureTable, str], None]


def _read_parquet(path: Path) -> Rows:
    import pyarrow.parquet as pq

    found = pq.read_table(path, columns=[IDS, VALUES])
    rows = found.column(VALUES).combine_chunks()
    return [str(name) for name in found.column(IDS).to_pylist()], np.asarray(rows.flatten()).reshape(len(rows), -1)


def _about_parquet(path: Path) -> str:
    import pyarrow.parquet as pq

    return str((pq.read_schema(path).metadata or {}).get(ABOUT.encode(), b"").decode())


def _write_parquet(path: Path, table: FeatureTable, about: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.FixedSizeListArray.from_arrays(pa.array(table.values.ravel()), table.values.shape[1])
    made = pa.table({IDS: pa.array(list(table.ids), pa.string()), VALUES: rows})
    pq.write_table(made.replace_schema_metadata({ABOUT: about}), path)


def _npz(path: Path) -> NpzFile:
    if not zipfile.is_zipfile(path):  # numpy's own message names an unsafe way to read it
        raise ValueError("it is not a zip archive of arrays")
    return cast(NpzFile, np.load(path, allow_pickle=False))


def _read_npz(path: Path) -> Rows:
    with _npz(path) as found:
        return [str(name) for name in found[IDS]], found[VALUES]


def _about_npz(path: Path) -> str:
    with _npz(path) as found:
        return str(found[ABOUT]) if ABOUT in found.files else ""


def _write_npz(path: Path, table: FeatureTable, about: str) -> None:
    arrays: dict[str, Any] = {IDS: np.array(table.ids), VALUES: table.values, ABOUT: np.array(about)}
    with path.open("wb") as file:  # of a path, numpy changes the ending
        np.savez(file, **arrays)


def _read_safetensors(path: Path) -> Rows:
    from safetensors import safe_open

    with safe_open(path, framework="np") as found:
        return [str(name) for name in json.loads((found.metadata() or {})[IDS])], found.get_tensor(VALUES)


def _about_safetensors(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path, framework="np") as found:
        return str((found.metadata() or {}).get(ABOUT, ""))


def _write_safetensors(path: Path, table: FeatureTable, about: str) -> None:
    from safetensors.numpy import save_file

    save_file({VALUES: table.values}, path, {IDS: json.dumps(list(table.ids)), ABOUT: about})


FORMS = {
    ".parquet": Form(_read_parquet, _about_parquet, _write_parquet),
    ".npz": Form(_read_npz, _about_npz, _write_npz),
    ".safetensors": Form(_read_safetensors, _about_safetensors, _write_safetensors),
}
"""Ending -> how such a file is read and written."""


def form_of(path: Path) -> Form:
    """Return how a features file is read and written.

    Raises:
        CardError: The ending is unknown.
    """
    if path.suffix.lower() not in FORMS:
        raise unknown("ending of a features file", path.suffix, FORMS)
    return FORMS[path.suffix.lower()]
