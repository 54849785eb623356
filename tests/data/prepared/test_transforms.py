from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
from torchvision import transforms as v1
from torchvision.transforms import v2

from medbench.cards import Settings
from medbench.cards.recipes import Augment
from medbench.data.dataset import Dataset
from medbench.data.images.corruption import Corruption
from medbench.data.images.damage import damage
from medbench.data.images.decode import open_image
from medbench.data.images.resize import fitted
from medbench.data.images.square import SquareRule, rule_of
from medbench.data.prepared import fill
from medbench.data.prepared.store import Store, prepare
from medbench.data.prepared.transforms import (
    Clean,
    Corrupted,
    Drawn,
    InTurn,
    Late,
    Still,
    Transform,
    Views,
    centre_crop,
    normalise,
)

from ..made import INPUTS, dataset_of, disc, model_card, own, picture

RECIPE = Augment()
OFF = Augment(scale=(1, 1), ratio=(1, 1), vertical_flip=0, horizontal_flip=0, jitter=0)


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "images.u8").write_bytes(noise(30, 36, 36, 3).tobytes())
    images = np.memmap(tmp_path / "images.u8", np.uint8, "r", shape=(30, 36, 36, 3))
    return Store(images, {}, "digest", tmp_path)


def as_is(batch: Any) -> Any:
    return batch


# Clean images and normalisation


@pytest.mark.parametrize(("side", "size"), [(36, 32), (36, 36), (36, 33), (37, 32), (256, 224), (1170, 1024)])
def test_centre_crop_is_torchvisions(side: int, size: int) -> None:
    image = noise(side, side, 3)
    expected = np.asarray(v2.CenterCrop(size)(Image.fromarray(image)))
    assert (centre_crop(image[None], size)[0] == expected).all()


def test_a_crop_larger_than_the_image_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="cannot crop 37 pixels from images of 36"):
        Clean(store, np.arange(3), 37)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalise_is_torchvisions_to_the_last_bit(channels: int) -> None:
    images = noise(5, 17, 17, channels)
    mean, std = [0.4354, 0.2104, 0.068][:channels], [0.308, 0.1637, 0.0815][:channels]
    steps = v1.Compose([v1.ToTensor(), v1.Normalize(mean, std)])
    expected = torch.stack([steps(Image.fromarray(image.squeeze())) for image in images])
    batch = torch.from_numpy(images)
    found = normalise(batch, mean, std)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert (batch.numpy() == images).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_normalise_is_the_same_on_every_device() -> None:
    batch = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).repeat(2, 1, 1, 3)
    mean, std = [0.4354, 0.2104, 0.068], [0.308, 0.1637, 0.0815]
    assert torch.equal(normalise(batch.cuda(), mean, std).cpu(), normalise(batch, mean, std))


def test_clean_gives_the_rows_asked_for(store: Store) -> None:
    rows = np.array([4, 5, 6, 20, 2])
    clean = Clean(store, rows, 32)
    assert len(clean) == 5
    expected = np.asarray(store.images)[rows][:, 2:34, 2:34]
    for indices in ([0, 1, 2], [4, 0], [3], [0, 1, 2, 3, 4], range(5)):
        found = clean.__getitems__(list(indices))
        assert found.dtype == torch.uint8
        assert (found.numpy() == expected[list(indices)]).all()
    assert (clean[3].numpy() == expected[3]).all()
    assert (clean[[3, 1]].numpy() == expected[[3, 1]]).all()
    found[:] = 0  # a copy: the store is not written to
    assert (Clean(store, rows, 36).__getitems__([0, 1]).numpy() == store.images[4:6]).all()


def test_corrupted_images_depend_on_their_ids_not_on_batch_order_or_worker(store: Store) -> None:
    rows, how = np.array([4, 5, 6, 20, 2]), Corruption("noise", 4)
    images = Corrupted(store, rows, 32, how, list("abcde"))
    clean = Clean(store, rows, 32)
    expected = np.stack([damage(clean[i].numpy(), how, name) for i, name in enumerate("abcde")])
    for asked in ([0, 1, 2, 3, 4], [4, 0], [3], [2, 2]):
        assert (images[asked].numpy() == expected[asked]).all()
    loader = DataLoader(images, batch_size=2, sampler=[3, 1, 0, 4], num_workers=2, collate_fn=lambda batch: batch)
    assert (torch.cat(list(loader)).numpy() == expected[[3, 1, 0, 4]]).all()
    assert (clean[[0, 1]].numpy() == np.asarray(store.images)[[4, 5], 2:34, 2:34]).all()  # the store is as it was


def test_images_of_several_sets_come_in_turn_in_any_order(store: Store) -> None:
    first, second = Clean(store, np.array([4, 9]), 32), Clean(store, np.array([7, 1, 3]), 32)
    both = InTurn([first, second])
    assert len(both) == 5
    single = [torch.stack([part[i] for i in range(len(part))]) for part in (first, second)]
    every = torch.cat(single)
    for asked in ([0, 1, 2, 3, 4], [3, 0, 4, 1, 3], [2]):
        assert torch.equal(both[asked], every[asked])
        assert torch.equal(both.__getitems__(asked), every[asked])
    assert torch.equal(both[4], every[4])
    assert torch.equal(pickle.loads(pickle.dumps(both))[[1, 2]], every[[1, 2]])


def test_clean_at_the_stores_own_size_is_a_copy(store: Store) -> None:
    batch = Clean(store, np.arange(30), 36).__getitems__([0, 1, 2])
    batch.zero_()
    assert store.images[:3].any()


# The evaluation transform


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["squash", "shortest"])
@pytest.mark.parametrize("draft", [False, True])
def test_transform_is_the_way_by_the_store(tmp_path: Path, channels: int, fit: Any, draft: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(90, 70, 3)).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(noise(50, 90, 2).view(np.uint16)[..., 0]).save(tmp_path / "b.png")
    Image.fromarray(noise(50, 90, 4)).save(tmp_path / "c.png")
    rule = SquareRule(36, fit, "bicubic", draft, channels)
    mean, std = [0.4, 0.3, 0.2][:channels], [0.3, 0.2, 0.1][:channels]
    transform = Transform(rule, 32, mean, std)
    for name in ("a.jpg", "b.png", "c.png"):
        square = np.asarray(fitted(open_image(tmp_path / name, channels, 36 if draft else None), rule))
        (tmp_path / "images.u8").write_bytes(square.tobytes())
        images = np.memmap(tmp_path / "images.u8", np.uint8, "r", shape=(1, *rule.shape))
        clean = Clean(Store(images, {}, "", tmp_path), np.array([0]), 32)
        expected = normalise(clean.__getitems__([0]), mean, std)[0]
        with Image.open(tmp_path / name) as image:
            found = transform(image)
        assert found.shape == (channels, 32, 32)
        assert torch.equal(found, expected)
        assert torch.equal(transform(open_image(tmp_path / name, channels, 36 if draft else None)), expected)


def test_transform_is_torchvisions_on_a_plain_image() -> None:
    image = Image.fromarray(noise(60, 80, 3))
    mean, std = [0.4, 0.3, 0.2], [0.3, 0.2, 0.1]
    steps = v1.Compose([v1.Resize((36, 36)), v1.CenterCrop(32), v1.ToTensor(), v1.Normalize(mean, std)])
    found = Transform(SquareRule(36, "squash", "bilinear", False, 3), 32, mean, std)(image)
    assert torch.equal(found, steps(image))


# Views


def test_views_with_everything_off_are_clean(store: Store) -> None:
    rows = np.array([3, 9, 10])
    views = Views(store, rows, 32, OFF, 0, 0).__getitems__([0, 1, 2])
    assert torch.equal(views, Clean(store, rows, 32).__getitems__([0, 1, 2]))


def test_what_is_drawn_depends_on_seed_view_and_row_alone(store: Store) -> None:
    rows = np.arange(30)
    whole = Views(store, rows, 32, RECIPE, 7, 1).__getitems__(list(range(30)))
    some = Views(store, rows[[20, 3, 11]], 32, RECIPE, 7, 1).__getitems__([2, 0, 1])
    assert torch.equal(some, whole[[11, 20, 3]])
    assert torch.equal(Views(store, rows, 32, RECIPE, 7, 1)[4], whole[4])
    for seed, view in ((7, 2), (8, 1), (1, 7)):
        other = Views(store, rows, 32, RECIPE, seed, view).__getitems__(list(range(30)))
        assert not (other == whole).flatten(1).all(1).any()


def test_views_of_any_number_are_those_views(store: Store) -> None:
    rows = np.arange(30)[::-1]
    asked = [(3, 5), (0, 2), (3, 1), (7, 5)]
    drawn = Drawn(store, rows, 32, RECIPE, 7).__getitems__(asked)
    for (view, index), found in zip(asked, drawn, strict=True):
        assert torch.equal(found, Views(store, rows, 32, RECIPE, 7, view)[index])
    still = Still(store, rows, 32).__getitems__(asked)
    assert torch.equal(still, Clean(store, rows, 32).__getitems__([5, 2, 1, 5]))


@pytest.mark.parametrize("workers", [0, 1])
def test_late_views_are_those_views(store: Store, workers: int) -> None:
    rows, place = np.arange(30)[::-1], torch.device("cpu")
    views = Views(store, rows, 32, RECIPE, 7, 3)
    late = DataLoader(Late(views), batch_size=11, sampler=range(len(rows)), num_workers=workers, collate_fn=as_is)
    found = torch.cat([batch.to(place) for batch in late])
    assert torch.equal(found, views.__getitems__(list(range(30))))
    drawn, asked = Drawn(store, rows, 32, RECIPE, 7), [(3, 5), (0, 2), (3, 1), (7, 5)]
    assert torch.equal(Late(drawn)[asked].to(place), drawn.__getitems__(asked))
    assert len(Late(drawn)) == 30


def test_each_row_has_draws_of_its_own(tmp_path: Path) -> None:
    alike = Store(np.repeat(noise(1, 36, 36, 3), 8, 0), {}, "", tmp_path)
    views = Views(alike, np.arange(8), 32, RECIPE, 7, 1).__getitems__(list(range(8))).flatten(1)
    assert len(torch.unique(views, dim=0)) == 8


LOADERS: dict[str, Callable[[Any, int], Any]] = {
    "batch sampler": lambda data, workers: DataLoader(
        data, batch_sampler=BatchSampler(SequentialSampler(data), 7, False), num_workers=workers, collate_fn=as_is
    ),
    "sampler of batches": lambda data, workers: DataLoader(
        data, sampler=BatchSampler(SequentialSampler(data), 5, False), batch_size=None, num_workers=workers
    ),
    "ranges": lambda data, workers: DataLoader(
        data, batch_size=11, sampler=range(len(data)), num_workers=workers, collate_fn=as_is
    ),
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("loader", LOADERS)
def test_batches_and_workers_change_nothing(
    store: Store, workers: int, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Views, "__getitem__", batches_only)
    data = Views(store, np.arange(30)[::-1], 32, RECIPE, 7, 1)
    found = torch.cat(list(LOADERS[loader](data, workers)))
    assert torch.equal(found, data.__getitems__(list(range(30))))


def batches_only(self: Views, index: Any) -> torch.Tensor:
    assert isinstance(index, list), "images must be asked for in batches"
    return self.__getitems__(index)


def test_a_data_set_travels_without_its_pixels(store: Store) -> None:
    data = Views(store, np.arange(30), 32, RECIPE, 7, 1)
    sent = pickle.dumps(data)
    assert len(sent) < 5000
    assert torch.equal(pickle.loads(sent).__getitems__([3, 4]), data.__getitems__([3, 4]))


# A model's own preprocessing


@pytest.mark.parametrize("shape", [(300, 260), (260, 301), (300, 300), (223, 640), (1000, 417), (90, 61)])
def test_shortest_is_retfounds(shape: tuple[int, int]) -> None:
    image = picture(3, *shape)
    settings = own("retfound")
    rule = rule_of(settings, 224, 3)
    assert rule == SquareRule(256, "shortest", "bicubic", False, 3)
    mean, std = model_card("retfound").input.mean, model_card("retfound").input.std
    resize = v1.Resize(256, v1.InterpolationMode.BICUBIC)
    steps = v1.Compose([resize, v1.CenterCrop(224), v1.ToTensor(), v1.Normalize(mean, std)])
    assert torch.equal(Transform(rule, 224, mean, std)(image), steps(image))


@pytest.mark.parametrize("size", [(300, 260), (224, 224), (100, 417)])
def test_squash_is_visionfms(size: tuple[int, int]) -> None:
    image = picture(4, *size)
    mean, std = model_card("visionfm").input.mean, model_card("visionfm").input.std
    resize = v1.Resize((224, 224), v1.InterpolationMode.BICUBIC)
    steps = v1.Compose([resize, v1.ToTensor(), v1.Normalize(mean, std)])
    assert torch.equal(Transform(rule_of(own("visionfm"), 224, 3), 224, mean, std)(image), steps(image))


@pytest.mark.parametrize("crop", [0.875, 0.9, 1.0])
@pytest.mark.parametrize(("kind", "mode"), [("retfound", "center"), ("visionfm", "squash")])
def test_the_crop_is_timms(crop: float, kind: str, mode: str) -> None:
    from timm.data import create_transform

    found = model_card(kind, crop=crop).input
    steps = create_transform(
        224, interpolation="bicubic", mean=found.mean, std=found.std, crop_pct=crop, crop_mode=mode
    )
    transform = Transform(rule_of(own(kind, crop=crop), 224, 3), 224, found.mean, found.std)
    for shape in ((300, 260), (331, 470), (240, 240)):
        assert torch.equal(transform(picture(5, *shape)), steps(picture(5, *shape)))


RULES = {
    **{kind: rule_of(own(kind), 32, 3) for kind in INPUTS},
    "grey flair": rule_of(own("flair"), 32, 1),
    "grey sam": rule_of(own("sam"), 32, 1),
    "cropped squash": SquareRule(40, "squash", "lanczos", False, 3, True),
    "coloured canvas": SquareRule(36, "canvas", "bicubic", True, 3, True, (3, 200, 90)),
}


@pytest.fixture
def photographs(tmp_path: Path) -> Dataset:
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
    return dataset_of(root)


@pytest.mark.parametrize("name", RULES)
def test_transform_of_every_kind_of_rule_is_the_way_by_the_store(
    photographs: Dataset, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, rows = RULES[name], np.arange(5)
    store = prepare(photographs, rule, workers=2)
    assert not store.unreadable
    mean, std = [0.4, 0.3, 0.2][: rule.channels], [0.3, 0.2, 0.1][: rule.channels]
    batch = Clean(store, rows, 32).__getitems__(range(5))
    expected = normalise(batch, mean, std)
    for row, path in enumerate(photographs.samples["path"]):
        with Image.open(photographs.root / path) as image:
            assert torch.equal(Transform(rule, 32, mean, std)(image), expected[row])
    assert Views(store, rows, 32, Augment(), 0, 1).__getitems__(range(5)).shape == batch.shape
    monkeypatch.setattr(fill, "fill", lambda *_: pytest.fail("prepared twice"))
    assert prepare(photographs, rule).digest == store.digest


@pytest.mark.parametrize("side", [28, 31, 64])
def test_a_smaller_image_is_in_the_middle_of_zeros_after_normalisation(side: int) -> None:
    """As torchvision's `Pad` after `Normalize`: Doerrich et al. (2025) pad so, the odd pixel on the right and below."""
    image = Image.fromarray(noise(side, side, 3))
    mean, std, before = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], (64 - side) // 2
    margin = [before, before, 64 - side - before, 64 - side - before]
    expected = v1.Compose([v1.ToTensor(), v1.Normalize(mean, std), v1.Pad(margin)])(image)
    found = normalise(torch.from_numpy(np.array(image))[None], mean, std, 64)[0]
    assert torch.equal(found, expected)
    rule = rule_of(Settings(fit="centre"), 64, 3)
    assert torch.equal(Transform(rule, 64, mean, std)(image), expected)
