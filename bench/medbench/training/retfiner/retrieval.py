"""Retrieval between images and reports: how often the nearest one is the right one."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 1024  # similarities of so many rows at a time


def recall_at_one(images: Tensor, texts: Tensor, numbers: Tensor) -> float:
    """Return the mean share of images whose nearest report is their own, and of reports whose nearest image is.

    A report with the same words as the image's own counts as right, too.

    Args:
        images: Unit vectors, (n, d).
        texts: Unit vectors of their reports, (n, d).
        numbers: Number of each report, (n,); equal reports have equal numbers.
    """
    shares = [
        torch.cat([numbers[(rows @ others.T).argmax(1)] for rows in torch.split(one, ROWS)]) == numbers
        for one, others in ((images, texts), (texts, images))
    ]
    return float(torch.stack(shares).double().mean())


def chance(numbers: Tensor) -> float:
    """Return the recall of a nearest report that is drawn at random."""
    counts = torch.unique(numbers, return_counts=True)[1].double()
    return float(counts.square().sum() / counts.sum().square())
