"""Take over the records of another run store, or of a bundle: each is checked, and says where it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from medbench.errors import DataError
from medbench.progress import bar
from medbench.records import bundle, store
from medbench.records.schema import ORIGIN, Record
from medbench.storage import files


@dataclass
class Merged:
    """What became of the records.

    Attributes:
        new: Those that were taken over.
        there: How many were there already, with equal numbers.
        completed: Those of them that lacked predictions here and got them.
        conflicts: (record, what differs) of those of which the own one has other numbers.
        refused: (folder, why) of those that were not taken over.
    """

    new: list[Record] = field(default_factory=list)
    there: int = 0
    completed: list[Record] = field(default_factory=list)
    conflicts: list[tuple[Record, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def merge(source: Path, runs: Path, origin: str, *, theirs: bool = False) -> Merged:
    """Take over the records of a run store or a bundle.

    A record is refused if its file, or that of its predictions, does not have the digest of the manifest, or is missing
    though the manifest names it; if its key is not that of its content; or if it lies in another place than its unit
    says. A record that is here with equal numbers stays; if only the other one has predictions, it gets these.

    Args:
        source: A bundle (with a manifest), or a run store.
        runs: The run store that gets them.
        origin: Where they come from; each record taken over says so, unless it already names another origin.
        theirs: Where both have a record with other numbers, take theirs.

    Raises:
        DataError: There are no records in the source.
    """
    is_bundle = (source / bundle.MANIFEST).is_file()
    digests = bundle.read_manifest(source) if is_bundle else None
    folders = list(bundle.folders(source) if is_bundle else store.folders(source))
    folders = [folder for folder in folders if (folder / store.RECORD).is_file()]
    if not folders:
        raise DataError(f"there are no records in {source}", "give a run store, such as results/runs, or a bundle")
    found = Merged()
    with bar("merge", len(folders), "records") as advance:
        for folder in folders:
            try:
                record = _checked(folder, source, digests)
            except ValueError as error:
                found.refused.append((folder.relative_to(source).as_posix(), str(error)))
            else:
                _take(record, runs, origin, found, theirs=theirs)
            advance()
    return found


def _checked(folder: Path, source: Path, digests: Mapping[str, str] | None) -> Record:
    """Return the record of a folder.

    Raises:
        ValueError: It cannot be trusted; the message says why.
    """
    for name in (store.RECORD, store.PREDICTIONS):
        path = folder / name
        if digests is not None:
            known = digests.get(path.relative_to(source).as_posix())
            if known and not path.is_file():
                raise ValueError(f"{name} is missing, though the manifest names it")
            if path.is_file() and known != files.sha256_file(path):
                raise ValueError(
                    f"{name} is not the file of the manifest" if known else f"{name} is not in the manifest"
                )
    try:
        record = Record.model_validate_json((folder / store.RECORD).read_bytes())
    except ValidationError as error:
        raise ValueError(f"{store.RECORD} is not a record: {error.errors()[0]['msg']}") from error
    record._folder = str(folder)
    unit, material = record.unit, record.material
    if folder.parts[-4:] != (unit.dataset, unit.model, unit.protocol, record.key[: store.SHORT]):
        raise ValueError("its folder does not match its unit and key")
    seeded = material | {"seed": unit.seed}
    split = record.provenance.get("data", {}).get("split_digest")
    if record.group != files.digest(material) or record.key not in (
        files.digest(seeded),
        files.digest(seeded | {"fold": split}),  # of units with a split of their own for each seed
    ):
        raise ValueError("its key does not match its content")
    return record


def _take(record: Record, runs: Path, origin: str, found: Merged, *, theirs: bool) -> None:
    own = store.read(store.folder_of(runs, record.unit, record.key))
    if own is not None:
        if not (differs := difference(own, record)):
            found.there += 1
            if not own.has(store.PREDICTIONS) and record.has(store.PREDICTIONS):
                _copy_predictions(record, runs)
                found.completed.append(own)
            return
        if not theirs:
            found.conflicts.append((record, differs))
            return
    assert record.path is not None
    told = {"from": origin, "sha256": files.sha256_file(record.path / store.RECORD)}
    provenance = {**record.provenance, ORIGIN: record.provenance.get(ORIGIN, told)}
    taken = record.model_copy(update={"provenance": provenance})
    target = store.folder_of(runs, record.unit, record.key)
    if own is not None:  # predictions, history and weights of the other numbers must not stay next to the new record
        for path in filter(Path.is_file, list(target.iterdir())):
            path.unlink()
    if record.has(store.PREDICTIONS):
        _copy_predictions(record, runs)
    files.write_text(target / store.RECORD, taken.model_dump_json(indent=1) + "\n")
    (target / store.FAILURE).unlink(missing_ok=True)
    found.new.append(taken)


def _copy_predictions(record: Record, runs: Path) -> None:
    assert record.path is not None
    with files.atomic(store.folder_of(runs, record.unit, record.key) / store.PREDICTIONS) as part:
        part.write_bytes((record.path / store.PREDICTIONS).read_bytes())


def difference(own: Record, other: Record) -> str:
    """Return what differs in the metrics of two records of one unit, the primary metric first; empty: nothing."""
    names = [own.metric, *(name for name in {**own.metrics, **other.metrics} if name != own.metric)]
    differing = [name for name in names if not _alike(own.metrics.get(name), other.metrics.get(name))]
    if not differing:
        return ""
    name = differing[0]
    more = f" and {len(differing) - 1} more metrics" if len(differing) > 1 else ""
    return f"{name} {_text(own.metrics.get(name))} here, {_text(other.metrics.get(name))} there{more}"


def _alike(a: float | None, b: float | None) -> bool:
    return a == b if a is None or b is None else math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6f}"
