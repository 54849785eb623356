"""Fine-tuning on cached outputs of the frozen part, read from memory-mapped files."""

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
    """The rows of an array, (n, …)."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Tensor:
        """Return the row of an index, (…), or the rows of a list of b indices, (b, …)."""
        return self.__getitems__(index) if isinstance(index, list) else self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return the rows of b indices, (b, …)."""
        return torch.from_numpy(np.asarray(self.values[np.asarray(indices)]))


class ViewRows(Dataset[Tensor]):
    """The rows of several views, each an array (n, …); an index is a pair (view, row)."""

    def __init__(self, views: Sequence[Array]) -> None:
        self.views = views

    def __len__(self) -> int:
        return len(self.views[0])

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> Tensor:
        """Return the rows of b pairs, (b, …)."""
        return torch.from_numpy(np.stack([self.views[view][row] for view, row in indices]))


def cached_views(views: Sequence[Array], val: Array, test: Array) -> FitData:
    """Return the data of a training on cached outputs; half precision is converted to single."""
    return FitData(ViewRows(views), Rows(val), Rows(test), Tensor.float)
