"""Tables of samples and cards with one split rule."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medbench.data.splits import split_file

SIZES = ("train", "val", "test", "")


def frame_of(targets, groups=None, official="", paths=None):
    n = len(targets)
    ids = [f"i{k:06d}" for k in range(n)]
    columns = {"id": ids, "path": ids if paths is None else paths, "group": ids if groups is None else groups}
    frame = pd.DataFrame({**columns, "official": official})
    if np.ndim(targets) == 1:
        return frame.assign(target=np.asarray(targets, np.int64))
    hot = pd.DataFrame(np.asarray(targets, np.uint8), columns=[f"target_{name}" for name in "abc"])
    return pd.concat([frame, hot], axis=1)


@pytest.fixture
def card_of(make_card):
    def make(method, classes="abc", task="multiclass", more=None, counts=None, **rule):
        rules = {"it": {"method": method, **rule}, "base": {"method": "grouped", "seed": 9}, **(more or {})}
        layout = {"label": None, "labels": list(classes)} if task == "multilabel" else {}
        splits = {"default": "it", "rules": rules}
        return make_card(classes=list(classes), task=task, layout=layout, splits=splits, counts=counts or {})

    return make


def made(card, frame):
    return split_file.make_split(card, frame, "it")


def sizes(assigned):
    return tuple(int((assigned == name).sum()) for name in SIZES)


def patients(seed, n=600):
    """Patients of 1 to 6 images, mostly of one class."""
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(0, n // 3, n))
    base = rng.choice(3, n // 3, p=(0.6, 0.3, 0.1))[groups]
    return frame_of(np.where(rng.random(n) < 0.9, base, rng.choice(3, n)), [f"p{g}" for g in groups])


def reordered(frame):
    order = np.random.default_rng(0).permutation(len(frame))
    return order, frame.iloc[order].reset_index(drop=True)
