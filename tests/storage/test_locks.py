"""A lock is waited for, says so once, and ends with its process."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from medbench.errors import OutputError
from medbench.storage import locks
from medbench.storage.locks import BusyError, exclusive

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


def test_a_lock_that_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with exclusive(tmp_path / "a.lock", ""):
        with (
            pytest.raises(BusyError, match="another works"),
            exclusive(tmp_path / "a.lock", "another works", wait=False),
        ):
            pytest.fail("it is held")
        with exclusive(tmp_path / "b.lock", "", wait=False):
            pass
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_lock_is_said(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(OutputError, match="cannot lock files") as caught, exclusive(tmp_path / "a.lock", "busy"):
        pytest.fail("there are no locks")
    assert str(tmp_path) in caught.value.message
    assert "medbench doctor disk" in caught.value.hint


@pytest.fixture
def markers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a file system that knows no locks: filelock makes markers."""

    def missing(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", missing)


@pytest.mark.usefixtures("markers")
def test_a_marker_of_a_dead_process_of_this_machine_is_removed(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / "a.lock").write_text(f"{int(dead.stdout)}\n{socket.gethostname()}\n")
    with (
        exclusive(tmp_path / "a.lock", "busy", wait=False),
        pytest.raises(BusyError),
        exclusive(tmp_path / "a.lock", "busy", wait=False),
    ):
        pytest.fail("it is held")
    assert not (tmp_path / "a.lock").exists()
    assert not list(recwarn)


@pytest.mark.usefixtures("markers")
def test_a_marker_of_another_machine_is_told_with_name_and_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marker, now, pauses = tmp_path / "a.lock", [0.0], []
    marker.write_text("4711\nnode7\n")
    os.utime(marker, (time.time() - 3 * 3600,) * 2)

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds
        if now[0] > 3600:  # the person does as told
            marker.unlink()

    monkeypatch.setattr(locks, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: now[0], time=time.time))
    with exclusive(marker, "another works on it"):
        pass
    busy, told = capsys.readouterr().err.splitlines()
    assert busy == "another works on it"
    assert told.startswith(f"{marker} has been held by process 4711 on node7 for 180 minutes; ")
    assert told.endswith("; if that process has ended, delete this file")
    assert pauses[:3] == pytest.approx([0.1, 0.125, 0.15625])
    assert max(pauses) == locks.SLOWEST
    assert len(pauses) < 145, "an hour of waiting costs less than 145 tries"
