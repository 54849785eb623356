from __future__ import annotations

import json
import os
import pickle
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from medbench.cards import Settings
from medbench.data.dataset import Dataset
from medbench.data.images.depth import MissingDecoderError
from medbench.data.images.square import SquareRule, rule_of
from medbench.data.prepared import fill
from medbench.data.prepared import store as rooms
from medbench.data.prepared.store import (
    Store,
    channel_stats,
    prepare,
    refuse_unreadable,
    rule_for,
    store_key,
    store_path,
    take,
)
from medbench.errors import DataError

from ..made import SMALL, dataset_of, picture, pixels_of


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
        (break_material, "made with other settings"),
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
        assert "made: another process is preparing these images; waiting for it" in said
        assert not found
        monkeypatch.setattr(fill, "fill", lambda *_: pytest.fail("prepared twice"))
        (folder / "hidden").rename(folder / "manifest.json")
    thread.join()
    assert found[0].digest == made.digest


def test_no_images_at_all(small: Dataset) -> None:
    empty = Dataset(small.card, small.root, small.samples[:0], "s", "", "", (), False)
    with pytest.raises(DataError, match="no images"):
        prepare(empty, SMALL)


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


def test_each_part_of_the_rule_makes_another_store(small: Dataset) -> None:
    plain = SquareRule(32, "squash", "bilinear", False, 3)
    changes: list[dict[str, Any]] = [{"fit": fit} for fit in ("shortest", "canvas", "longest")]
    rules = [plain, *(replace(plain, **change) for change in [*changes, {"foreground": True}, {"fill": (1, 1, 1)}])]
    assert len({store_path(rule, small) for rule in rules}) == len(rules)


def test_changed_pixels_are_noticed_and_prepared_again(small: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    first = prepare(small, SMALL)
    right, file = np.array(first.images), first.path / "images.u8"
    content, before = bytearray(file.read_bytes()), file.stat()
    content[12345] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if it had never been touched
    assert (np.array(prepare(small, SMALL).images) == right).all()
    assert "images.u8 is damaged" in capsys.readouterr().err


def test_unreadable_images_are_tried_again_by_other_decoders(spoilt: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    unreadable = prepare(spoilt, SMALL).unreadable
    assert unreadable
    with monkeypatch.context() as patch:
        patch.setattr(fill, "fill", lambda *_: pytest.fail("prepared twice"))
        assert prepare(spoilt, SMALL).unreadable == unreadable
    decoders = {"pillow": "99.0"}
    monkeypatch.setattr(rooms, "decoders", lambda: decoders)
    monkeypatch.setattr(fill, "decoders", lambda: decoders)
    filled = []
    plain = fill.fill
    monkeypatch.setattr(fill, "fill", lambda *a: filled.append(plain(*a)))
    assert prepare(spoilt, SMALL).unreadable == unreadable
    assert len(filled) == 1


def test_a_missing_decoder_is_no_fault_of_the_file(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: Any, **__: Any) -> None:
        raise MissingDecoderError("DICOM with the compression 'X'", "pip install x")

    with monkeypatch.context() as patch:
        patch.setattr(fill, "decode", lacking)
        with pytest.raises(DataError, match="needs a decoder") as caught:
            prepare(small, SMALL)
    assert caught.value.hint == "pip install x"
    assert not prepare(small, SMALL).unreadable


def test_centre_keeps_images_as_they_are_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    for seed, (name, height) in enumerate((("a", 28), ("b", 28), ("c", 30))):
        picture(seed, height, 28).save(tmp_path / f"{name}.png")
    data, settings = dataset_of(tmp_path), Settings(fit="centre")
    rule = rule_for(data, settings, 224)
    assert rule.size == 28
    found = prepare(data, rule)
    assert (
        found.images[:2] == [np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")) for name in "ab"]
    ).all()
    assert found.unreadable == {"c": "28x30 pixels; fit=centre needs 28x28"}
    with pytest.raises(DataError, match="at most 24 pixels"):
        rule_for(data, settings, 24)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a\.png: "):
        rule_for(data, settings, 224)
    assert rule_for(data, Settings(), 224) == rule_of(Settings(), 224, 3)
