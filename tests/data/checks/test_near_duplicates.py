from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from medbench.data.checks import near_duplicates
from medbench.data.layouts import reader
from medbench.data.load import find_source
from medbench.progress import quiet
from medbench.storage.digests import file_digests

from .made import CARD, checked, drawn


def small(images: list[Image.Image]) -> np.ndarray[Any, Any]:
    squares = [image.convert("L").resize((32, 32), Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(square) for square in squares])[..., None]


def clusters(images: list[Image.Image], **options: Any) -> list[list[int]]:
    with quiet():
        return near_duplicates.near_clusters(small(images), [str(i) for i in range(len(images))], **options)


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data)


def marked(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.paste(255, (5, 80, 20, 86))
    return image


CHANGES = {
    "recompressed": lambda image: recompressed(image, 40),
    "smaller": lambda image: image.resize((71, 75)),
    "brighter": lambda image: image.point(lambda v: min(255, v + 25)),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "cropped": lambda image: image.crop((1, 1, 95, 95)),
    "marked": marked,
}
OTHERS = {
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "negative": lambda image: image.point(lambda v: 255 - v),
    "shifted": lambda image: image.transform((96, 96), Image.Transform.AFFINE, (1, 0, 20, 0, 1, 0)),
}


def test_other_images_are_no_near_duplicates(crowd):
    assert clusters(crowd) == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_that_leave_an_image_the_same(crowd, change):
    assert clusters([*crowd, *(change(image) for image in crowd[:5])]) == [[i, 80 + i] for i in range(5)]


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_changes_that_make_another_image(crowd, change):
    assert clusters([*crowd, *(change(image) for image in crowd[:5])]) == []


def test_a_few_images_of_another_device_are_not_alike(crowd):
    """What these have in common, an edge and a mark, is in none of the others."""
    others = []
    for seed in range(100, 112):
        pixels = np.array(drawn(seed))
        pixels[:20], pixels[-22:], pixels[4:10, 4:20] = 0, 0, 220
        others.append(Image.fromarray(pixels))
    assert clusters([*crowd, *others]) == []


def test_small_sets(crowd):
    first, second = crowd[:2]
    assert clusters([first, second]) == []
    assert clusters([first, recompressed(first, 40)]) == [[0, 1]]
    assert clusters([first]) == []
    assert clusters([first, first]) == [[0, 1]]  # the same picture in two files
    with quiet():
        assert near_duplicates.near_clusters(np.zeros((0, 32, 32, 1), np.uint8), []) == []


def test_blank_images_are_not_one_another_s_duplicates(crowd):
    rng = np.random.default_rng(0)
    blank = [Image.new("L", (40, 40), shade) for shade in (0, 0, 128, 255)]
    noisy = [Image.fromarray(rng.normal(200, 1, (512, 512)).clip(0, 255).astype(np.uint8)) for _ in range(3)]
    specks = [Image.new("L", (64, 64)) for _ in range(3)]
    for speck in specks:
        speck.putpixel((3, 3), 255)
    assert clusters([*crowd, *blank, *noisy, *specks]) == []


def test_clusters_are_joined_by_pairs_and_hold_copies(crowd):
    images = [crowd[0], recompressed(crowd[0], 50), crowd[1], crowd[0], crowd[2], crowd[2], crowd[1].resize((80, 80))]
    content = ["a", "b", "c", "a", "d", "d", "e"]
    with quiet():
        found = near_duplicates.near_clusters(small(images), content)
    assert found == [[0, 1, 3], [2, 6]]  # byte-identical ones alone (4, 5) are told elsewhere


def test_a_smaller_radius_finds_less(crowd):
    assert clusters([*crowd, recompressed(crowd[0], 40)], radius=0) == []


def planted(n: int, pairs: int, radius: int) -> np.ndarray[Any, Any]:
    """Return n random hashes, of which some are others with as many bits changed as the radius, or one more."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (n, near_duplicates.BITS), np.uint8)
    for k in range(pairs):
        bits[n - 1 - k] = bits[rng.integers(0, n // 2)]
        flipped = rng.choice(near_duplicates.BITS, radius + k % 2 - 2 * (k % 3 == 0), replace=False)
        bits[n - 1 - k, flipped] ^= 1
    return np.packbits(bits, axis=1)


def pairs_of(found: Iterator[tuple[Any, Any]]) -> set[tuple[int, int]]:
    listed = [pair for i, j in found for pair in zip(i.tolist(), j.tolist(), strict=True)]
    assert len(listed) == len(set(listed))
    return set(listed)


@pytest.mark.parametrize("radius", [0, 20, 80, 110])
def test_search_is_exact(monkeypatch, radius):
    codes = planted(1000, 60, max(radius, 2))
    monkeypatch.setattr(near_duplicates, "BLOCK", 300)  # blocks of unequal size
    with quiet():
        found = pairs_of(near_duplicates.close_pairs(codes, radius))
    distance = np.unpackbits(codes[:, None] ^ codes, axis=2).sum(2)
    i, j = np.nonzero(np.triu(distance <= radius, 1))
    assert found == set(zip(i.tolist(), j.tolist(), strict=True))
    assert radius == 0 or found


def test_search_among_many_is_exact():
    codes = planted(20_000, 300, 40)
    with quiet():
        found = pairs_of(near_duplicates.close_pairs(codes, 40))
    counts = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1).astype(np.uint8)
    wanted = set()
    for at in range(19_700, 20_000):  # planted ones against all: the others are random, about 128 bits apart
        distance = counts[codes ^ codes[at]].sum(1)
        wanted |= {(min(at, int(other)), max(at, int(other))) for other in np.flatnonzero(distance <= 40)} - {(at, at)}
    assert found == wanted
    assert len(wanted) >= 200


def test_components_in_several_helpings(monkeypatch):
    pairs = [([0, 1], [1, 2]), ([5], [6]), ([2], [7]), ([], []), ([6], [8])]
    arrays = [(np.array(i, np.intp), np.array(j, np.intp)) for i, j in pairs]
    whole = near_duplicates.components(10, arrays)
    monkeypatch.setattr(near_duplicates, "MANY", 0)
    for labels in (whole, near_duplicates.components(10, arrays)):
        sets = {frozenset(np.flatnonzero(labels == label).tolist()) for label in labels}
        assert sets == {frozenset(s) for s in ((0, 1, 2, 7), (5, 6, 8), (3,), (4,), (9,))}


def test_not_looked_for(alike, monkeypatch, tmp_path):
    for options in ({"near_radius": None}, {"images": False}, {"near_radius": 0}):
        assert not [kind for kind in checked(alike, **options)[1] if kind.startswith("near")]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "file" / "home"))
    assert "were not searched" in checked(alike)[1]["near"].text


def test_near_groups(alike):
    (alike / "mine.yaml").write_text(CARD % ', group: "{patient}"')
    (alike / "9.png").write_bytes((alike / "29.png").read_bytes())
    source = find_source(str(alike / "mine.yaml"))
    samples = reader.read_samples(source.card, source.root, False, source.tables)
    with quiet():
        groups = near_duplicates.near_groups(source.card, source.root, samples)
    joined = {name: {i // 2 for i, group in enumerate(groups) if group == name} for name in groups}
    assert [patients for patients in joined.values() if len(patients) > 1] == [{1, 12}, {4, 14}]


def clusters_of(card: Path, root: Path) -> tuple[list[str], list[str], list[list[int]]]:
    source = find_source(str(card), root)
    samples = reader.read_samples(source.card, source.root, False, source.tables)
    with quiet():
        content = file_digests([root / path for path in samples["path"]])
        store = near_duplicates.pictures(source.card, root, samples, content)
        return samples["id"].tolist(), content, near_duplicates.near_clusters(store.images, content)


def test_real_idrid(shared, repo):
    """The two captures of one eye, among images that all show the same round thing."""
    ids, _, found = clusters_of(repo / "docs/example/datasets/idrid-small.yaml", shared / "realdata" / "idrid")
    assert [[ids[at] for at in cluster] for cluster in found] == [
        ["images/train_IDRiD_013.jpg", "images/train_IDRiD_397.jpg"]
    ]


def test_real_nih(shared, repo):
    """Chest X-rays that are near duplicates are of one patient."""
    ids, _, found = clusters_of(repo / "docs/example/datasets/nih-small.yaml", shared / "realdata" / "nih1000_64")
    assert found
    assert all(len({ids[at].split("_")[0] for at in cluster}) == 1 for cluster in found)


def test_real_busi(shared, repo):
    """Against groups by another hash, at 20 of 256 bits. Pairs beyond them were looked at: all are true."""
    root = shared / "realdata" / "busi"
    ids, content, found = clusters_of(repo / "docs/example/datasets/busi-small.yaml", root)
    with (root / "labels.csv").open(newline="") as file:
        group = {row["image"]: row["dup_group"] for row in csv.DictReader(file)}
    same = [[at for at, sha in enumerate(content) if sha == one] for one in set(content)]
    pairs = {pair for cluster in [*found, *same] for pair in itertools.combinations(cluster, 2)}
    truth = {pair for pair in itertools.combinations(range(len(ids)), 2) if group[ids[pair[0]]] == group[ids[pair[1]]]}
    assert len(truth) == 173
    assert len(pairs & truth) >= 168
    assert len(pairs - truth) <= 60
