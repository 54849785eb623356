from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from pathlib import Path

import pytest

from medbench.errors import DataError
from medbench.storage import digests, paths


def aged(path: Path, content: bytes) -> Path:
    """Write a file that has been left alone for a while, as far as the cache can tell."""
    path.write_bytes(content)
    return path


@pytest.fixture
def counted(monkeypatch):
    """Note every file that is really read; digests are remembered at once."""
    read: list[str] = []
    original = digests.files.sha256_file
    monkeypatch.setattr(digests.files, "sha256_file", lambda path: read.append(path.name) or original(path))
    monkeypatch.setattr(digests, "SETTLED", -1.0)
    return read


def test_digests_in_order_each_file_read_once(tmp_path, counted):
    files = [aged(tmp_path / f"{k}", bytes([k]) * k) for k in range(5)]
    expected = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert digests.file_digests([*files, files[2]]) == [*expected, expected[2]]
    assert sorted(counted) == ["0", "1", "2", "3", "4"]
    assert digests.file_digests(files[::-1]) == expected[::-1]
    assert len(counted) == 5


def test_change_is_seen_even_with_size_and_time_kept(tmp_path, counted):
    file = aged(tmp_path / "a", b"one")
    before = file.stat()
    first = digests.file_digests([file])
    time.sleep(0.02)
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.file_digests([file]) != first


def test_fresh_file_is_not_remembered(tmp_path):
    file = aged(tmp_path / "a", b"one")
    digests.file_digests([file])
    with sqlite3.connect(paths.home() / "hashes.sqlite") as cache:
        assert cache.execute("SELECT COUNT(*) FROM digests").fetchone() == (0,)
    cache.close()


def test_many_batches(tmp_path, counted, monkeypatch):
    monkeypatch.setattr(digests, "BATCH", 3)
    files = [aged(tmp_path / f"{k}", str(k).encode()) for k in range(10)]
    assert digests.file_digests(files) == [hashlib.sha256(str(k).encode()).hexdigest() for k in range(10)]
    assert digests.file_digests(files) == [hashlib.sha256(str(k).encode()).hexdigest() for k in range(10)]
    assert len(counted) == 10


def test_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match="gone"):
        digests.file_digests([tmp_path / "gone"])


def test_damaged_cache_is_begun_anew(tmp_path, counted):
    file = aged(tmp_path / "a", b"one")
    paths.home().mkdir(parents=True)
    (paths.home() / "hashes.sqlite").write_bytes(b"not a database at all" * 100)
    for _ in range(2):
        assert digests.file_digests([file]) == [hashlib.sha256(b"one").hexdigest()]
    assert len(counted) == 1


def test_unwritable_cache_only_costs_time(tmp_path, counted, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "file" / "home"))
    file = aged(tmp_path / "a", b"one")
    assert digests.file_digests([file, file]) == [hashlib.sha256(b"one").hexdigest()] * 2


def test_a_file_larger_than_asked_for_is_not_read(tmp_path, counted):
    files = [aged(tmp_path / "small", b"1234"), aged(tmp_path / "large", b"12345")]
    with pytest.raises(DataError, match="large has 5 bytes, more than the limit of 4"):
        digests.file_digests(files, most=4)
    assert counted == []
    assert len(digests.file_digests(files, most=5)) == 2
