"""A lock is waited for, says so once, and ends with its process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medbench.errors import OutputError
from medbench.storage.locks import exclusive, remove_unless_used

HOLDER = """
import sys, time
from pathlib import Path
from medbench.storage.locks import exclusive
with exclusive(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(lock: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_held_lock_is_waited_for_and_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = holder(tmp_path / "deep" / "a.lock", 0.6)
    start = time.monotonic()
    with exclusive(tmp_path / "deep" / "a.lock", "another works on it"):
        assert time.monotonic() - start > 0.3
    assert capsys.readouterr().err == "another works on it\n"
    process.communicate()


def test_a_free_lock_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with exclusive(tmp_path / "a.lock", "another works on it"):
            pass
    assert capsys.readouterr().err == ""


def test_a_killed_process_leaves_no_stale_lock(tmp_path: Path) -> None:
    process = holder(tmp_path / "a.lock", 60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    start = time.monotonic()
    with exclusive(tmp_path / "a.lock", "busy"):
        assert time.monotonic() - start < 5


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), exclusive(tmp_path / "file" / "a.lock", "busy"):
        pytest.fail("there is no such place")


def test_a_folder_in_use_is_not_removed(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    folder.mkdir()
    (folder / "a").touch()
    with exclusive(tmp_path / "lock", ""):
        remove_unless_used(folder, tmp_path / "lock")
        assert folder.is_dir()
    remove_unless_used(folder, tmp_path / "lock")
    assert not folder.exists()
