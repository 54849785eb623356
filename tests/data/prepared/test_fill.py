"""How a store is filled: what a kill, a full disk or a changed file leaves behind."""

from __future__ import annotations

import errno
import io
import signal
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from medbench.data.dataset import Dataset
from medbench.data.images.square import SquareRule
from medbench.data.prepared import fill
from medbench.data.prepared.store import prepare, store_path
from medbench.errors import DataError, OutputError

from ...forked import Program
from ..made import SMALL, dataset_of, picture, pixels_of

CHILD = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from made import SquareRule, dataset_of
from medbench.data.prepared.store import prepare
print(prepare(dataset_of(Path({root!r})), SquareRule(160, "squash", "bilinear", False, 3), workers=1).digest)
"""


def interrupted(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, chunks: int) -> Path:
    """Prepare `chunks` chunks of 4 images and fail."""
    monkeypatch.setattr(fill, "CHUNK_IMAGES", 4)
    with monkeypatch.context() as patched:
        squares = fill._square
        stop = 4 * chunks

        def square(work: fill.Work, row: int) -> Any:
            if row >= stop:
                raise KeyboardInterrupt
            return squares(work, row)

        patched.setattr(fill, "_square", square)
        with pytest.raises(KeyboardInterrupt):
            prepare(dataset, SMALL, workers=2)
    return store_path(SMALL, dataset)


def resumed(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Finish the preparation; return the rows that were decoded for it."""
    rows: list[int] = []
    with monkeypatch.context() as patched:
        squares = fill._square
        patched.setattr(fill, "_square", lambda work, row: (rows.append(row), squares(work, row))[1])
        store = prepare(dataset, SMALL)
    assert (store.images == pixels_of(dataset, SMALL)).all()
    assert not (store.path / "journal.jsonl").exists()
    return sorted(rows)


def test_what_is_done_is_not_done_again(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = interrupted(small, monkeypatch, 3)
    assert not (folder / "manifest.json").exists()
    assert resumed(small, monkeypatch) == list(range(12, 20))
    assert sorted(file.name for file in folder.iterdir()) == ["images.u8", "manifest.json"]


@pytest.mark.parametrize("cut", [1, 20, 75])
def test_a_torn_last_line_costs_one_chunk(small: Dataset, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    journal = interrupted(small, monkeypatch, 3) / "journal.jsonl"
    data = journal.read_bytes()
    journal.write_bytes(data[:-cut])
    assert resumed(small, monkeypatch) == list(range(8, 20))


def test_what_follows_a_torn_line_is_kept_too(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = interrupted(small, monkeypatch, 2) / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])
    interrupted(small, monkeypatch, 4)
    assert resumed(small, monkeypatch) == list(range(16, 20))


def test_a_chunk_whose_pixels_are_not_there_is_done_again(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = interrupted(small, monkeypatch, 3)
    with (folder / "images.u8").open("r+b") as file:
        file.seek(5 * 32 * 32 * 3)
        file.write(b"\0" * 10)
    assert resumed(small, monkeypatch) == list(range(4, 20))


def test_chunks_of_another_pillow_are_not_mixed_in(
    small: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = interrupted(small, monkeypatch, 3)
    journal = folder / "journal.jsonl"
    first, rest = journal.read_text().split("\n", 1)
    journal.write_text(first.replace('"pillow":"', '"pillow":"0.') + "\n" + rest)
    assert resumed(small, monkeypatch) == list(range(20))
    assert "another version" in capsys.readouterr().err


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 630 JPEG files of 480 x 360 pixels: a few seconds of work."""
    root = tmp_path_factory.mktemp("many")
    for k in range(14):
        buffer = io.BytesIO()
        picture(k, 360, 480).save(buffer, "JPEG", quality=90)
        for copy in range(45):
            (root / f"{copy:02}-{k:02}.jpg").write_bytes(buffer.getvalue())
    return root


def started(root: Path, home: Path) -> Program:
    code = CHILD.format(tests=str(Path(__file__).parents[1]), root=str(root))
    return Program(code, MEDBENCH_HOME=str(home))


def chunks_done(home: Path) -> int:
    return sum(file.read_bytes().count(b"\n") - 1 for file in home.glob("prepared/*/journal.jsonl"))


def test_kill_at_any_moment_and_go_on(many: Path, tmp_path: Path) -> None:
    whole = started(many, tmp_path / "whole")
    killed = []
    for least in (1, 3, 7):
        child = started(many, tmp_path / "killed")
        while child.poll() is None and chunks_done(tmp_path / "killed") < least:
            time.sleep(0.002)
        time.sleep(0.02 * least)  # not only just after a line was written
        child.send_signal(signal.SIGKILL)
        child.communicate()
        killed.append((child.returncode, chunks_done(tmp_path / "killed")))
    assert all(status == -signal.SIGKILL for status, _ in killed), killed
    assert [done for _, done in killed] == sorted(done for _, done in killed), "progress was lost"
    assert killed[-1][1] >= 7
    last = started(many, tmp_path / "killed")
    digests = [child.communicate(timeout=120)[0].strip() for child in (whole, last)]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]
    (one,), (two,) = ((tmp_path / home).glob("prepared/made-*") for home in ("whole", "killed"))
    for name in ("images.u8", "manifest.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert {file.name for file in two.iterdir()} == {"images.u8", "manifest.json"}


def test_two_processes_at_once_end_well(many: Path, tmp_path: Path) -> None:
    children = [started(many, tmp_path / "both") for _ in range(2)]
    outcomes = [(*child.communicate(timeout=120), child.returncode) for child in children]
    assert [status for _, _, status in outcomes] == [0, 0], outcomes
    assert outcomes[0][0] == outcomes[1][0]
    assert len(list((tmp_path / "both" / "prepared").glob("made-*"))) == 1


def test_too_little_space_is_said_before_the_work(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    need = 20 * 32 * 32 * 3

    class Usage:
        free = need - 1

    monkeypatch.setattr(fill.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(OutputError, match=r"'made' need 0\.00 GB more, but 0\.00 GB are free at .*prepared"):
        prepare(small, SMALL)
    Usage.free = need
    prepare(small, SMALL)


@pytest.mark.parametrize("call", [1, 2, 5, 6])
def test_a_full_disk_is_an_output_error_and_loses_nothing(
    small: Dataset, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    monkeypatch.setattr(fill, "CHUNK_IMAGES", 4)
    calls = 0

    def fsync(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(fill.os, "fsync", fsync)
        with pytest.raises(OutputError, match="No space left on device") as caught:
            prepare(small, SMALL)
    assert "MEDBENCH_HOME" in caught.value.hint
    rows = resumed(small, monkeypatch)
    assert rows[-1] == 19
    assert rows[0] <= 8


def test_a_cache_that_cannot_be_written(small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(OutputError, match="cannot write"):
        prepare(small, SMALL)


def test_a_file_that_changed_or_went_is_no_black_image(small: Dataset) -> None:
    picture(77).save(small.root / "i07.png")
    with pytest.raises(DataError, match=r"i07\.png changed"):
        prepare(small, SMALL)
    (small.root / "i07.png").unlink()
    with pytest.raises(DataError, match=r"cannot read .*i07\.png"):
        prepare(small, SMALL)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "n"
    root.mkdir()
    buffer = io.BytesIO()
    picture(0).save(buffer, "PNG")
    for k in range(200):
        (root / f"{k}.png").write_bytes(buffer.getvalue())
    dataset = dataset_of(root)
    monkeypatch.setattr(fill, "CHUNK_IMAGES", 8)
    rule = SquareRule(128, "squash", "bilinear", False, 3)
    prepare(dataset, SquareRule(8, "squash", "bilinear", False, 3))  # imports
    tracemalloc.start()
    try:
        store = prepare(dataset, rule, workers=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < store.images.nbytes / 3


def test_large_squares_make_small_chunks(small: Dataset) -> None:
    def work(size: int) -> fill.Work:
        rule = SquareRule(size, "squash", "bilinear", False, 3)
        return fill.Work(Path(), {}, small, rule)

    assert work(256).chunk == 64
    assert work(1170).chunk == 4
    assert work(9000).chunk == 1
