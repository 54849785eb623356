"""Official results in ../shared/parity_vl, and how far ours are from them; pytest -v prints the table at its end."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

CLOSE = 5e-6


@dataclass
class Parity:
    """Reads goldens and compares with them.

    Attributes:
        folder: Where they lie.
        rows: (golden, quantity, largest relative error) of each comparison so far.
    """

    folder: Path
    rows: list[tuple[str, str, float]] = field(default_factory=list)

    def read(self, name: str) -> dict[str, Tensor]:
        """Return a golden's arrays."""
        with np.load(self.folder / name / "golden.npz") as file:
            return {key: torch.from_numpy(file[key]) for key in file.files}

    def about(self, name: str) -> dict[str, Any]:
        """Return a golden's manifest."""
        found: dict[str, Any] = json.loads((self.folder / name / "manifest.json").read_text())
        return found

    def fakes(self, name: str) -> dict[str, Tensor]:
        """Return the made-up weights that the official code was given."""
        return dict(self._made_up().fake_tensors(self.about(name)))

    def image(self, seed: int, batch: int, channels: int, size: int) -> Tensor:
        """Return the made-up images that the official code was given."""
        found: Tensor = self._made_up().parity_image(seed, batch, channels, size)
        return found

    def _made_up(self) -> Any:
        spec = importlib.util.spec_from_file_location("fakes", self.folder.parent / "parity" / "fake_checkpoint.py")
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        return module

    def check(self, name: str, quantity: str, found: Any, wanted: Any, within: float = CLOSE) -> None:
        """Compare: the largest error, relative to the largest value."""
        ours, theirs = (np.asarray(one, np.float64) for one in (found, wanted))
        assert ours.shape == theirs.shape, quantity
        error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        self.rows.append((name, quantity, error))
        assert error <= within, f"{name}: {quantity} is {error:.1e} off"

    def table(self) -> str:
        """Return all comparisons as text."""
        width = max(len(f"{name} | {quantity}") for name, quantity, _ in self.rows)
        lines = [f"{f'{name} | {quantity}':<{width}} | {error:.1e}" for name, quantity, error in self.rows]
        return "\n".join([f"{'golden | quantity':<{width}} | largest relative error", *lines])
