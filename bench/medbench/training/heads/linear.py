"""Linear heads in plain tensor operations: first weights, order of the data, loss with its gradient, scores."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medbench import metrics
from medbench.seeding import generator, seed_of


def predict(weight: Tensor, features: Tensor, *, multilabel: bool, half: bool = False) -> NDArray[np.float64]:
    """Return the classes' log-odds (h, n, c) of heads `weight` (h, c, d + 1) on `features` (n, d).

    With `half` they are those of probabilities in half precision, which creates ties (Q21 of the published code).
    """
    h, c, _ = weight.shape
    logits = torch.addmm(weight[..., -1].reshape(-1), features, weight[..., :-1].reshape(h * c, -1).T)
    logits = logits.view(-1, h, c).transpose(0, 1)
    return log_odds_of_logits(logits, multilabel=multilabel, half=half)


def log_odds_of_logits(logits: Tensor, *, multilabel: bool, half: bool = False) -> NDArray[np.float64]:
    """Return the log-odds of logits (…, c); with `half`, of their probabilities in half precision."""
    if not half:
        return metrics.log_odds(logits.cpu().numpy(), multilabel=multilabel)
    logits = logits.half()
    return metrics.log_odds_of((logits.sigmoid() if multilabel else logits.softmax(-1)).float().cpu().numpy())


def initial(seed: int, classes: int, dim: int) -> Tensor:
    """Return a head's first weights (c, d + 1), bias last, drawn as torch.nn.Linear does: U(-1/sqrt(d), 1/sqrt(d))."""
    source = torch.Generator().manual_seed(seed_of("linear-frozen", "head", seed))
    bound = 1 / math.sqrt(dim)
    return (torch.rand(classes, dim + 1, generator=source) * 2 - 1) * bound


def order(seed: int, epoch: int, n: int, views: int, epochs: int) -> NDArray[np.int64]:
    """Return the rows view * n + image of one seed's epoch in order, (n,).

    Each image comes once, in a view drawn at random; if there are at least as many views as epochs, each epoch has its
    own view instead.
    """
    source = generator("linear-frozen", "order", seed, epoch)
    images = source.permutation(n)
    view = np.full(n, epoch) if views >= epochs else source.integers(views, size=n)
    return np.asarray(view * n + images, dtype=np.int64)


def loss_and_slope(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the mean loss of each head, (s, l), and its gradient with respect to the logits, (s, l, c, b).

    Cross-entropy, whose gradient is (softmax - one-hot) / b; for multilabel tasks binary cross-entropy, averaged over
    samples and labels, whose gradient is (sigmoid - target) / (b * c).

    Args:
        logits: (s, l, c, b).
        targets: (s, b) class numbers or, for multilabel tasks, (s, b, c) zeros and ones.
        smoothing: Label smoothing e: the target of class k is (1 - e) y_k + e / c, of a label (1 - e) y_k + e / 2.
    """
    _, heads, c, b = logits.shape
    if targets.ndim == 3:
        y = targets.transpose(1, 2)[:, None] * (1 - smoothing) + smoothing / 2
        loss = (torch.nn.functional.softplus(logits) - logits * y).mean(dim=(2, 3))
        return loss, (logits.sigmoid() - y).div_(b * c)
    index = targets[:, None, None].expand(-1, heads, 1, -1)
    log = logits.log_softmax(2)
    loss = -(1 - smoothing) * log.gather(2, index)[:, :, 0].mean(2)
    if smoothing:
        loss -= smoothing * log.mean(dim=(2, 3))
    slope = log.exp_().scatter_add_(2, index, torch.full_like(log[:, :, :1], smoothing - 1.0))
    slope = slope.sub_(smoothing / c).div_(b) if smoothing else slope.div_(b)
    return loss, slope
