"""Samples and cards to split."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medbench.data.splits import split_file


def frame_of(targets, groups=None, official="", names=None):
    targets = np.asarray(targets)
    ids = names or [f"i{k:05d}" for k in range(len(targets))]
    frame = pd.DataFrame({"id": ids, "path": ids, "group": groups if groups is not None else ids, "official": official})
    if targets.ndim == 1:
        return frame.assign(target=targets)
    return pd.concat(
        [frame, pd.DataFrame(targets.astype(np.uint8), columns=["target_a", "target_b", "target_c"])], axis=1
    )


def card_with(make_card, method, **rule):
    task = rule.pop("task", "multiclass")
    layout = {"label": None, "labels": ["a", "b", "c"]} if task == "multilabel" else {}
    rules = {"it": {"method": method, **rule}}
    return make_card(task=task, layout=layout, splits={"default": "it", "rules": rules})


def made(card, frame):
    return split_file.make_split(card, frame, "it")


def random_groups(seed, n=900, multilabel=False):
    """Patients of 1 to 6 images, whose images may be of several classes."""
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(0, n // 3, n))
    order = rng.permutation(n)
    names = [f"p{g}" for g in groups[order]]
    if multilabel:
        return frame_of(rng.random((n, 3)) < (0.4, 0.2, 0.05), names)
    base = rng.choice(3, n // 3, p=(0.6, 0.3, 0.1))[groups[order]]
    return frame_of(np.where(rng.random(n) < 0.8, base, rng.choice(3, n)), names)
