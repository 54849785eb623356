"""Atomic writes, digests, and paths that stay inside their root."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medbench.errors import DataError, OutputError
from medbench.storage import files


def test_canonical_json_does_not_depend_on_order() -> None:
    assert files.canonical({"b": [1, 2.5, None], "a": "é"}) == '{"a":"\\u00e9","b":[1,2.5,null]}'
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1})
    assert files.digest([1]) == hashlib.sha256(b"[1]").hexdigest()
    with pytest.raises(ValueError, match="JSON compliant"):
        files.canonical(math.nan)


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000  # more than one block
    (tmp_path / "a").write_bytes(content)
    assert files.sha256_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to("a")
    with files.open_regular(tmp_path / "link") as file:
        assert file.read() == b"content"
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            files.sha256_file(name)
    with pytest.raises(OSError, match="a folder"):
        files.open_regular(tmp_path)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.ENOENT])
def test_errors_of_the_system_name_the_place(code: int) -> None:
    with pytest.raises(OutputError, match="cannot write some/place") as caught, files.writing(Path("some/place")):
        raise OSError(code, "no")
    for option in ("--runs", "--to", "MEDBENCH_HOME"):
        assert option in caught.value.hint


def test_other_errors_pass() -> None:
    with pytest.raises(OSError, match="broken") as caught, files.writing(Path("x")):
        raise OSError(errno.EPIPE, "broken")
    assert type(caught.value) is BrokenPipeError


def test_a_file_appears_complete_and_by_itself(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with files.atomic(target) as part:
        part.write_text("new")
        assert not target.exists()
        assert part.parent == target.parent, "a rename stays on one file system"
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(TypeError), files.atomic(tmp_path / "a.txt") as part, part.open("w") as file:
        file.writelines(["half", None])
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_readable_and_refuses_nan(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"name": "κ", "values": [1, None]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"name": "κ", "values": [1, None]}
    assert "κ" in text
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "b.json", math.inf)
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize(
    ("relative", "inside"),
    [("a/b.png", "a/b.png"), ("a\\b.png", "a/b.png"), ("a/../b.png", "b.png"), ("./b.png", "b.png"), ("..b", "..b")],
)
def test_paths_below_the_root(relative: str, inside: str) -> None:
    assert files.inside(Path("root"), relative) == Path("root") / inside


@pytest.mark.parametrize("relative", ["../b.png", "a/../../b.png", "/etc/passwd", "..\\b.png", "a/../.."])
def test_paths_that_leave_the_root(relative: str) -> None:
    with pytest.raises(DataError, match="leaves the data folder root") as caught:
        files.inside(Path("root"), relative)
    assert "--allow-outside" in caught.value.hint
    assert files.inside(Path("/data/root"), relative, allow_outside=True)


@pytest.mark.parametrize("n", [0, 1, files.CHUNK - 1, files.CHUNK, files.CHUNK + 1, 2 * files.CHUNK + 3])
def test_the_digest_of_rows_is_that_of_their_json(n: int) -> None:
    rows = [(f"image {i}", i, [i, i + 1]) for i in range(n)]
    lists = [list(row) for row in rows]
    parts = [lists[start : start + files.CHUNK] for start in range(0, n, files.CHUNK)]
    text = "head" + "".join(json.dumps(part, separators=(",", ":")) + "\n" for part in parts)
    assert files.rows_digest(iter(rows), "head") == hashlib.sha256(text.encode()).hexdigest()


def test_the_digest_of_rows_depends_on_their_order() -> None:
    assert files.rows_digest([("a", 1), ("b", 2)]) != files.rows_digest([("b", 2), ("a", 1)])


def test_temporary_files_of_dead_processes_are_swept(tmp_path: Path) -> None:
    part = files.atomic(tmp_path / "deep" / "own.json")
    own = part.__enter__()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = own.with_name(own.name.replace(f"-{os.getpid()}.", f"-{int(dead.stdout)}."))
    other = own.with_name(own.name.replace(files._machine(), "0" * 8))
    old, kept = tmp_path / ".x.json.abc.part", tmp_path / "weights.pth.part"
    for path in (left, other, old, kept):
        path.write_bytes(b"half")
    for path in (old, kept):
        os.utime(path, (1, 1))
    files.sweep(tmp_path, tmp_path / "nowhere")
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted([own, other, kept])
    os.utime(own, (1, 1))
    files.sweep(tmp_path)
    assert own.exists(), "a process of this machine that runs may take as long as it likes"
    part.__exit__(None, None, None)


def test_folders_of_dead_processes_are_swept_and_work_to_be_resumed_is_kept(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)

    def left(suffix: str) -> Path:
        own = files.own_folder(tmp_path / "deep" / "set", suffix)
        (own / "inner").mkdir()
        (own / "inner" / "a").write_text("half")
        return own.rename(own.with_name(own.name.replace(f"-{os.getpid()}.", f"-{int(dead.stdout)}.")))

    own, part, resumed, old = files.own_folder(tmp_path / "set"), left(".part"), left(".parts"), left(".parts")
    os.utime(old, (1, 1))
    files.sweep(tmp_path)
    assert [path.exists() for path in (own, part, resumed, old)] == [True, False, True, False]
    assert files.is_own(own)
    assert not files.is_own(resumed)
    assert files.is_abandoned(resumed)
    assert not files.is_abandoned(own)


@pytest.mark.parametrize("damage", ["value", "cut", "no digest", "list", "absent"])
def test_a_sealed_file_is_believed_only_as_it_was_written(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "a.json"
    files.write_sealed(file, {"mean": [0.1, 1 / 3]})
    assert files.read_sealed(file) == {"mean": [0.1, 1 / 3]}
    text = file.read_text()
    if damage == "absent":
        file.unlink()
    else:
        other = {"value": text.replace("0.1", "0.2"), "cut": text[:-9], "no digest": '{"value": 1}', "list": "[1]"}
        file.write_text(other[damage])
    assert files.read_sealed(file) is None


@pytest.mark.parametrize("name", ["a", "m", "schema2", "z"])
def test_digests_of_parts_are_those_of_the_whole(name: str) -> None:
    whole = {"model": {"b": [1.5, None], "a": "größer"}, "data": "d" * 64, "schema": 1, "seeds": [0, 1]}
    texts = {key: files.canonical(value) for key, value in whole.items()}
    assert files.digest_of_texts(texts) == files.digest(whole)
    assert files.digest_of_texts({}) == files.digest({})
    values = [0, 7, 2**32 - 1]
    assert files.digests_by(texts, name, values) == [files.digest({**whole, name: value}) for value in values]
    assert files.digests_by({}, name, values) == [files.digest({name: value}) for value in values]
