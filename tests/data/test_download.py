"""Fetching data sets, from a server on this machine."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from medbench.cards import DatasetCard
from medbench.data.download import DONE, download
from medbench.errors import DataError

BASE = {
    "name": "far",
    "licence": "CC0",
    "layout": {"kind": "folders"},
    "task": "binary",
    "classes": ["ill", "well"],
    "metric": "auroc",
    "splits": {"default": "s", "rules": {"s": {"method": "stratified"}}},
}
FILES = {"far/ill/1.png": b"one", "far/well/2.png": b"two" * 1000}


def card(*files: dict[str, Any]) -> DatasetCard:
    access = {"kind": "open", "steps": "ask its authors", "files": list(files)}
    return DatasetCard.model_validate({**BASE, "access": access})


def zipped(names: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return made.getvalue()


def tarred(names: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def there(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != DONE}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_is_fetched_unpacked_and_not_fetched_again(pack: Any, server: Any, tmp_path: Path) -> None:
    server.content = pack(FILES)
    sha = hashlib.sha256(server.content).hexdigest()
    far = card({"urls": [server.url], "name": "far.zip", "sha256": sha})
    root = tmp_path / "far"
    (root / "far" / "ill").mkdir(parents=True)
    (root / "far" / "ill" / "mine.txt").write_bytes(b"kept")
    assert download(far, root) == ["far.zip"]
    assert there(root) == {**FILES, "far/ill/mine.txt": b"kept"}
    assert download(far, root) == []
    assert len(server.asked) == 1


def test_other_files_stay_as_they_are(server: Any, tmp_path: Path) -> None:
    server.content = b"id,label\n1,ill\n"
    labels = {"urls": [server.url], "name": "labels.csv"}
    archive = {"urls": [server.url], "name": "kept.zip", "unpack": False}
    assert download(card(labels, archive), tmp_path / "far") == ["labels.csv", "kept.zip"]
    assert there(tmp_path / "far") == {"labels.csv": server.content, "kept.zip": server.content}


def test_the_next_mirror_is_tried(server: Any, tmp_path: Path) -> None:
    server.content = zipped(FILES)
    sha = hashlib.sha256(server.content).hexdigest()
    dead = server.url.replace(server.url.split(":")[2].split("/")[0], "1")
    far = card({"urls": [dead, "ftp://no.where/x", server.url], "name": "far.zip", "sha256": sha})
    assert download(far, tmp_path / "far") == ["far.zip"]


def test_a_broken_download_goes_on(server: Any, tmp_path: Path) -> None:
    server.content, server.cut = zipped({"big": b"x" * 3_000_000}), 100_000
    far = card({"urls": [server.url], "name": "far.zip"})
    with pytest.raises(DataError, match="connection ended") as caught:
        download(far, tmp_path / "far")
    assert "ask its authors" in caught.value.hint
    have = (tmp_path / "far" / "far.zip.part").stat().st_size
    server.cut = None
    download(far, tmp_path / "far")
    assert server.asked == [None, f"bytes={have}-"]
    assert there(tmp_path / "far") == {"big": b"x" * 3_000_000}


def test_a_wrong_file_is_not_kept(server: Any, tmp_path: Path) -> None:
    server.content = b"<html>"
    with pytest.raises(DataError, match="is not the card's 000000"):
        download(card({"urls": [server.url], "name": "far.zip", "sha256": "0" * 64}), tmp_path / "far")
    assert there(tmp_path / "far") == {}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_cannot_leave_the_folder(pack: Any, server: Any, tmp_path: Path) -> None:
    server.content = pack({"../../escaped.txt": b"out"})
    with pytest.raises(DataError, match=r"leaves the data folder|cannot be unpacked"):
        download(card({"urls": [server.url], "name": "far.zip"}), tmp_path / "far")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_a_damaged_archive_is_fetched_anew(server: Any, tmp_path: Path) -> None:
    whole = zipped(FILES)
    server.content = whole[:30] + b"\0" * 40 + whole[70:]
    far = card({"urls": [server.url], "name": "far.zip"})
    with pytest.raises(DataError, match="cannot be unpacked"):
        download(far, tmp_path / "far")
    server.content = whole
    assert download(far, tmp_path / "far") == ["far.zip"]
    assert there(tmp_path / "far") == FILES
