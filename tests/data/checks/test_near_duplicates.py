from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from medbench.data.checks import near_duplicates
from medbench.data.checks.check import CheckReport, check
from medbench.data.checks.findings import Finding
from medbench.data.checks.page import MEMBERS, SETS, page, write_page
from medbench.data.layouts import reader
from medbench.data.load import find_source
from medbench.errors import OutputError
from medbench.progress import quiet
from medbench.storage.digests import file_digests


def drawn(seed: int, side: int = 96) -> Image.Image:
    """Return a picture of some blobs of its own on a round ground that all of them share."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    pixels = 60 + 60 * (np.hypot(y - 0.5, x - 0.5) < 0.45)
    for _ in range(60):
        top, left, size = rng.random(), rng.random(), rng.uniform(0.02, 0.1)
        pixels = pixels + rng.uniform(-60, 60) * np.exp(-((y - top) ** 2 + (x - left) ** 2) / size**2)
    pixels += rng.normal(0, 4, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


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


@pytest.fixture(scope="module")
def crowd() -> list[Image.Image]:
    return [drawn(seed) for seed in range(80)]


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


CARD = """
task: binary
classes: [healthy, ill]
metric: auroc
layout: {kind: csv, tables: [{file: labels.csv}], image: "{image}", label: label, split: split%s}
splits: {default: official, rules: {official: {method: official}}}
"""


@pytest.fixture
def copy(tmp_path, crowd):
    """A copy of 30 images; 1 is 0 again with another label, 25 is 2 in another split, 5 is 4 again."""
    for i in range(30):
        crowd[i].save(tmp_path / f"{i}.png")
    for source, again in ((0, 1), (2, 25), (4, 5)):
        crowd[source].resize((80, 80)).save(tmp_path / f"{again}.png")
    lines = ["image,label,patient,split"]
    for i in range(30):
        split = "train" if i < 20 else "val" if i < 25 else "test"
        lines.append(f"{i}.png,{i in (1, 10, 11, 22, 28):d},p{i // 2},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "mine.yaml").write_text(CARD % "")
    return tmp_path


def checked(root: Path, **options: Any) -> tuple[CheckReport, dict[str, Finding]]:
    with quiet():
        report = check(str(root / "mine.yaml"), **options)
    return report, {finding.kind: finding for finding in report.findings}


def test_findings(copy):
    report, found = checked(copy)
    assert found["near-duplicate-labels"].ids == ["0.png", "1.png"]
    assert found["near-across"].ids == ["2.png", "25.png"]
    assert found["near-duplicates"].ids == ["0.png", "1.png", "4.png", "5.png"]
    assert [f.severity for f in report.findings] == ["warning", "warning", "note"]
    text = "1 set of near-duplicate images in two splits: 2.png [healthy, train] ~ 25.png [healthy, test]"
    assert found["near-across"].text == text
    assert not report.clean


def test_labels_that_disagree_within_a_patient_are_a_note(copy):
    (copy / "mine.yaml").write_text(CARD % ', group: "{patient}"')
    (copy / "25.png").unlink()
    found = checked(copy)[1]
    assert found["near-duplicate-labels"].severity == "note"
    assert "whose labels disagree, each in one group: 0.png" in found["near-duplicate-labels"].text


def test_not_looked_for(copy, monkeypatch, tmp_path):
    for options in ({"near_radius": None}, {"images": False}, {"near_radius": 0}):
        assert not [kind for kind in checked(copy, **options)[1] if kind.startswith("near")]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "file" / "home"))
    assert "were not looked for" in checked(copy)[1]["near"].text


def test_unreadable_images_are_found_on_the_way(copy):
    (copy / "7.png").write_bytes((copy / "7.png").read_bytes()[:200])
    (copy / "8.png").write_bytes(b"")
    found = checked(copy)[1]
    assert found["unreadable"].ids == ["7.png", "8.png"]
    assert found["near-across"].ids == ["2.png", "25.png"]


def test_near_groups(copy):
    (copy / "mine.yaml").write_text(CARD % ', group: "{patient}"')
    (copy / "9.png").write_bytes((copy / "29.png").read_bytes())
    source = find_source(str(copy / "mine.yaml"))
    samples = reader.read_samples(source.card, source.root, False, source.tables)
    with quiet():
        groups = near_duplicates.near_groups(source.card, source.root, samples)
    joined = {name: {i // 2 for i, group in enumerate(groups) if group == name} for name in groups}
    assert [patients for patients in joined.values() if len(patients) > 1] == [{1, 12}, {4, 14}]


class Strict(HTMLParser):
    """Collects what a browser would load or run, and checks that elements are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.names: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page(copy, tmp_path):
    (copy / "12.png").unlink()
    report = checked(copy)[0]
    write_page(report, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    found = Strict(text)
    assert all(load.startswith(("data:image/jpeg;base64,", "#")) for load in found.loads)
    assert sum(load.startswith("data:") for load in found.loads) == 6  # three sets of two, none twice
    assert not found.names & {"script", "link", "iframe", "base", "form"}
    for part in ("1 of 30 images are not there", "2 images, labels disagree", "2 images, in train and test"):
        assert part in text
    assert "1 of them: see above." in text
    assert re.search(r"<td>ill</td><td></td><td>\d+</td>", text)


def test_page_of_odd_names(copy):
    name = "<script>alert('x')&\"1\".png"
    (copy / "1.png").rename(copy / name)
    lines = (copy / "labels.csv").read_text().splitlines()
    lines[2] = '"' + name.replace('"', '""') + '",' + lines[2].split(",", 1)[1]
    (copy / "labels.csv").write_text("\n".join(lines) + "\n")
    (copy / "mine.yaml").write_text((CARD % "").replace("[healthy, ill]", '[healthy, "<b>ill</b> & more"]'))
    text = page(checked(copy)[0])
    assert not Strict(text).names & {"script", "b"}
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&amp;&quot;1&quot;.png" in text
    assert "&lt;b&gt;ill&lt;/b&gt; &amp; more" in text


def test_page_is_limited(tmp_path):
    from medbench.data.checks.findings import Member

    def members(at: int, n: int) -> list[Member]:
        return [Member(f"{at}-{i}", f"{at}-{i}.png", "a", "train", f"{at}-{i}") for i in range(n)]

    sets = [members(0, 50), *(members(at, 2) for at in range(1, 200))]
    finding = Finding("near-duplicates", "note", "200 sets of near-duplicate images within a split: …", [], sets)
    text = page(CheckReport("mine", tmp_path, "official", (), [], [finding]))
    assert f"The first {SETS} of 200 are shown" in text
    assert f"50 images, the first {MEMBERS} shown" in text
    assert text.count("<figure>") == MEMBERS + 2 * (SETS - 1)
    assert "cannot be read" in text


def test_page_of_a_clean_copy(tmp_path):
    assert "as its card says" in page(CheckReport("mine", tmp_path, "", (), [], []))


def test_page_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_page(CheckReport("mine", tmp_path, "", (), [], []), tmp_path / "file" / "page.html")


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
