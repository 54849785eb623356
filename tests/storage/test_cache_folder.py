"""Folders in the cache: complete or absent."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from medbench.errors import OutputError
from medbench.storage import files
from medbench.storage.cache_folder import ensure, mark, put, release


class Filled:
    """A folder with one file, and how often it was filled."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.times = folder, 0

    def complete(self) -> bool:
        return (self.folder / "a").is_file()

    def fill(self, part: Path) -> None:
        assert not list(part.iterdir())
        self.times += 1
        (part / "a").write_text(str(self.times))

    def ensure(self) -> Path:
        return ensure(self.folder, "busy", self.complete, self.fill)


def test_a_folder_is_filled_once(tmp_path: Path) -> None:
    filled = Filled(tmp_path / "deep" / "folder")
    for _ in range(2):
        assert filled.ensure() == filled.folder
    assert (filled.folder / "a").read_text() == "1"
    assert filled.folder.stat().st_mode & 0o777 == 0o755


def test_an_incomplete_folder_is_filled_anew_and_leftovers_are_removed(tmp_path: Path) -> None:
    filled = Filled(tmp_path / "folder")
    filled.folder.mkdir()
    (filled.folder / "half").write_text("")
    killed = files.own_folder(filled.folder)
    killed = killed.rename(killed.with_name(killed.name.replace(f"-{os.getpid()}.", f"-{2**22 + 1}.")))
    (killed / "a").write_text("")
    filled.ensure()
    assert [path.name for path in filled.folder.iterdir()] == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == ["folder"]


def test_a_failure_leaves_no_folder(tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        (part / "a").write_text("")
        raise KeyError

    with pytest.raises(KeyError):
        ensure(tmp_path / "folder", "busy", lambda: False, fail)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_another_process_may_have_filled_it_meanwhile(tmp_path: Path) -> None:
    answers = iter([False, True])

    def fill(part: Path) -> None:
        pytest.fail("it is there by now")

    ensure(tmp_path / "folder", "busy", lambda: next(answers), fill)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        Filled(tmp_path / "file" / "folder").ensure()


def test_folders_of_processes_that_may_live_stay(tmp_path: Path) -> None:
    filled = Filled(tmp_path / "folder")
    own = files.own_folder(filled.folder)
    other = files.own_folder(filled.folder)
    other = other.rename(other.with_name(other.name.replace(files._machine(), "0" * 8)))
    filled.ensure()
    assert {own, other} < set(tmp_path.iterdir())


def test_the_first_of_two_wins(tmp_path: Path) -> None:
    """As where locks have no effect: another process fills the folder while this one does."""
    filled = Filled(tmp_path / "folder")

    def fill(part: Path) -> None:
        (part / "a").write_text("second")
        if not filled.folder.exists():
            (theirs := files.own_folder(filled.folder)).joinpath("a").write_text("first")
            assert put(theirs, filled.folder, filled.complete)

    ensure(filled.folder, "busy", filled.complete, fill)
    assert (filled.folder / "a").read_text() == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "folder.lock"]


def test_what_cannot_be_renamed_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        Filled(tmp_path / "folder").ensure()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "folder.lock"]


def used_by(folder: Path, machine: str, process: int) -> Path:
    """Mark a folder as in use by another process."""
    own = files.own_folder(folder, ".user")
    return own.rename(own.with_name(own.name.replace(f"{files._machine()}-{os.getpid()}.", f"{machine}-{process}.")))


def test_a_folder_goes_with_the_last_process_that_uses_it(tmp_path: Path) -> None:
    folder = Filled(tmp_path / "bank").ensure()
    for _ in range(2):  # jobs of one process
        mark(folder)
    here, there = used_by(folder, files._machine(), os.getppid()), used_by(folder, "0" * 8, 1)
    dead = used_by(folder, files._machine(), 2**22 + 1)
    release(folder)
    assert sorted(tmp_path.iterdir()) == sorted([folder, tmp_path / "bank.lock", here, there])
    assert (folder / "a").is_file()
    here.rmdir()
    os.utime(there, (time.time() - files.WEEK - 60,) * 2)
    release(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["bank.lock"], dead
    release(folder)


def test_a_folder_that_is_marked_while_it_is_removed_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Filled(tmp_path / "bank").ensure()
    plain = files.own_folder

    def meanwhile(path: Path, suffix: str = ".part") -> Path:
        if suffix == ".part":
            used_by(folder, "0" * 8, 1)
        return plain(path, suffix)

    with monkeypatch.context() as patch:
        patch.setattr(files, "own_folder", meanwhile)
        release(folder)
    assert (folder / "a").is_file()
    assert len(list(tmp_path.iterdir())) == 3, "the folder, its lock and the other's mark"


def test_what_ended_processes_used_is_kept_for_a_week(tmp_path: Path) -> None:
    kept, old = Filled(tmp_path / "kept").ensure(), Filled(tmp_path / "old").ensure()
    for folder in (kept, old):
        used_by(folder, files._machine(), 2**22 + 1)
    recent = used_by(kept, "0" * 8, 1)
    for path in tmp_path.glob(".*.user"):
        if path != recent:
            os.utime(path, (1, 1))
    files.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "kept.lock", "old.lock", recent.name}
