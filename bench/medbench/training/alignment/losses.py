"""The loss of FLAIR: cross-entropy between scaled cosines and soft targets by category."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

MOST_SCALE = 4.6052
"""Largest logarithm of the factor on cosines: exp of it is 100."""


def soft_targets(keys: Sequence[str]) -> Tensor:
    """Return the targets (b, b) of b pairs: 1 where two pairs have the same key, each row divided by its sum.

    The matrix is symmetric, since having the same key is an equivalence relation.
    """
    known = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    number = torch.tensor([known[key] for key in keys])
    same = (number[:, None] == number[None]).float()
    return same / same.sum(dim=1, keepdim=True)


def soft_loss(images: Tensor, texts: Tensor, scale: Tensor, targets: Tensor) -> Tensor:
    """Return the loss, (): the mean of the cross-entropies over texts and over images.

    Args:
        images: Unit vectors, (b, d).
        texts: Unit vectors, (b, d).
        scale: Logarithm of the factor on cosines, ().
        targets: Of `soft_targets`, (b, b).
    """
    logits = scale.exp() * texts @ images.T
    by_text = -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
    by_image = -(targets * logits.T.log_softmax(dim=1)).sum(dim=1).mean()
    return (by_text + by_image) / 2


def floor_of(targets: Tensor) -> float:
    """Return the least value that the loss can have with these targets: the mean entropy of their rows, in nats."""
    return float(torch.special.entr(targets).sum(dim=1).mean())


def effective_number(keys: Sequence[str]) -> float:
    """Return the effective number of different keys: exp of the entropy of their shares, from 1 to len(keys)."""
    shares = [count / len(keys) for count in Counter(keys).values()]
    return math.exp(-sum(share * math.log(share) for share in shares))
