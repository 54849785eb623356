"""Download of open data sets: from several mirrors, resumable, checked against digests, unpacked.

Files that are done stand in `.medbench-download.json` of the data folder, written after each of them: a download that
was stopped goes on with the first that is not. An archive is unpacked next to its place and moved in when it is whole.
"""

from __future__ import annotations

import json
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from medbench.cards.dataset import DatasetCard, Download
from medbench.errors import DataError
from medbench.progress import say
from medbench.storage import files
from medbench.storage.archives import unpack
from medbench.storage.digests import file_digests
from medbench.storage.fetch import FetchError, fetch_part
from medbench.storage.locks import exclusive

DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, ValueError, RuntimeError, zlib.error,
    lzma.LZMAError, RecursionError,
)  # fmt: skip
"""What unpacking raises for damaged archives and for unknown methods."""

DONE = ".medbench-download.json"


def download(card: DatasetCard, root: Path) -> list[str]:
    """Fetch and unpack what a card's `access.files` name into `root`; return the names of what was fetched now.

    Of several processes one fetches, the others wait.

    Raises:
        DataError: No mirror gave the right file, or an archive is damaged or would leave its folder.
        OutputError: The folder cannot be written, or the disk is full.
    """
    made = []
    with exclusive(root.parent / f".{root.name}.lock", f"another process is fetching {card.name}; waiting for it"):
        done = _done(root)
        for file in card.access.files:
            if file.name in done:
                continue
            say(f"{card.name}: fetching {file.name} (licence: {card.licence or 'see its page'})")
            sha = _fetched(card, file, root)
            if file.unpack:
                _unpack(root / file.name, root)
            files.write_json(root / DONE, done := {**done, file.name: sha})
            made.append(file.name)
    return made


def _done(root: Path) -> dict[str, Any]:
    try:
        found = json.loads((root / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _fetched(card: DatasetCard, file: Download, root: Path) -> str:
    """Fetch one file from the first mirror that has the right one, and return its sha256."""
    target = files.inside(root, file.name)
    if target.is_file() and (found := file_digests([target])[0]) == (file.sha256 or found):
        return found  # fetched before, and stopped while it was unpacked
    faults = []
    for url in file.urls:
        try:
            part = fetch_part(url, target, most=2 * file.bytes if file.bytes else None)
        except FetchError as error:
            faults.append(f"{url}: {error}")
            continue
        sha = file_digests([part])[0]
        if sha != (file.sha256 or sha):
            part.unlink()  # complete but wrong: nothing to resume
            faults.append(f"{url}: its sha256 {sha[:16]}… is not the card's {str(file.sha256)[:16]}…")
            continue
        part.replace(target)
        return sha
    steps = card.access.steps.strip() or card.access.url
    raise DataError(
        f"{card.name}: {file.name} could not be fetched: {'; '.join(faults)}",
        f"run the same command again to resume; or get it by hand:\n{steps}",
    )


def _unpack(archive: Path, root: Path) -> None:
    """Unpack a zip or tar archive in `root` and remove it; other files stay as they are.

    Raises:
        DataError: The archive is damaged, or a member's path leads out of the folder.
    """
    kind = zipfile.is_zipfile(archive) or tarfile.is_tarfile(archive)
    if not kind:
        return
    with files.writing(root):
        place = Path(tempfile.mkdtemp(prefix=".unpacking.", dir=root))
        try:
            packed = unpack(archive, place)
            for item in sorted(place.iterdir()):
                _move(item, root / item.name)
            archive.unlink()
            if packed:
                say(f"{archive.name} contains archives, which are not unpacked: {', '.join(packed[:5])}")
        except DataError as error:
            raise DataError(f"{archive} is not unpacked: {error.message}", error.hint) from error
        except DAMAGED as error:
            archive.unlink(missing_ok=True)
            raise DataError(
                f"{archive} cannot be unpacked: {error}", "run the same command to fetch it again"
            ) from error
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _move(item: Path, target: Path) -> None:
    """Move a file or folder to `target`, into the folder that is there already, if one is."""
    if item.is_dir() and target.is_dir():
        for inner in sorted(item.iterdir()):
            _move(inner, target / inner.name)
    else:
        item.replace(target)
