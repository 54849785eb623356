"""Version and commit of the code."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from medbench.storage import version

GIT = ("git", "-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the module takes for the one it runs from."""
    monkeypatch.setattr(version, "__file__", str(tmp_path / "bench" / "medbench" / "storage" / "version.py"))
    return tmp_path


def git(folder: Path, *words: str) -> str:
    done = subprocess.run([*GIT, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_version_is_that_of_the_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert version.version() == metadata.version("medbench")

    def none(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", none)
    assert version.version() == "0+unknown"


def test_the_commit_is_marked_when_a_tracked_file_has_changed(checkout: Path) -> None:
    git(checkout, "init", "-q")
    (checkout / "a.py").write_text("1")
    git(checkout, "add", "a.py")
    git(checkout, "commit", "-qm", "first")
    head = git(checkout, "rev-parse", "HEAD")
    assert version.commit() == head
    (checkout / "new.py").write_text("")
    assert version.commit() == head, "a file that is not tracked does not count"
    (checkout / "a.py").write_text("2")
    assert version.commit() == f"{head}+changes"


def test_there_is_no_commit_outside_a_checkout_and_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert version.commit() is None
    (checkout / ".git").mkdir()
    assert version.commit() is None, "an empty .git is no repository"
    monkeypatch.setenv("PATH", "")
    assert version.commit() is None
