"""Extraction: equal to the encoder on single images, resumable, frozen, exact."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medbench import load_dataset, load_model
from medbench.cards.recipes import Augment, Settings
from medbench.data.images.square import rule_of
from medbench.data.prepared.store import Store, prepare
from medbench.data.prepared.transforms import Clean, Transform, Views
from medbench.features import extract
from medbench.features.extract import Extraction, Tally, features
from medbench.features.spec import FeatureSpec

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
CPU = torch.device("cpu")


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Store, list[Path]]:
    source = np.random.default_rng(0)
    rows = ["image,label"]
    for i in range(70):
        Image.fromarray(source.integers(0, 256, (90, 80, 3), dtype=np.uint8)).save(tmp_path / f"{i:02d}.png")
        rows.append(f"{i:02d}.png,{i % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    dataset = load_dataset(str(tmp_path / "labels.csv"))
    return prepare(dataset, rule_of(Settings(), 64, 3)), [dataset.root / path for path in dataset.samples["path"]]


def task(store: Store, view: int | None = None, precision: str = "fp32", model: str = "toy-vit") -> Extraction:
    rows = np.arange(len(store.images))
    spec = FeatureSpec(
        dataset="d",
        model=model,
        card={},
        weights="random:0",
        store=store.digest,
        image_size=64,
        channels=3,
        channel_rule="slice",
        mean=MEAN,
        std=STD,
        precision=precision,
        rows="all",
    )
    if view is None:
        return Extraction([spec], Clean(store, rows, 64), len(rows), "clean")
    return Extraction(
        [spec.of_view(view, "all", Augment(), 0)], Views(store, rows, 64, Augment(), 0, view), len(rows), "view"
    )


def made(job: Extraction, workers: int = 0, model: str = "toy-vit") -> np.ndarray:
    return np.array(features(job, lambda: load_model(model), CPU, workers, Tally())[0])


@pytest.mark.parametrize("model", ["toy-vit", "toy-cnn"])
def test_features_equal_the_encoder_on_each_image_alone(pictures, model: str) -> None:
    store, files = pictures
    found = made(task(store, model=model), model=model)
    encoder = load_model(model)
    transform = Transform(rule_of(Settings(), 64, 3), 64, MEAN, STD)
    for i in (0, 33, 69):
        with torch.inference_mode():
            alone = encoder.pooled(transform(Image.open(files[i]))[None])[0]
        np.testing.assert_allclose(found[i], alone.numpy(), rtol=1e-4, atol=1e-5)


def test_views_differ_from_the_clean_pass_and_from_each_other(pictures) -> None:
    store, _ = pictures
    clean, first, second = (made(task(store, view)) for view in (None, 0, 1))
    assert not np.allclose(clean, first, atol=1e-3)
    assert not np.allclose(first, second, atol=1e-3)


def test_workers_change_nothing(pictures, monkeypatch) -> None:
    store, _ = pictures
    alone = made(task(store, 0))
    monkeypatch.setenv("MEDBENCH_HOME", str(pictures[1][0].parent / "other-home"))
    assert np.array_equal(made(task(store, 0), workers=2), alone)


def test_a_second_call_makes_nothing_and_says_so(pictures) -> None:
    store, _ = pictures
    tally = Tally()
    features(task(store), lambda: load_model("toy-vit"), CPU, 0, tally)
    assert (tally.forwards, tally.reused) == (70, 0)
    features(task(store), lambda: pytest.fail("the encoder was built"), CPU, 0, tally)
    assert (tally.forwards, tally.reused) == (70, 70)


@pytest.mark.parametrize("view", [None, 0])
def test_an_interrupted_extraction_goes_on_to_the_same_bits(pictures, monkeypatch, view: int | None) -> None:
    store, files = pictures
    whole = made(task(store, view))
    monkeypatch.setenv("MEDBENCH_HOME", str(files[0].parent / "other-home"))
    monkeypatch.setattr(extract, "PART_SECONDS", 0.0)
    plain, left = extract._forward, [2]

    def stopping(*args):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return plain(*args)

    monkeypatch.setattr(extract, "_forward", stopping)
    with pytest.raises(KeyboardInterrupt):
        made(task(store, view))
    monkeypatch.setattr(extract, "_forward", plain)
    tally = Tally()
    (again,) = features(task(store, view), lambda: load_model("toy-vit"), CPU, 0, tally)
    assert (tally.forwards, tally.reused) == (70 - 64, 64)
    assert np.array_equal(again, whole)


def test_bf16_is_near_and_another_key(pictures) -> None:
    store, _ = pictures
    exact, half = task(store), task(store, precision="bf16")
    assert exact.specs[0].key() != half.specs[0].key()
    a, b = made(exact), made(half)
    assert not np.array_equal(a, b)
    assert np.linalg.norm(a - b) / np.linalg.norm(a) < 0.05
    assert b.dtype == np.float32


def test_pending_features_do_not_hold_the_tokens_they_are_views_of(pictures, monkeypatch) -> None:
    store, _ = pictures
    held: list[int] = []
    plain = torch.cat

    def watched(parts, *args, **kwargs):
        if parts[0].ndim == 2:  # the features, not the encoder's own tokens
            held.extend(part.untyped_storage().nbytes() for part in parts)
        return plain(parts, *args, **kwargs)

    encoder = load_model("toy-vit")
    monkeypatch.setattr(type(encoder), "pooled", lambda self, x: self.network.forward_features(x)[:, 0])
    monkeypatch.setattr(extract.torch, "cat", watched)
    features(task(store), lambda: encoder, CPU, 0, Tally())
    assert held
    assert max(held) == 32 * encoder.dim * 4


def test_an_encoder_left_in_training_is_refused(pictures) -> None:
    store, _ = pictures
    with pytest.raises(AssertionError, match="frozen encoder must not"):
        features(task(store), lambda: load_model("toy-cnn").train(), CPU, 0, Tally())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_only_fp32_switches_tf32_off_and_restores_it(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")

    def found() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    with extract.exact(precision):
        inside = found()
    after = found()
    torch.set_float32_matmul_precision(before)
    assert inside == (("highest", False) if precision == "fp32" else ("high", True))
    assert after == ("high", True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_fp32_on_a_gpu_equals_the_cpu(pictures, monkeypatch) -> None:
    store, files = pictures
    exact = made(task(store))
    monkeypatch.setenv("MEDBENCH_HOME", str(files[0].parent / "other-home"))
    device = torch.device("cuda")
    (found,) = features(task(store), lambda: load_model("toy-vit", device="cuda"), device, 0, Tally())
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-4)


def test_the_next_batch_is_made_while_one_is_used_and_its_error_arrives() -> None:
    asked: list[range] = []
    started = threading.Event()

    class Images(torch.utils.data.Dataset):
        def __getitems__(self, rows: range) -> torch.Tensor:
            asked.append(rows)
            if rows.start == 4:
                started.set()
            if rows.start == 6:
                raise OSError("the disk has gone")
            return torch.tensor(list(rows))

    batches = extract._ahead(Images(), [range(i, i + 2) for i in range(0, 8, 2)])
    assert next(batches).tolist() == [0, 1]
    assert next(batches).tolist() == [2, 3]
    assert started.wait(10)  # though nobody has asked for it yet
    assert next(batches).tolist() == [4, 5]
    with pytest.raises(OSError, match="the disk has gone"):
        next(batches)
