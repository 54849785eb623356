"""A bundle of results to pass on: records and predictions as they are, and a manifest with the digest of each file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from medbench.errors import DataError, MedbenchError
from medbench.progress import bar
from medbench.records import store
from medbench.records.schema import Record
from medbench.storage import files

MANIFEST, RUNS, SUMMARY = "manifest.json", "runs", "records.parquet"
"""Files of a bundle: the digests, the folder with the layout of a run store, and one row for each record."""
SCHEMA = 1
"""Version of a bundle's layout."""


@dataclass(frozen=True)
class Bundle:
    """What was put into a bundle.

    Attributes:
        records: The records.
        named: Data sets whose predictions are in it: these hold the ids of images and patients.
        size: Bytes of all files.
    """

    records: tuple[Record, ...]
    named: tuple[str, ...]
    size: int


def write_bundle(runs: Path, to: Path, datasets: str = "*", *, predictions: bool = True) -> Bundle:
    """Write the finished units of a run store as a bundle; weights, histories and failures stay where they are.

    Args:
        runs: The run store.
        to: A folder that is empty, or does not exist.
        datasets: A glob: only data sets of such names.
        predictions: Whether to include the predictions, without which nobody can compute intervals.

    Raises:
        MedbenchError: Nothing was run on such data sets.
    """
    records = [record for record in store.read_all(runs) if fnmatchcase(record.unit.dataset, datasets)]
    if not records:
        raise MedbenchError(f"nothing has been run on data sets called '{datasets}' in {runs}", "medbench ls runs")
    digests: dict[str, dict[str, Any]] = {}
    with bar("bundle", len(records), "records") as advance:
        for record in records:
            assert record.path is not None
            place = Path(RUNS) / store.folder_of(Path(), record.unit, record.key)
            for name in (store.RECORD, *[store.PREDICTIONS] * predictions):
                if (source := record.path / name).is_file():
                    digests[(place / name).as_posix()] = _copied(source, to / place / name)
            advance()
    _write_summary(records, to / SUMMARY)
    files.write_json(to / MANIFEST, {"schema": SCHEMA, "files": digests})
    held = {r.unit.dataset for r in records if predictions and r.has(store.PREDICTIONS)}
    return Bundle(tuple(records), tuple(sorted(held)), sum(one["bytes"] for one in digests.values()))


def _copied(source: Path, to: Path) -> dict[str, Any]:
    content = source.read_bytes()
    with files.atomic(to) as part:
        part.write_bytes(content)
    return {"sha256": files.sha256_file(to), "bytes": len(content)}


def _write_summary(records: list[Record], to: Path) -> None:
    """Write one row for each record, for those who want to look at the numbers without medbench."""
    import pandas as pd

    rows = [
        {
            **record.unit.model_dump(exclude={"options"}),
            "options": json.dumps(record.unit.options),
            "metric": record.metric,
            "score": record.score,
            "test_images": record.n["test"].images if "test" in record.n else None,
            "metrics": json.dumps(record.metrics),
            "medbench": record.provenance.get("medbench"),
            "key": record.key,
        }
        for record in records
    ]
    with files.atomic(to) as part:
        pd.DataFrame(rows).to_parquet(part, index=False)


def read_manifest(bundle: Path) -> dict[str, str]:
    """Return path -> sha256 of the files of a bundle.

    Raises:
        DataError: It has no manifest, or one of another version.
    """
    try:
        content = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise DataError(f"{bundle / MANIFEST} has version {content['schema']}, not {SCHEMA}", "update medbench")
        return {str(path): str(one["sha256"]) for path, one in content["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{bundle} has no readable {MANIFEST}: {error}", "medbench results push makes bundles with one"
        ) from error


def folders(bundle: Path) -> Iterator[Path]:
    """Yield the folders of the units of a bundle, sorted."""
    yield from store.folders(bundle / RUNS)
