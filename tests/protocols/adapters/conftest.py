"""Jobs of three classes whose texts and images are near the same centres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medbench.cards.prompts.sets import Prompts
from medbench.protocols.context import Context, Language

DIM, TEXTS = 16, (("a",), ("b", "bb"), ("c",))


class Features:
    """Features of each split, and views of the training images."""

    def __init__(self, splits: dict[str, np.ndarray], views: np.ndarray) -> None:
        self.splits, self.bank = splits, views

    def clean(self, split: str) -> np.ndarray:
        return self.splits[split]

    def views(self, number: int, augment: Any) -> list[np.ndarray]:
        return list(self.bank[:number]) if number else [self.splits["train"]]


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Context[Any]]:
    """Return a maker of jobs of some settings."""

    def made(settings: Any, *, shots: int = 4, val: int = 30, draw: int = 0, **more: Any) -> Context[Any]:
        centres = np.random.default_rng(5).normal(size=(3, DIM))
        source = np.random.default_rng(draw)
        targets = {"train": np.arange(3 * shots) % 3, "val": np.arange(val) % 3, "test": np.arange(60) % 3}
        features = {
            split: (5 * (centres[y] + 1.5 * source.normal(size=(len(y), DIM)))).astype(np.float32)
            for split, y in targets.items()
        }
        views = (features["train"] + source.normal(size=(4, 3 * shots, DIM))).astype(np.float32)
        words = {
            text: 3 * centres["abc".index(text[0])] + len(text) * np.eye(DIM)[len(text)] for text in sum(TEXTS, ())
        }
        fields: dict[str, Any] = {
            "seeds": [0],
            "classes": 3,
            "multilabel": False,
            "metric": "recall_macro",
            "train_targets": targets["train"],
            "val_targets": targets["val"],
            "val_groups": None,
            "inputs": Features(features, views),
            "device": torch.device("cpu"),
            "partial": tmp_path,
            "language": Language(
                Prompts("names", "{}", TEXTS),
                (),
                lambda texts: np.stack([words[text] for text in texts]).astype(np.float32),
                20.0,
            ),
        }
        return Context(settings=settings, **{**fields, **more})

    return made
