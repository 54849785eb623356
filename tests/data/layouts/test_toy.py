from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medbench.cards import find_dataset
from medbench.data.layouts import toy
from medbench.data.load import load_dataset
from medbench.errors import CardError

from ...forked import Program

DRAW = toy.draw_into  # before a fixture lets sets be copied
NAMES = ("toy", "toy-binary", "toy-multiclass", "toy-multilabel")


def pixels_of(dataset):
    return np.stack([np.asarray(Image.open(dataset.root / path)) for path in dataset.samples["path"]])


@pytest.mark.parametrize("name", NAMES)
def test_set_is_whole_grouped_and_quick(name, monkeypatch):
    monkeypatch.setattr(toy, "draw_into", DRAW)
    start = time.process_time()
    dataset = load_dataset(name)
    assert time.process_time() - start < 8  # seconds of one core; aim: 4
    samples = dataset.samples
    assert len(samples) == dataset.card.counts.images == 600
    sizes = samples["group"].value_counts()
    assert set(sizes) == {1, 2, 3}
    assert dataset.grouped
    assert (samples.groupby("group")["split"].nunique() == 1).all()
    targets = dataset.targets()
    assert targets.shape == ((600, 5) if name == "toy-multilabel" else (600,))
    for split in ("train", "val", "test"):
        held = dataset.targets(split)
        assert held.any(axis=0).all() if dataset.multilabel else len(set(held)) == dataset.n_classes
    with Image.open(dataset.root / samples["path"][0]) as image:
        assert (image.mode, image.size, image.format) == ("RGB", (64, 64), "PNG")


def encoded(pixels, width=128, seed=0):
    """Return random features (n, 2 * width): one random layer on 8 x 8 patches, ReLU, mean and maximum over patches."""
    scaled = ((pixels / 255 - (pixels / 255).mean()) / 0.25).astype(np.float32)
    patches = np.lib.stride_tricks.sliding_window_view(scaled, (8, 8), axis=(1, 2))[:, ::4, ::4]
    weights = (np.random.default_rng(seed).standard_normal((192, width)) / np.sqrt(192)).astype(np.float32)
    hidden = np.maximum(patches.reshape(len(pixels), -1, 192) @ weights, 0)
    return np.concatenate([hidden.mean(axis=1), hidden.max(axis=1)], axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_random_encoder_is_above_chance_and_below_perfect(name):
    dataset = load_dataset(name)
    features = encoded(pixels_of(dataset))
    train, test, targets = dataset.rows("train"), dataset.rows("test"), dataset.targets()

    def fit(target):
        head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        return head.fit(features[train], target[train])

    if name == "toy":
        score = cohen_kappa_score(targets[test], fit(targets).predict(features[test]), weights="quadratic")
        low, high = 0.35, 0.9
    elif name == "toy-multilabel":
        score = np.mean([roc_auc_score(y[test], fit(y).decision_function(features[test])) for y in targets.T])
        low, high = 0.65, 0.96
    else:
        proba = fit(targets).predict_proba(features[test])
        score = roc_auc_score(targets[test], proba[:, 1] if name == "toy-binary" else proba, multi_class="ovr")
        low, high = 0.65, 0.96
    assert low < score < high


def test_patients_share_their_background():
    dataset = load_dataset("toy")
    pixels = pixels_of(dataset).astype(float)[:200]
    groups = dataset.samples["group"].to_numpy()[:200]
    far = np.abs(pixels[:, None, ::8, ::8] - pixels[None, :, ::8, ::8]).mean(axis=(2, 3, 4))
    same = (groups[:, None] == groups[None, :]) & ~np.eye(200, dtype=bool)
    assert far[same].mean() < 0.75 * far[groups[:, None] != groups[None, :]].mean()


def test_damaged_set_is_drawn_again(monkeypatch):
    dataset = load_dataset("toy")
    plain, drawn = toy.draw_into, []
    monkeypatch.setattr(toy, "draw_into", lambda *given: (drawn.append(given), plain(*given)))
    (dataset.root / dataset.samples["path"][3]).unlink()
    again = load_dataset("toy")
    assert again.digest == dataset.digest
    (dataset.root / "labels.csv").unlink()
    assert load_dataset("toy").digest == dataset.digest
    assert len(drawn) == 2


def test_two_processes_at_once_end_well(isolated):
    code = "from medbench.data.load import load_dataset; print(load_dataset('toy').digest)"
    both = [Program(code) for _ in range(2)]
    digests = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(digests) == 1
    assert [path.name for path in (isolated / "home" / "toy").iterdir() if path.name.startswith(".")] == []


def test_card_that_does_not_fit_its_recipe():
    card = find_dataset("toy").model_copy(update={"classes": find_dataset("toy-binary").classes})
    with pytest.raises(CardError, match="draws 5 classes, the card names 2"):
        toy.ensure(card)
    card = find_dataset("toy").model_copy(update={"task": "multilabel"})
    with pytest.raises(CardError, match="does not fit task multilabel"):
        toy.ensure(card)
