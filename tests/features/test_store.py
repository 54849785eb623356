"""The feature store trusts a manifest, never a folder."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medbench.features.spec import FeatureSpec
from medbench.features.store import FeatureFolder
from medbench.storage import digests, files

SPEC = FeatureSpec(
    dataset="d",
    model="m",
    card={"arch": "net", "input": {"size": 64}},
    weights="ab" * 32,
    store="cd" * 32,
    image_size=64,
    channels=3,
    channel_rule="slice",
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
    precision="fp32",
    rows="all",
)
VALUES = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)


def filled(spec: FeatureSpec = SPEC) -> FeatureFolder:
    folder = FeatureFolder(spec, 10)
    folder.start()
    folder.add(0, VALUES[:6])
    folder.add(6, VALUES[6:])
    folder.finish([(0, 6), (6, 10)], {})
    return folder


def test_what_was_written_is_read_back_and_parts_are_gone() -> None:
    folder = filled()
    assert np.array_equal(FeatureFolder(SPEC, 10).load(), VALUES)
    assert sorted(p.name for p in folder.path.iterdir()) == ["features.npy", "key.json", "manifest.json"]
    assert list(folder.path.parent.iterdir()) == [folder.path]


def test_an_existing_folder_without_a_manifest_is_not_trusted() -> None:
    folder = filled()
    (folder.path / "manifest.json").unlink()
    assert FeatureFolder(SPEC, 10).load() is None


@pytest.mark.parametrize("damage", ["flip", "cut", "rows", "material", "empty"])
def test_damage_is_seen(damage: str) -> None:
    folder = filled()
    file, manifest = folder.path / "features.npy", folder.path / "manifest.json"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-3] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[:-8])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "material":
        manifest.write_text(manifest.read_text().replace('"precision": "fp32"', '"precision": "bf16"'))
    else:
        assert FeatureFolder(SPEC, 11).load() is None
        return
    assert FeatureFolder(SPEC, 10).load() is None


def test_parts_before_a_gap_are_taken_up() -> None:
    folder = FeatureFolder(SPEC, 10)
    folder.start()
    folder.add(0, VALUES[:3])
    folder.add(3, VALUES[3:5])
    folder.add(7, VALUES[7:])
    assert FeatureFolder(SPEC, 10).start() == [(0, 3), (3, 5)]


def test_a_miss_says_which_field_differs() -> None:
    filled()
    other = dataclasses.replace(SPEC, image_size=128, precision="bf16")
    assert FeatureFolder(other, 10).why_not() == "image_size: 64 -> 128; precision: fp32 -> bf16"
    assert FeatureFolder(dataclasses.replace(SPEC, model="unseen"), 10).why_not() is None


def test_the_key_is_stored_beside_the_data() -> None:
    folder = filled()
    assert json.loads((folder.path / "key.json").read_text())["weights"] == "ab" * 32


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "name"])
def test_a_damaged_part_is_made_again_and_said(damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = FeatureFolder(SPEC, 10)
    folder.start()
    for start in (0, 3, 6):
        folder.add(start, VALUES[start : start + 3])
    part = parts(folder)[1]
    content = bytearray(part.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        part.write_bytes(content)
    elif damage == "name":
        part.rename(part.with_name("part-000000003-000000006.npy"))  # as older versions called it
    else:
        part.write_bytes(content[:-7] if damage == "cut" else b"")
    again = FeatureFolder(SPEC, 10)
    assert again.start() == [(0, 3)]
    assert "of an unfinished extraction is damaged" in capsys.readouterr().err
    again.add(3, VALUES[3:])
    assert np.array_equal(again.finish([(0, 3), (3, 10)], {}), VALUES)
    assert not parts(folder)


def parts(folder: FeatureFolder) -> list[Path]:
    return sorted(folder.path.parent.rglob("part-*"))


def another_process(folder: FeatureFolder, machine: str | None = None) -> Path:
    """Give the parts of a folder to a process that has ended; or, with `machine`, to one that cannot be seen."""
    (own,) = filter(files.is_own, folder.path.parent.glob(".*.parts"))
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    name = own.name.replace(f"-{os.getpid()}.", f"-{int(done.stdout)}.")
    return own.rename(own.with_name(name.replace(files._machine(), machine) if machine else name))


def begun(*stops: int) -> FeatureFolder:
    folder = FeatureFolder(SPEC, 10)
    folder.start()
    for start, stop in zip((0, *stops), stops, strict=False):
        folder.add(start, VALUES[start:stop])
    return folder


def test_parts_of_an_ended_process_are_taken_over() -> None:
    left = another_process(begun(3, 5))
    assert FeatureFolder(SPEC, 10).start() == [(0, 3), (3, 5)]
    assert not left.exists()


def test_parts_of_a_process_that_may_live_are_used_and_stay() -> None:
    other = another_process(begun(3, 5), machine="0" * 8)
    names = [path.name for path in other.iterdir()]
    folder = FeatureFolder(SPEC, 10)
    assert folder.start() == [(0, 3), (3, 5)]
    folder.add(5, VALUES[5:])
    folder.finish([(0, 3), (3, 5), (5, 10)], {})
    assert sorted(path.name for path in other.iterdir()) == sorted(names)
    assert parts(folder) == sorted(other.iterdir())


def test_the_extraction_that_came_furthest_is_resumed() -> None:
    another_process(begun(3, 5), machine="0" * 8)
    another_process(begun(3, 5, 8), machine="1" * 8)  # takes up 3 and 5 and goes on
    assert FeatureFolder(SPEC, 10).start() == [(0, 3), (3, 5), (5, 8)]


def test_parts_are_copied_where_a_file_has_one_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    another_process(begun(3))
    monkeypatch.setattr(os, "link", refused)
    assert FeatureFolder(SPEC, 10).start() == [(0, 3)]


def test_who_is_second_takes_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    second = begun(10)
    with monkeypatch.context() as of_another_process:
        of_another_process.setattr(files, "is_own", lambda path: path != second._own)
        first = filled()
    stored = (first.path / "manifest.json").stat()
    values = second.finish([(0, 10)], {})
    assert np.array_equal(values, VALUES)
    assert (first.path / "manifest.json").stat() == stored
    assert list(first.path.parent.iterdir()) == [first.path]


def test_damaged_features_are_replaced() -> None:
    folder = filled()
    (folder.path / "features.npy").write_bytes(b"")
    filled()
    assert np.array_equal(FeatureFolder(SPEC, 10).load(), VALUES)
    assert list(folder.path.parent.iterdir()) == [folder.path]


def test_features_are_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    file = filled().path / "features.npy"
    with monkeypatch.context() as later:
        later.setattr(digests, "SETTLED", -1.0)  # as if two seconds had passed
        assert FeatureFolder(SPEC, 10).load() is not None
    hashed: list[str] = []
    monkeypatch.setattr(digests, "_digest", lambda name: hashed.append(name) or files.sha256_file(Path(name)))
    assert FeatureFolder(SPEC, 10).load() is not None
    assert not hashed
    os.utime(file, (1, 1))
    assert FeatureFolder(SPEC, 10).load() is not None
    assert hashed == [str(file)]
