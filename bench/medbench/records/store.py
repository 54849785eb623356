"""The run store: `<runs>/<dataset>/<model>/<protocol>/<key12>/record.json`, written last and by atomic rename."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from medbench.errors import MedbenchError, visible
from medbench.records.schema import SCHEMA, Record, Unit
from medbench.storage import files

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

Place = tuple[str, str, str]
"""Data set, model and protocol of records."""

RECORD, PREDICTIONS, HISTORY, FAILURE = "record.json", "predictions.parquet", "history.csv", "failure.json"
WEIGHTS = "weights.safetensors"
BEGINNING = 4096
"""So many bytes at the start of a record contain its unit, with the changed options."""

SELECTION, AFTER_SELECTION = b'"selection": {', b'"warnings": ['
"""How the field `selection` begins in the text of a record, and how the next field begins."""
SHORT = 12
"""Characters of a key in the name of its folder."""


def folder_of(runs: Path, unit: Unit, key: str) -> Path:
    """Return the folder of a unit."""
    return folder_at(runs, (unit.dataset, unit.model, unit.protocol), key)


def folder_at(runs: Path, place: Place, key: str) -> Path:
    """Return the folder of a unit of a data set, model and protocol."""
    return runs.joinpath(*place, key[:SHORT])


def is_done(runs: Path, unit: Unit, key: str) -> bool:
    """Tell whether the unit is complete: its record is the last file written."""
    return (folder_of(runs, unit, key) / RECORD).is_file()


def read(folder: Path | str, selection: bool = True) -> Record | None:
    """Return the record in `folder`, or None if there is none or it has another schema (which is logged).

    Args:
        folder: The folder of a unit.
        selection: Read `selection` too; False: leave it empty. It is most of a record, and tables do not need it.
    """
    file = f"{folder}/{RECORD}"
    try:
        with open(file, "rb", buffering=0) as opened:  # noqa: PTH123 - a Path for each of thousands takes longer
            text = opened.readall()
        record = Record.model_validate_json(text if selection else _without_selection(text))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        fault = error.errors()[0]
        what = visible(
            f"{file} is not a record of schema {SCHEMA} and is ignored; to run the unit again: --overwrite always"
        )
        where = ".".join(map(str, fault["loc"]))
        log.warning("%s: %s", what, visible(": ".join(filter(None, (where, fault["msg"])))))
        return None
    record._folder = str(folder)
    return record


def _without_selection(text: bytes) -> bytes:
    """Return the text of a record without `selection`; a text with another layout than that of `write`, unchanged.

    `write` puts one space before each field of a record, and more before what is inside a field. A JSON string has no
    line breaks, so what is searched for cannot be part of a string.
    """
    start = text.find(SELECTION)
    end = text.rfind(AFTER_SELECTION)
    if not 0 < start < end or any(text[place - 2 : place] != b"\n " for place in (start, end)):
        return text
    return text[:start] + text[end:]


def read_all(runs: Path, dataset: str | None = None, selection: bool = True) -> Iterator[Record]:
    """Yield all complete records in `runs`, or those of one data set, sorted by folder; see `read`."""
    for folder in folders(runs, dataset):
        record = read(folder, selection)
        if record is not None:
            yield record


def folders(runs: Path, dataset: str | None = None) -> Iterator[Path]:
    """Yield the folders of all units, or of those of one data set, sorted; finished or not."""
    for place in _shelves(runs, dataset):
        shelf = runs.joinpath(*place)
        yield from (shelf / key for key in names(shelf))


def _shelves(runs: Path, dataset: str | None = None) -> Iterator[Place]:
    """Yield the places that have folders of units, sorted; each folder is listed once."""
    for data in [name for name in names(runs) if not name.startswith(".")] if dataset is None else [dataset]:
        for model in names(runs / data):
            for protocol in names(runs / data / model):
                yield data, model, protocol


def write(
    runs: Path,
    record: Record,
    predictions: pd.DataFrame | None,
    history: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame] | None = None,
    arrays: Mapping[str, NDArray[np.generic]] | None = None,
) -> Record:
    """Write a unit's predictions and history, then its record; remove the note of an earlier failure.

    Args:
        runs: The run store.
        record: The unit's record.
        predictions: Scores on validation and test; None for protocols that do not classify.
        history: One row per epoch or candidate.
        tables: Name -> further table, written as `name.csv`.
        arrays: Name -> further array, written as `name.npy`.

    Raises:
        OutputError: The folder is read-only or full.
    """
    folder = folder_of(runs, record.unit, record.key)
    if predictions is not None:
        with files.atomic(folder / PREDICTIONS) as part:
            predictions.to_parquet(part, index=False)
    for name, frame in {HISTORY: history, **{f"{name}.csv": frame for name, frame in (tables or {}).items()}}.items():
        with files.atomic(folder / name) as part:
            frame.to_csv(part, index=False)
    for name, values in (arrays or {}).items():
        with files.atomic(folder / f"{name}.npy") as part, part.open("wb") as file:
            np.save(file, values, allow_pickle=False)
    files.write_text(folder / RECORD, record.model_dump_json(indent=1) + "\n")
    (folder / FAILURE).unlink(missing_ok=True)
    record._folder = str(folder)
    return record


def write_failure(runs: Path, unit: Unit, key: str, error: str) -> None:
    """Write why a unit failed; `medbench status` shows it, and the next run tries the unit again."""
    files.write_json(folder_of(runs, unit, key) / FAILURE, {"unit": unit.model_dump(), "key": key, "error": error})


def failures_of(folders: Iterable[Path]) -> Iterator[tuple[int, str]]:
    """Yield (seed, error) of the units in `folders` that failed and were not finished since."""
    for folder in folders:
        if (note := failure_of(folder)) is not None:
            yield note[0].seed, note[1]


def failures(runs: Path) -> Iterator[tuple[Path, Unit, str]]:
    """Yield (folder, unit, error) of the units that failed and were not finished since."""
    for folder in folders(runs):
        if (note := failure_of(folder)) is not None:
            yield folder, *note


def failure_of(folder: Path) -> tuple[Unit, str] | None:
    """Return (unit, error) of a folder's unit if it failed and was not finished since; a damaged note is logged."""
    file = folder / FAILURE
    if not file.is_file() or (folder / RECORD).is_file():
        return None
    try:
        note = json.loads(file.read_text(encoding="utf-8"))
        return Unit.model_validate(note["unit"]), str(note["error"])
    except (ValueError, TypeError, KeyError) as error:  # errors of pydantic and of JSON are ValueErrors
        log.warning("%s is damaged and is ignored: %s", file, str(error).split("\n")[0])
        return None


def places(runs: Path) -> list[Place]:
    """Return the places of all finished units, sorted, each once.

    Raises:
        MedbenchError: Nothing has been run.
    """
    found = [place for place in _shelves(runs) if _has_record(runs.joinpath(*place))]
    if not found:
        raise MedbenchError(
            f"nothing has been run yet in {runs}", "medbench run --model MODEL --protocol PROTOCOL --dataset DATASET"
        )
    return found


def _has_record(shelf: Path) -> bool:
    return any((shelf / key / RECORD).is_file() for key in names(shelf))


def tested_elsewhere(runs: Path, dataset: str) -> set[str]:
    """Return what further test sets models trained on a data set were tested on; only beginnings of records are read.

    Returns:
        `shift` for other data sets, `corruption` for corrupted images.
    """
    found: set[str] = set()
    for unit in _units(runs, dataset):
        if b'"test_on"' in unit:
            found.add("corruption" if b'"corrupt"' in unit else "shift")
        if len(found) == 2:
            break
    return found


def unit_has(runs: Path, dataset: str, text: bytes) -> bool:
    """Tell whether the unit of a record, with its changed options, has a text."""
    return any(text in unit for unit in _units(runs, dataset))


def _units(runs: Path, dataset: str) -> Iterator[bytes]:
    """Yield the text of the unit of each record; only the beginnings of records are read."""
    for file in (runs / dataset).glob(f"*/*/*/{RECORD}"):
        with contextlib.suppress(OSError), file.open("rb") as opened:
            yield opened.read(BEGINNING).partition(b'"material"')[0]


def records_of(runs: Path, dataset: str, places: Iterable[tuple[str, str]] | None = None) -> list[Record]:
    """Return the records of one data set, without their `selection`, sorted by folder.

    Args:
        runs: The run store.
        dataset: The data set's name.
        places: Read only the folders of these (model, protocol) pairs; None: all.
    """
    base = runs / dataset
    with gc_paused():
        if places is None:
            places = [place[1:] for place in _shelves(runs, dataset)]
        shelves = (f"{base}/{model}/{protocol}" for model, protocol in sorted(set(places)))
        found = (read(f"{shelf}/{key}", selection=False) for shelf in shelves for key in names(shelf))
        return [record for record in found if record is not None]


def names(folder: Path | str) -> list[str]:
    """Return the names of the folders in a folder, sorted; an empty list if it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the garbage collector while many records are in memory.

    Records have no reference cycles, and searching ten thousand of them for cycles takes longer than reading them.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
