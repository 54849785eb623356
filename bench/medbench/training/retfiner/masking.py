"""Masked words that a text model must predict: which positions of a report are masked, and with what.

As in RetFiner's published code (commit e0e089f): of the masked positions 80 % become [MASK], 10 % a random word and
10 % stay as they are. Every report has at least one masked position.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOT_MASKED = -100
"""Label of a position that is not to be predicted: torch's cross-entropy ignores it."""
MASK_SHARE, WORD_SHARE = 0.8, 0.1
"""Of the masked positions: the share that becomes [MASK], and the share that becomes a random word."""

Ids = NDArray[np.int64]


class Words(NamedTuple):
    """What masking must know of a vocabulary.

    Attributes:
        pad: Id of the padding.
        mask: Id of [MASK].
        first: First id that can stand in for a masked word.
        size: Number of ids; the last one that can stand in is size - 1.
    """

    pad: int
    mask: int
    first: int
    size: int


class Masked(NamedTuple):
    """Reports with masked positions.

    Attributes:
        ids: What the model reads, (n, t).
        labels: The true id where a position is masked, `NOT_MASKED` elsewhere, (n, t).
    """

    ids: Ids
    labels: Ids


def masked(ids: Ids, rate: float, words: Words, source: np.random.Generator) -> Masked:
    """Return reports with each position masked with probability `rate`, and at least one in each report.

    The first position ([CLS]) and the padding are never masked; [SEP] can be. Positions of a report are drawn again
    until one of them is masked, as in the published code.

    Args:
        ids: Token ids, (n, t); each report has a token after its first.
        rate: Above 0, at most 1.
        words: The vocabulary.
        source: Of all draws.
    """
    can = ids != words.pad
    can[:, 0] = False
    chosen = np.zeros(ids.shape, dtype=bool)
    while not (done := chosen.any(axis=1)).all():
        chosen |= (source.random(ids.shape) < rate) & can & ~np.atleast_1d(done)[:, None]
    return replaced(ids, chosen, source.random(ids.shape), source.integers(words.first, words.size, ids.shape), words)


def replaced(ids: Ids, chosen: NDArray[np.bool_], kind: NDArray[np.float64], others: Ids, words: Words) -> Masked:
    """Return reports with the chosen positions masked.

    Args:
        ids: Token ids, (n, t).
        chosen: Which positions are masked, (n, t).
        kind: Numbers on [0, 1) that decide what a masked position becomes, (n, t).
        others: Random ids, (n, t).
        words: The vocabulary.
    """
    filler = np.where(kind < MASK_SHARE, words.mask, np.where(kind < MASK_SHARE + WORD_SHARE, others, ids))
    return Masked(np.where(chosen, filler, ids), np.where(chosen, ids, NOT_MASKED))
