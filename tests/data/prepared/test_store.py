from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from PIL import Image

from medbench.cards import DatasetCard, Settings
from medbench.data.dataset import Dataset
from medbench.data.images.decode import open_image
from medbench.data.images.resize import fitted
from medbench.data.images.square import SquareRule, rule_of
from medbench.data.prepared import fill
from medbench.data.prepared import store as rooms
from medbench.data.prepared.store import Store, channel_stats, prepare, refuse_unreadable, store_key, store_path, take
from medbench.errors import DataError, OutputError

SMALL = SquareRule(32, "squash", "bilinear", False, 3)

CHILD = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_store import SquareRule, dataset_of, prepare
print(prepare(dataset_of(Path({root!r})), SquareRule(160, "squash", "bilinear", False, 3), workers=1).digest)
"""


def card(channels: int = 3) -> DatasetCard:
    return DatasetCard.model_validate(
        {
            "name": "made",
            "layout": {"kind": "folders"},
            "task": "binary",
            "classes": ["a", "b"],
            "channels": channels,
            "metric": "auroc_macro",
            "splits": {"default": "s", "rules": {"s": {"method": "stratified"}}},
        }
    )


def dataset_of(root: Path) -> Dataset:
    """Return a data set of all files of a folder, in the order of their names."""
    files = sorted(root.iterdir())
    names = [file.stem for file in files]
    samples = pd.DataFrame({"id": names, "path": [file.name for file in files], "group": names})
    samples["split"] = [("train", "val", "test")[k % 3] for k in range(len(files))]
    samples["target"] = np.arange(len(files)) % 2
    content = tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return Dataset(card(), root, samples, "s", "", "", content, False)


def picture(seed: int, height: int = 40, width: int = 60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def small(tmp_path: Path) -> Dataset:
    root = tmp_path / "small"
    root.mkdir()
    for k in range(20):
        picture(k).save(root / f"i{k:02}.png")
    return dataset_of(root)


@pytest.fixture
def spoilt(small: Dataset) -> Dataset:
    whole = (small.root / "i03.png").read_bytes()
    (small.root / "i03.png").write_bytes(whole[: len(whole) // 2])
    (small.root / "i11.png").write_bytes(b"")
    return dataset_of(small.root)


def pixels_of(dataset: Dataset, rule: SquareRule) -> np.ndarray[Any, Any]:
    paths = [dataset.root / path for path in dataset.samples["path"]]
    squares = [np.asarray(fitted(open_image(path, rule.channels), rule)).reshape(rule.shape) for path in paths]
    return np.stack(squares)


def test_rule_of_settings() -> None:
    assert rule_of(Settings(), 224, 3) == SquareRule(256, "squash", "bilinear", False, 3)
    assert rule_of(Settings(), 1024, 1).size == 1170
    other = Settings(resize_ratio=1, fit="shortest", interpolation="bicubic", draft=True)
    assert rule_of(other, 64, 1) == SquareRule(64, "shortest", "bicubic", True, 1)


@pytest.mark.parametrize("size", [(60, 40), (41, 97), (33, 33), (500, 12), (301, 300)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_fit_equals_torchvision(size: tuple[int, int], interpolation: Any) -> None:
    from torchvision.transforms import v2

    image = picture(1, *size)
    mode = v2.InterpolationMode(interpolation)
    shortest = v2.Compose([v2.Resize(32, mode), v2.CenterCrop(32)])(image)
    assert (
        np.asarray(fitted(image, SquareRule(32, "shortest", interpolation, False, 3))) == np.asarray(shortest)
    ).all()
    squash = v2.Resize((32, 32), mode)(image)
    assert (np.asarray(fitted(image, SquareRule(32, "squash", interpolation, False, 3))) == np.asarray(squash)).all()


def test_pixels_are_those_of_each_image_alone(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill, "CHUNK_IMAGES", 7)
    for rule in (SMALL, SquareRule(24, "shortest", "bicubic", False, 1)):
        store = prepare(small, rule, workers=3)
        assert store.images.shape == (20, rule.size, rule.size, rule.channels)
        assert (np.asarray(store.images) == pixels_of(small, rule)).all()
        assert not store.images.flags.writeable
        assert (store.path / "images.u8").read_bytes() == pixels_of(small, rule).tobytes()
        assert sorted(file.name for file in store.path.iterdir()) == ["images.u8", "manifest.json"]
        refuse_unreadable(store)


def test_a_finished_store_is_used_again(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(small, SMALL)
    monkeypatch.setattr(fill, "fill", lambda *_: pytest.fail("prepared twice"))
    again = prepare(small, SMALL)
    assert again.digest == first.digest
    assert again.path == first.path


def test_another_rule_or_file_is_another_store(small: Dataset) -> None:
    first = prepare(small, SMALL)
    rules = [
        SquareRule(33, "squash", "bilinear", False, 3),
        SquareRule(32, "shortest", "bilinear", False, 3),
        SquareRule(32, "squash", "bicubic", False, 3),
        SquareRule(32, "squash", "bilinear", True, 3),
        SquareRule(32, "squash", "bilinear", False, 1),
    ]
    assert len({store_path(rule, small) for rule in [SMALL, *rules]}) == 6
    picture(99).save(small.root / "i05.png")
    changed = dataset_of(small.root)
    second = prepare(changed, SMALL)
    assert second.path != first.path
    assert second.digest != first.digest
    assert (np.asarray(first.images)[5] != second.images[5]).any()
    assert (np.delete(first.images, 5, 0) == np.delete(second.images, 5, 0)).all()


def test_the_order_of_images_is_part_of_the_key(small: Dataset) -> None:
    turned = Dataset(
        small.card, small.root, small.samples[::-1].reset_index(drop=True), "s", "", "", small.content[::-1], False
    )
    assert store_key(SMALL, turned) != store_key(SMALL, small)
    assert (prepare(turned, SMALL).images[::-1] == prepare(small, SMALL).images).all()


def test_the_digest_is_of_pixels_and_shape(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {prepare(small, SMALL, workers=workers).digest for workers in (1,)}
    monkeypatch.setattr(rooms, "STORE_VERSION", 2)  # another key, the same pixels
    digests |= {prepare(small, SMALL, workers=4).digest}
    assert len(digests) == 1
    assert prepare(small, SquareRule(32, "squash", "bicubic", False, 3)).digest not in digests


def test_unreadable_images_are_listed_and_zero(spoilt: Dataset) -> None:
    store = prepare(spoilt, SMALL)
    assert set(store.unreadable) == {"i03", "i11"}
    assert store.unreadable["i11"] == "empty file (0 bytes)"
    assert "truncated" in store.unreadable["i03"]
    assert not store.images[[3, 11]].any()
    with pytest.raises(DataError, match=r"2 of 20 images cannot be decoded: i03: .*truncated.*; i11: empty") as caught:
        refuse_unreadable(prepare(spoilt, SMALL))
    assert "--unreadable leave-out" in caught.value.hint


def break_material(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["material"]["n"] += 1
    (path / "manifest.json").write_text(json.dumps(manifest))


def break_size(path: Path) -> None:
    with (path / "images.u8").open("r+b") as file:
        file.truncate(1000)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (break_material, "made by another rule"),
        (break_size, "1,000 bytes"),
        (lambda path: (path / "images.u8").unlink(), "images.u8 is missing"),
        (lambda path: (path / "manifest.json").write_text("{"), "manifest is damaged"),
        (lambda path: (path / "manifest.json").write_text("[1]"), "manifest is damaged"),
    ],
)
def test_a_folder_is_not_believed_because_it_exists(
    small: Dataset, capsys: pytest.CaptureFixture[str], spoil: Any, said: str
) -> None:
    store = prepare(small, SMALL)
    spoil(store.path)
    (store.path / "stats.json").touch()  # others keep there what they made of the pixels
    again = prepare(small, SMALL)
    assert said in capsys.readouterr().err
    assert again.digest == store.digest
    assert (again.images == pixels_of(small, SMALL)).all()
    assert not (store.path / "stats.json").exists()


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
    (folder / ".manifest.json.xyz.part").touch()  # as a kill may leave it
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


def started(root: Path, home: Path) -> subprocess.Popen[str]:
    code = CHILD.format(tests=str(Path(__file__).parent), root=str(root))
    environment = {**os.environ, "MEDBENCH_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


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


def test_who_waits_says_so_and_does_nothing(
    small: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store_path(SMALL, small)
    made = prepare(small, SMALL)
    (folder / "manifest.json").rename(folder / "hidden")
    found: list[Store] = []
    with FileLock(folder.parent / f".{folder.name}.lock"):
        thread = threading.Thread(target=lambda: found.append(prepare(small, SMALL)))
        thread.start()
        for _ in range(500):
            if "waiting for it" in (said := capsys.readouterr().err):
                break
            time.sleep(0.01)
        assert "made: another process prepares these images; waiting for it" in said
        assert not found
        monkeypatch.setattr(fill, "fill", lambda *_: pytest.fail("prepared twice"))
        (folder / "hidden").rename(folder / "manifest.json")
    thread.join()
    assert found[0].digest == made.digest


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


def test_no_images_at_all(small: Dataset) -> None:
    empty = Dataset(small.card, small.root, small.samples[:0], "s", "", "", (), False)
    with pytest.raises(DataError, match="no images"):
        prepare(empty, SMALL)


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


def test_other_processes_are_sent_the_path(small: Dataset) -> None:
    store = prepare(small, SMALL)
    sent = pickle.dumps(store)
    assert len(sent) < 2000
    again = pickle.loads(sent)
    assert (again.images == store.images).all()
    assert (again.digest, again.unreadable, again.path) == (store.digest, store.unreadable, store.path)


def test_stats_equal_numpys(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    store = prepare(small, SMALL)
    for rows in (np.arange(20), np.array([3, 4, 9, 17, 1])):
        part = np.asarray(store.images)[rows] / 255
        for bytes_at_once in (1, 7000, 1 << 24):
            monkeypatch.setattr(rooms, "STATS_BYTES", bytes_at_once)
            mean, std = channel_stats(store, rows)
            np.testing.assert_allclose(mean, part.mean((0, 1, 2)), rtol=1e-13)
            np.testing.assert_allclose(std, part.std((0, 1, 2)), rtol=1e-12)
    assert channel_stats(store, np.array([5, 2, 7])) == channel_stats(store, np.array([2, 5, 7]))


def test_stats_that_cannot_be(spoilt: Dataset) -> None:
    store = prepare(spoilt, SMALL)
    with pytest.raises(DataError, match="no images"):
        channel_stats(store, np.array([], int))
    with pytest.raises(DataError, match="same value"):
        channel_stats(store, np.array([3, 11]))


def test_take_is_numpys_indexing_and_a_copy() -> None:
    images = np.arange(10 * 4).reshape(10, 2, 2, 1).astype(np.uint8)
    for rows in ([2, 3, 4], [4, 3, 2], [0], [9, 9], [1, 5, 6], [0, 2], []):
        index = np.array(rows, int)
        found = take(images, index)
        assert (found == images[index]).all()
        assert found.shape == images[index].shape
        assert not np.shares_memory(found, images)
