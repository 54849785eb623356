"""Training from a bank: outputs of the frozen part, read from maps of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from medbench.training.finetune.task import FitData

Array = NDArray[np.floating]


class Rows(Dataset[Tensor]):
    """Rows of one array; a list of indices gives (b, …)."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Tensor:
        """Return one row, or those of a list."""
        return self.__getitems__(index) if isinstance(index, list) else self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return (b, …)."""
        return torch.from_numpy(np.asarray(self.values[np.asarray(indices)]))


class Viewed(Dataset[Tensor]):
    """Rows of several views; an index is a (view, row) pair."""

    def __init__(self, views: Sequence[Array]) -> None:
        self.views = views

    def __len__(self) -> int:
        return len(self.views[0])

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> Tensor:
        """Return (b, …)."""
        return torch.from_numpy(np.stack([self.views[view][row] for view, row in indices]))


def cached_views(views: Sequence[Array], val: Array, test: Array) -> FitData:
    """Return the source of a training on a bank; what was kept in half precision is made single again."""
    return FitData(Viewed(views), Rows(val), Rows(test), Tensor.float)
