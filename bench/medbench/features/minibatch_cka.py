"""Linear CKA between all layers of two networks, batch by batch, by one of two estimators.

The Gram matrix K (b, b) of a batch's features is centred without bias, so that <K~, L~> = b (b - 3) HSIC_1(K, L)
(Song et al., JMLR 2012; Szekely and Rizzo, "Partial distance correlation", 2014). The estimators are

- `batch`: the mean over batches of the ratio <K~, L~> / (|K~| |L~|), as published by the group behind WACV 2024
  ("feature reuse", Matsoukas et al., CVPR 2022), with batches of 64. A mean of ratios depends on the batch size.
- `hsic`: the means over batches of HSIC_1(K, L), HSIC_1(K, K) and HSIC_1(L, L), then one ratio (Nguyen, Raghu and
  Kornblith, ICLR 2021). Each mean is unbiased for the complete data set, for any batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medbench.errors import MedbenchError, unknown
from medbench.metrics.cka import FEWEST

Estimator = Literal["batch", "hsic"]
COLUMNS = 1 << 14  # feature columns at a time: those of 64 images are 4 MB, which fit into a processor's cache


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrix (b, b), float64, of a batch's features (b, ...), flattened and minus their mean.

    CKA does not depend on a shift. The mean can be far larger than the differences between images; without it, float32
    is enough for the products of a block of columns. Blocks are added up in float64. Features that are the same for all
    images give exact zeros, because the first image's features are subtracted before the mean is computed and rounded.
    """
    flat = features.flatten(1)
    found = torch.zeros(len(flat), len(flat), dtype=torch.float64, device=flat.device)
    for at in range(0, flat.shape[1], COLUMNS):
        x = flat[:, at : at + COLUMNS].float()
        x = x - x[:1]
        x -= x.mean(dim=0)
        found += x @ x.T
    return found


def centre(grams: Tensor) -> Tensor:
    """Return Gram matrices (..., b, b) centred without bias (U-centring): zero diagonals and rows that sum to 0.

    The diagonal is set to 0. The mean of a row is its sum over b - 2, minus half the matrix's sum over
    (b - 1) (b - 2). The means of its row and its column are subtracted from each element, and the diagonal is set to 0
    again.
    """
    b = grams.shape[-1]
    grams = _hollow(grams)
    means = grams.sum(dim=-1) / (b - 2)
    means -= means.sum(dim=-1, keepdim=True) / (2 * (b - 1))
    return _hollow(grams - means[..., :, None] - means[..., None, :])


def _hollow(grams: Tensor) -> Tensor:
    """Return a copy with zeros on the diagonals."""
    found = grams.clone()
    found.diagonal(dim1=-2, dim2=-1).zero_()
    return found


class Cka:
    """CKA of every layer of one network with every layer of another, added up batch by batch.

    Batches of fewer than 4 images, such as a last one, are left out: HSIC_1 is not defined for them.

    Attributes:
        images: Number of images added.
        left_out: Number of images left out.

    Args:
        layers_a: Number of layers of the first network, the rows.
        layers_b: Number of layers of the second, the columns.
        estimator: `batch` or `hsic`.
        device: Device of the sums.

    Raises:
        CardError: The estimator is unknown.
    """

    def __init__(
        self, layers_a: int, layers_b: int, estimator: Estimator = "hsic", device: torch.device | str = "cpu"
    ) -> None:
        if estimator not in get_args(Estimator):
            raise unknown("CKA estimator", estimator, get_args(Estimator))
        self.layers_a, self.layers_b, self.estimator = layers_a, layers_b, estimator
        self.images = self.left_out = self._batches = 0
        place = torch.device(device)
        self._ab = torch.zeros(layers_a, layers_b, dtype=torch.float64, device=place)
        self._aa = torch.zeros(layers_a, dtype=torch.float64, device=place)
        self._bb = torch.zeros(layers_b, dtype=torch.float64, device=place)

    def add(self, features_a: Sequence[Tensor], features_b: Sequence[Tensor]) -> None:
        """Add a batch: each layer's features (b, ...) of the same b images.

        Raises:
            ValueError: The number of layers is wrong, or the layers have different numbers of images.
        """
        self.add_grams([gram(x) for x in features_a], [gram(x) for x in features_b])

    def add_grams(self, grams_a: Sequence[Tensor], grams_b: Sequence[Tensor]) -> None:
        """Add a batch, given as its layers' Gram matrices (b, b) from `gram`.

        Raises:
            ValueError: The number of layers is wrong, or the layers have different numbers of images.
        """
        if (len(grams_a), len(grams_b)) != (self.layers_a, self.layers_b):
            raise ValueError(f"{len(grams_a)} and {len(grams_b)} layers, not {self.layers_a} and {self.layers_b}")
        sizes = {tuple(g.shape) for g in (*grams_a, *grams_b)}
        if len(sizes) != 1:
            raise ValueError(f"Gram matrices of {sorted(sizes)}: the layers are not of the same images")
        b = grams_a[0].shape[0]
        if b < FEWEST:
            self.left_out += b
            return
        a, other = (centre(torch.stack(list(g)).to(self._ab)).flatten(1) for g in (grams_a, grams_b))
        self._sum(a @ other.T, a.square().sum(dim=1), other.square().sum(dim=1), b)
        self.images, self._batches = self.images + b, self._batches + 1

    def _sum(self, ab: Tensor, aa: Tensor, bb: Tensor, b: int) -> None:
        """Add the inner products of one batch's centred Gram matrices."""
        if self.estimator == "batch":
            self._ab += _ratio(ab, aa, bb)
            return
        # HSIC_1 is the product over b (b - 3). Its weight is the number of images b, so that a small last batch counts
        # less than a full one; the common divisor, the number of all images, cancels in the ratio.
        for total, part in ((self._ab, ab), (self._aa, aa), (self._bb, bb)):
            total += part / (b - 3)

    def value(self) -> NDArray[np.float64]:
        """Return the CKA (layers_a, layers_b), at most 1 up to rounding; nan for a layer that is constant over images.

        With `batch`, one batch in which a layer is constant makes the layer's mean nan.

        Raises:
            MedbenchError: No batch had 4 images.
        """
        if not self._batches:
            raise MedbenchError(
                f"CKA needs a batch of at least {FEWEST} images; there was none", "use more images or larger batches"
            )
        found = self._ab / self._batches if self.estimator == "batch" else _ratio(self._ab, self._aa, self._bb)
        return np.asarray(found.cpu().numpy(), np.float64)


def _ratio(ab: Tensor, aa: Tensor, bb: Tensor) -> Tensor:
    """Return ab / sqrt(aa bb'), (la, lb), of sums (la, lb), (la,) and (lb,)."""
    return ab / (aa.sqrt()[:, None] * bb.sqrt())
