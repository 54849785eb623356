"""Archives from elsewhere: what they would unpack to is bounded before a byte of it is."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from medbench.errors import DataError, visible
from medbench.storage import files

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
MOST_MEMBERS, DEEPEST, LONGEST_NAME, LONGEST_PATH = 5_000_000, 50, 255, 2_000
SMALL, RATIO = 256 << 20, 100
"""Bytes that any archive may unpack to; a larger one to so many times its own size. Images hardly shrink at all."""


def require_sound(archive: zipfile.ZipFile, size: int) -> None:
    """Check the members of a zip file by its own list.

    Args:
        archive: The zip file.
        size: Its size on disk, in bytes.

    Raises:
        DataError: A member is encrypted or has a name that no folder can take, or they would take far more room than
            the archive.
    """
    members = archive.infolist()
    if locked := next((member.filename for member in members if member.flag_bits & 1), None):
        raise DataError(f"'{locked}' is encrypted", "unpack it by hand with its password")
    _require_sound(((member.filename, member.file_size) for member in members), size)


def unpack(archive: Path, place: Path) -> list[str]:
    """Unpack a zip or tar archive in `place` and return the names of the archives that are in it, which stay packed.

    Raises:
        DataError: A member leads out of the folder, is encrypted, or has a name that no folder can take; or the
            members would take far more room than the archive.
        zipfile.BadZipFile, tarfile.TarError, EOFError, OSError: The archive is damaged.
    """
    size = archive.stat().st_size
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as held:
            require_sound(held, size)
            names = held.namelist()
            for name in names:
                files.inside(place, name)  # zipfile would quietly put it elsewhere
            held.extractall(place)  # noqa: S202 - checked above
    else:
        with tarfile.open(archive) as held_tar:
            _require_sound(((member.name, member.size) for member in held_tar), size)
            names = held_tar.getnames()
            held_tar.extractall(place, filter="data")  # refuses paths that leave
    return [name for name in names if name.lower().endswith(ARCHIVES)]


def _require_sound(members: Iterable[tuple[str, int]], size: int) -> None:
    most, total = max(SMALL, RATIO * size), 0
    for number, (name, bytes_) in enumerate(members, 1):
        parts = name.split("/")
        if len(parts) > DEEPEST or len(name) > LONGEST_PATH or max(len(part.encode()) for part in parts) > LONGEST_NAME:
            raise DataError(f"the name '{name[:60]}…' in it is too long or too deep", "unpack it by hand")
        if visible(name) != name:
            raise DataError(f"the name '{name}' in it contains a control character", "unpack it by hand")
        total += bytes_
        if total > most or number > MOST_MEMBERS:
            raise DataError(
                f"it would unpack to more than {most:,} bytes ({RATIO} times its size) or {MOST_MEMBERS:,} files",
                "unpack it by hand if you trust it",
            )
