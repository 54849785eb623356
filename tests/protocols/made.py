"""Contexts of tiny jobs: features of three clusters, or a few images and a tiny encoder."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from medbench.cards.recipes import Settings
from medbench.models.load import load_model
from medbench.protocols.context import Context

SIZE = 64


def job(settings: Settings, folder: Path, inputs: Any, **changes: Any) -> Context[Any]:
    """Return a context of 60 training, 45 validation images and three classes on the CPU."""
    source = np.random.default_rng(3)
    fields: dict[str, Any] = {
        "seeds": [0],
        "classes": 3,
        "multilabel": False,
        "metric": "recall_macro",
        "train_targets": source.integers(3, size=60),
        "val_targets": source.integers(3, size=45),
        "val_groups": None,
        "device": torch.device("cpu"),
        "partial": folder,
    }
    return Context(settings=settings, inputs=inputs, **{**fields, **changes})


class Images:
    """The inputs of a job that trains a tiny network: noise for images, no bank unless one is given."""

    image_size = SIZE

    def __init__(self, model: str = "toy-vit", bank: Any = None) -> None:
        self.model, self.kept = model, bank
        self.asked: list[tuple[list[str], str]] = []
        self.outputs: dict[str, Any] = {}

    def encoder(self, units: int | None = None, drop_path: float | None = None) -> Any:
        return load_model(self.model, weights="random", units=units)

    def second(self) -> Any:
        return load_model("toy-vit", weights="random")

    def images(self, split: str) -> torch.Tensor:
        source = torch.Generator().manual_seed(len(split))
        return torch.randint(256, (45, SIZE, SIZE, 3), dtype=torch.uint8, generator=source)

    def drawn(self, *given: Any) -> SimpleNamespace:
        return SimpleNamespace(given=given)

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.permute(0, 3, 1, 2).float() / 127.5 - 1

    def bank(self, outputs: dict[str, Any], wanted: str, *_: Any) -> Any:
        self.asked.append((list(outputs), wanted))
        self.outputs = outputs
        return self.kept
