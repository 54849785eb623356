from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torchvision import transforms as v1
from torchvision.transforms import functional

from medbench.cards import DatasetCard, ModelCard, Settings
from medbench.cards.recipes import Augment, Knn, LinearFrozen
from medbench.cards.resolve import native
from medbench.data.dataset import Dataset
from medbench.data.images.depth import Unreadable
from medbench.data.images.resize import fitted, foreground
from medbench.data.images.square import SquareRule, rule_of
from medbench.data.prepared import fill
from medbench.data.prepared.store import prepare, store_path
from medbench.data.prepared.transforms import Clean, Transform, Views, normalise

SAM_MEAN, SAM_STD = [123.675 / 255, 116.28 / 255, 103.53 / 255], [58.395 / 255, 57.12 / 255, 57.375 / 255]
INPUTS: dict[str, dict[str, Any]] = {
    "flair": {"size": 32, "mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear", "crop": 1.0,
              "fit": "canvas", "foreground": True},
    "sam": {"size": 64, "mean": SAM_MEAN, "std": SAM_STD, "interpolation": "bilinear", "crop": 1.0, "fit": "longest"},
    "retfound": {"size": 224, "interpolation": "bicubic", "crop": 0.875, "fit": "shortest"},
    "visionfm": {"size": 224, "interpolation": "bicubic", "crop": 1.0, "fit": "squash"},
}  # fmt: skip
SHAPES = [(60, 40), (41, 97), (33, 33), (500, 40), (301, 300), (64, 63), (20, 31), (9, 9)]


def card(kind: str, **changes: Any) -> ModelCard:
    return ModelCard.model_validate({"name": kind, "arch": "made", "input": {**INPUTS[kind], **changes}})


def picture(seed: int, height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def own(kind: str, **changes: Any) -> Settings:
    return native(Settings(transform="native"), card(kind, **changes))


def smooth(height: int, width: int) -> Image.Image:
    """Return a picture with structure at every scale, which noise does not have once it is made smaller."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 3) * np.cos(y / 5), np.sin((x + y) / 17), np.cos(x * y / (height * width) * 40)]
    return Image.fromarray((np.stack(waves, -1) * 127 + 128).astype(np.uint8))


# FLAIR


def flair(image: NDArray[np.uint8], size: int) -> torch.Tensor:
    """Restate FLAIR's scaling on floats, (c, size, size) in grey levels."""
    x = torch.from_numpy(image.astype(np.float64) / 255).permute(2, 0, 1)
    height, width = x.shape[-2:]
    if height == width:
        return functional.resize(x, [size, size], antialias=True) * 255
    scale = max(height, width) / size
    x = functional.resize(x, [int(height / scale), int(width / scale)], antialias=True)
    return torch.nn.functional.pad(x, (0, size - x.shape[-1], 0, size - x.shape[-2])) * 255


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [32, 512, 49])  # torch is wrong (25 levels) where one column is left
def test_canvas_is_flairs(shape: tuple[int, int], size: int) -> None:
    for image in (picture(1, *shape), smooth(*shape)):
        found = np.asarray(fitted(image, SquareRule(size, "canvas", "bilinear", False, 3)))
        expected = flair(np.asarray(image), size).permute(1, 2, 0).numpy()
        assert abs(found - expected).max() <= 1.01
        assert ((expected > 0).any(-1) | ~found.any(-1)).all(), "black where theirs is padded"


def test_the_canvas_lies_at_the_top_left() -> None:
    white = Image.new("RGB", (60, 30), (255, 255, 255))
    wide = np.asarray(fitted(white, SquareRule(40, "canvas", "bilinear", False, 3)))
    assert (wide[:20] == 255).all()
    assert not wide[20:].any()
    tall = np.asarray(fitted(white.rotate(90, expand=True), SquareRule(40, "canvas", "bilinear", False, 3)))
    assert (tall[:, :20] == 255).all()
    assert not tall[:, 20:].any()


def test_a_side_that_floating_point_keeps_short_is_short_as_flairs_is() -> None:
    width, size = next((w, s) for s in range(20, 200) for w in range(s + 1, 400) if int(w / (w / s)) < s)
    image = Image.new("RGB", (width, 30), (255, 255, 255))
    found = np.asarray(fitted(image, SquareRule(size, "canvas", "bilinear", False, 3)))
    assert (found == flair(np.asarray(image), size).permute(1, 2, 0).numpy().round()).all()
    assert not found[:, -1].any()


def li(red: NDArray[Any]) -> float:
    """Restate Li's minimum cross-entropy threshold: the best split of the histogram that its iteration can reach."""
    x = red.astype(np.float64) / 255
    low, step = x.min(), np.diff(np.unique(x)).min() / 2
    x = x - low
    new, old = x.mean(), -np.inf
    while abs(new - old) > step:
        old = new
        above, below = x[x > old].mean(), x[x <= old].mean()
        if below == 0:
            break
        new = (below - above) / (np.log(below) - np.log(above))
    return float(new + low)


def cropped(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Restate FLAIR's crop with SciPy."""
    red = image[..., 0]
    labels, n = ndimage.label(red / 255 > li(red), structure=np.ones((3, 3)))
    sizes = [(labels == k).sum() for k in range(1, n + 1)]
    rows, columns = np.nonzero(labels == 1 + int(np.argmax(sizes)))
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def disc(height: int, width: int, centre: tuple[int, int], radius: float, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a bright disc on a dark noisy ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    shades = np.where(
        inside[..., None], rng.normal([160, 80, 40], 10, (height, width, 3)), rng.normal(6, 2, (height, width, 3))
    )
    return shades.clip(0, 255).astype(np.uint8)


def test_the_crop_is_to_the_disc_and_not_to_a_smaller_brighter_blob() -> None:
    image = disc(90, 140, (44, 60), 30)
    image[2:12, 120:136] = 255
    image[80:85, 3:8] = 200
    found = np.asarray(foreground(Image.fromarray(image)))
    assert (found == cropped(image)).all()
    assert (found == image[15:74, 31:90]).all()
    alone = Image.fromarray(image[..., 1])  # the only channel of a grey image
    assert (np.asarray(foreground(alone)) == cropped(image[..., 1:2])[..., 0]).all()


@pytest.mark.parametrize("centre", [(0, 0), (45, 139), (89, 70), (-12, 20), (45, 70)])
@pytest.mark.parametrize("radius", [20, 45, 200])
def test_the_crop_of_what_touches_the_border(centre: tuple[int, int], radius: float) -> None:
    image = disc(90, 140, centre, radius)
    if radius == 200:
        image = np.maximum(image, 3)
    assert (np.asarray(foreground(Image.fromarray(image))) == cropped(image)).all()


@pytest.mark.parametrize("seed", range(20))
def test_the_crop_of_noise_and_of_few_levels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = np.sort(rng.choice(256, 2 + seed % 9, replace=False))
    few = rng.choice(levels, (40, 50, 3)).astype(np.uint8)
    noisy = (rng.random((40, 50, 3)) ** 6 * 255).astype(np.uint8)
    for image in (few, noisy):
        assert (np.asarray(foreground(Image.fromarray(image))) == cropped(image)).all()


def test_pixels_that_touch_at_a_corner_belong_together() -> None:
    image = np.zeros((20, 20), np.uint8)
    image[2:6, 2:6] = image[6:9, 6:9] = 200
    image[14:19, 14:20] = 200  # larger than the two, and then larger than each of them alone
    assert foreground(Image.fromarray(image)).size == (6, 5)
    image[6:10, 6:10] = 200
    assert foreground(Image.fromarray(image)).size == (8, 8)


def test_of_two_regions_of_one_size_the_topmost_is_kept() -> None:
    image = np.zeros((20, 20), np.uint8)
    image[3:5, 10:16] = image[10:14, 2:5] = 200
    assert foreground(Image.fromarray(image)).size == (6, 2)


@pytest.mark.parametrize("level", [0, 1, 77, 255])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_of_one_level_stays_as_it_is(level: int, mode: str) -> None:
    image = Image.new(mode, (30, 20), level if mode == "L" else (level, 9, 200))
    assert (np.asarray(foreground(image)) == np.asarray(image)).all()


def test_the_crop_comes_before_the_fit() -> None:
    image = disc(90, 140, (44, 60), 30)
    for kind in ("squash", "shortest", "canvas", "longest"):
        rule = SquareRule(32, kind, "bilinear", False, 3)  # type: ignore[arg-type]
        with_crop = SquareRule(32, kind, "bilinear", False, 3, True)  # type: ignore[arg-type]
        expected = np.asarray(fitted(Image.fromarray(cropped(image)), rule))
        assert (np.asarray(fitted(Image.fromarray(image), with_crop)) == expected).all()


# SAM


@pytest.mark.parametrize("shape", SHAPES)
def test_longest_is_sams(shape: tuple[int, int]) -> None:
    from segment_anything.utils.transforms import ResizeLongestSide

    image = picture(2, *shape)
    transform = Transform(rule_of(own("sam"), 64, 3), 64, SAM_MEAN, SAM_STD)
    square = np.asarray(fitted(image, transform.rule))
    resized = ResizeLongestSide(64).apply_image(np.asarray(image))
    height, width = resized.shape[:2]
    assert (square[:height, :width] == resized).all()
    assert (square[height:] == [124, 116, 104]).all()
    assert (square[:, width:] == [124, 116, 104]).all()

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]))
    x = (torch.as_tensor(resized).permute(2, 0, 1) - mean) / std
    expected = torch.nn.functional.pad(x, (0, 64 - width, 0, 64 - height))
    assert abs(transform(image) - expected).max() <= 0.009
    assert torch.allclose(transform(image)[:, :height, :width], x, atol=1e-5)


def test_the_padding_of_one_channel_is_the_mean_of_the_colour() -> None:
    rule = rule_of(own("sam"), 64, 1)
    assert rule.fill == (115,)
    square = np.asarray(fitted(Image.new("L", (64, 10), 255), rule))
    assert (square[:10] == 255).all()
    assert (square[10:] == 115).all()
    assert rule_of(Settings(fit="longest", fill=[7]), 64, 3).fill == (7, 7, 7)


@pytest.mark.parametrize("kind", ["canvas", "longest"])
def test_what_would_vanish_is_unreadable(kind: Any) -> None:
    rule = SquareRule(32, kind, "bilinear", False, 3)
    with pytest.raises(Unreadable, match="2000x1 pixels are too elongated to be resized to a longer side of 32"):
        fitted(Image.new("RGB", (2000, 1)), rule)


# RETFound, VisionFM, and what timm does


@pytest.mark.parametrize("shape", [(300, 260), (260, 301), (300, 300), (223, 640), (1000, 417), (90, 61)])
def test_shortest_is_retfounds(shape: tuple[int, int]) -> None:
    image = picture(3, *shape)
    settings = own("retfound")
    rule = rule_of(settings, 224, 3)
    assert rule == SquareRule(256, "shortest", "bicubic", False, 3)
    mean, std = card("retfound").input.mean, card("retfound").input.std
    resize = v1.Resize(256, v1.InterpolationMode.BICUBIC)
    steps = v1.Compose([resize, v1.CenterCrop(224), v1.ToTensor(), v1.Normalize(mean, std)])
    assert torch.equal(Transform(rule, 224, mean, std)(image), steps(image))


@pytest.mark.parametrize("size", [(300, 260), (224, 224), (100, 417)])
def test_squash_is_visionfms(size: tuple[int, int]) -> None:
    image = picture(4, *size)
    mean, std = card("visionfm").input.mean, card("visionfm").input.std
    resize = v1.Resize((224, 224), v1.InterpolationMode.BICUBIC)
    steps = v1.Compose([resize, v1.ToTensor(), v1.Normalize(mean, std)])
    assert torch.equal(Transform(rule_of(own("visionfm"), 224, 3), 224, mean, std)(image), steps(image))


@pytest.mark.parametrize("crop", [0.875, 0.9, 1.0])
@pytest.mark.parametrize(("kind", "mode"), [("retfound", "center"), ("visionfm", "squash")])
def test_the_crop_is_timms(crop: float, kind: str, mode: str) -> None:
    from timm.data import create_transform

    found = card(kind, crop=crop).input
    steps = create_transform(
        224, interpolation="bicubic", mean=found.mean, std=found.std, crop_pct=crop, crop_mode=mode
    )
    transform = Transform(rule_of(own(kind, crop=crop), 224, 3), 224, found.mean, found.std)
    for shape in ((300, 260), (331, 470), (240, 240)):
        assert torch.equal(transform(picture(5, *shape)), steps(picture(5, *shape)))


def test_the_stored_side_is_cut_off_but_whole_numbers_stay() -> None:
    # 224 / .9 = 248.9: timm stores 248; 1 / crop is rounded, 224 / .875 is 256 all the same
    assert rule_of(own("retfound", crop=0.9), 224, 3).size == 248
    for size in range(7, 2000, 7):
        assert rule_of(own("retfound"), size, 3).size == size * 8 // 7


# native()


@pytest.mark.parametrize("kind", INPUTS)
def test_native_takes_the_whole_way_from_the_card(kind: str) -> None:
    asked = LinearFrozen(transform="native", draft=True, views=3, fill=[9], foreground=True, image_size=96)
    found = native(asked, card(kind))
    assert isinstance(found, LinearFrozen)
    assert native(found, card(kind)) == found
    assert LinearFrozen.model_validate(found.model_dump()) == found
    told = INPUTS[kind]
    assert (found.fit, found.interpolation) == (told["fit"], told["interpolation"])
    assert found.foreground is told.get("foreground", False)
    assert found.resize_ratio == {"retfound": 1 / 0.875}.get(kind, 1.0)
    assert found.fill == {"sam": [124, 116, 104]}.get(kind)
    assert (found.normalise, found.draft) == ("model", False)
    changed = {"fit", "interpolation", "foreground", "resize_ratio", "fill", "normalise", "draft"}
    assert found.model_dump(exclude=changed) == asked.model_dump(exclude=changed)
    assert asked.draft, "the settings given are not changed"


def test_padding_leaves_nothing_to_crop() -> None:
    assert own("flair", crop=0.875).resize_ratio == own("sam", crop=0.875).resize_ratio == 1.0


@pytest.mark.parametrize("kind", INPUTS)
def test_a_protocols_own_preprocessing_is_left_alone(kind: str) -> None:
    settings = Knn(fit="shortest", draft=True, fill=[1, 2, 3], foreground=True)
    assert native(settings, card(kind)) is settings


def test_new_settings_are_off_and_reach_the_rule() -> None:
    assert rule_of(Settings(), 224, 3) == SquareRule(256, "squash", "bilinear", False, 3, False, ())
    settings = Settings(fit="longest", foreground=True, fill=[1, 2, 3], resize_ratio=1)
    assert rule_of(settings, 64, 3) == SquareRule(64, "longest", "bilinear", False, 3, True, (1, 2, 3))


@pytest.mark.parametrize("fill", [[256, 0, 0], [-1], [], [0.5]])
def test_a_fill_that_is_no_colour_is_refused(fill: Any) -> None:
    with pytest.raises(ValueError, match="fill"):
        Settings(fill=fill)


# By way of the store

RULES = {
    **{kind: rule_of(own(kind), 32, 3) for kind in INPUTS},
    "grey flair": rule_of(own("flair"), 32, 1),
    "grey sam": rule_of(own("sam"), 32, 1),
    "cropped squash": SquareRule(40, "squash", "lanczos", False, 3, True),
    "coloured canvas": SquareRule(36, "canvas", "bicubic", True, 3, True, (3, 200, 90)),
}


@pytest.fixture
def made(tmp_path: Path, make_card: Callable[..., DatasetCard]) -> Dataset:
    """A turned photograph, a disc in colour, one in grey, one level, and a small disc in a large JPEG file."""
    root = tmp_path / "made"
    root.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(0, 90, 70).save(root / "a.jpg", exif=exif)
    Image.fromarray(disc(90, 140, (44, 60), 30)).save(root / "b.png")
    Image.fromarray(disc(150, 110, (80, 50), 45)[..., 0]).save(root / "c.png")
    Image.new("RGB", (50, 80), (9, 9, 9)).save(root / "d.png")
    Image.fromarray(disc(400, 400, (200, 200), 40)).save(root / "e.jpg", quality=95)
    files = sorted(root.iterdir())
    samples = pd.DataFrame({"id": [file.stem for file in files], "path": [file.name for file in files]})
    content = tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return Dataset(make_card(), root, samples, "s", "", "", content, False)


@pytest.mark.parametrize("name", RULES)
def test_transform_is_the_way_by_the_store(made: Dataset, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule, rows = RULES[name], np.arange(5)
    store = prepare(made, rule, workers=2)
    assert not store.unreadable
    mean, std = [0.4, 0.3, 0.2][: rule.channels], [0.3, 0.2, 0.1][: rule.channels]
    batch = Clean(store, rows, 32).__getitems__(range(5))
    expected = normalise(batch, mean, std)
    for row, path in enumerate(made.samples["path"]):
        with Image.open(made.root / path) as image:
            assert torch.equal(Transform(rule, 32, mean, std)(image), expected[row])
    assert Views(store, rows, 32, Augment(), 0, 1).__getitems__(range(5)).shape == batch.shape
    monkeypatch.setattr(fill, "fill", lambda *_: pytest.fail("prepared twice"))
    assert prepare(made, rule).digest == store.digest


def test_each_part_of_the_rule_makes_another_store(made: Dataset) -> None:
    plain = SquareRule(32, "squash", "bilinear", False, 3)
    changes: list[dict[str, Any]] = [{"fit": fit} for fit in ("shortest", "canvas", "longest")]
    rules = [plain, *(replace(plain, **change) for change in [*changes, {"foreground": True}, {"fill": (1, 1, 1)}])]
    assert len({store_path(rule, made) for rule in rules}) == len(rules)


def test_a_crop_is_of_the_whole_image_and_not_of_a_draft() -> None:
    # "coloured canvas" above asks for a draft: it would leave 20 pixels of the small disc in e.jpg
    rule = RULES["coloured canvas"]
    assert rule.draft
    assert rule.draft_size is None
    assert replace(rule, foreground=False).draft_size == 36
    assert replace(rule, foreground=False, draft=False).draft_size is None
