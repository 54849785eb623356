"""RetFiner's losses as functions of embeddings and draws (Fecso et al. 2025; published code, commit e0e089f).

A process computes the part of a step's loss that belongs to its own pairs; the sum over the processes is the loss.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from medbench.training.retfiner.masking import NOT_MASKED

FLOOR = 1e-4
"""Added to the probability of every negative, as published, so that none is impossible."""


def rivals(texts: Tensor, rows: Tensor, *, ignore_equal: bool) -> Tensor:
    """Return which pairs of the batch are negatives of some of its pairs, (b, n) bool.

    Args:
        texts: Number of each pair's report, (n,); equal reports have equal numbers.
        rows: Positions of b pairs in the batch.
        ignore_equal: Whether pairs with the same report are left out of the negatives.
    """
    others = torch.ones(len(rows), len(texts), dtype=torch.bool, device=texts.device)
    others[torch.arange(len(rows), device=rows.device), rows] = False
    return others & (texts[rows][:, None] != texts) if ignore_equal else others


def contrastive(similarity: Tensor, rows: Tensor, negatives: Tensor, smoothing: float) -> Tensor:
    """Return the sum over b rows of the cross-entropy with label smoothing (ITC, one direction).

    Columns that are neither the row's own pair nor a negative are ignored, in the smoothing, too.

    Args:
        similarity: Cosines over the temperature, (b, n).
        rows: Column of each row's own pair, (b,).
        negatives: Which columns are negatives, (b, n).
        smoothing: Share of the target that is spread evenly over the columns that take part.
    """
    own = torch.zeros_like(negatives).scatter_(1, rows[:, None], True)
    part = own | negatives
    log = similarity.masked_fill(~part, -torch.inf).log_softmax(1)
    spread = log.masked_fill(~part, 0).sum(1) / part.sum(1)
    return -((1 - smoothing) * log[own] + smoothing * spread).sum()


@torch.no_grad()
def hard_negatives(similarity: Tensor, negatives: Tensor, draws: Tensor) -> Tensor:
    """Return a negative of each row, (b,), drawn with probability proportional to softmax(similarity) + `FLOOR`.

    The draw inverts the cumulative sum, so a row's negative depends on the row alone, not on the number of processes.
    For a row without negatives the result has no meaning.

    Args:
        similarity: Cosines over the temperature, (b, n).
        negatives: Which columns are negatives, (b, n).
        draws: Numbers on [0, 1), (b,).
    """
    weights = ((similarity.double().softmax(1) + FLOOR) * negatives).cumsum(1)
    found = torch.searchsorted(weights, (draws.double() * weights[:, -1])[:, None], right=True)
    return found[:, 0].clamp(max=weights.shape[1] - 1)


def guessing(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sum of the cross-entropies of the masked positions: logits (m, v), labels (m,)."""
    return cross_entropy(logits.float(), labels, reduction="sum", ignore_index=NOT_MASKED)
