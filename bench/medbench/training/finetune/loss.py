"""Losses per image, so that the micro-batches of a batch add up to the same step however it is divided."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from medbench.cards.recipes import FinetuneRecipe

Loss = Callable[[Tensor, Tensor], Tensor]
"""(b, c) logits and (b,) or (b, c) targets -> (b,): each image's part of the step's loss, before the division."""


def make_loss(settings: FinetuneRecipe, targets: Tensor, classes: int) -> tuple[Loss, Callable[[Tensor], float]]:
    """Return the loss and its divisor: a step's loss is sum(loss) / norm(targets of all its images).

    Cross-entropy or, for multilabel targets, binary cross-entropy averaged over labels. With loss=weighted, class k has
    the weight n / (c n_k), as scikit-learn's `balanced`, and the divisor is the sum of the step's weights, as in
    torch.nn.CrossEntropyLoss; for multilabel targets, a positive of label k has the weight (n - n_k) / n_k.

    Args:
        settings: The recipe.
        targets: All training targets, (n,) int64 or (n, c) float32.
        classes: Number of classes c.
    """
    smoothing = settings.label_smoothing
    if targets.ndim == 2:
        positive = _positive_weights(targets) if settings.loss == "weighted" else None

        def binary(logits: Tensor, y: Tensor) -> Tensor:
            soft = y * (1 - smoothing) + smoothing / 2
            heavy = None if positive is None else positive.to(logits.device)
            return binary_cross_entropy_with_logits(logits, soft, reduction="none", pos_weight=heavy).mean(1)

        return binary, len
    weights = _class_weights(targets, classes) if settings.loss == "weighted" else None

    def multiclass(logits: Tensor, y: Tensor) -> Tensor:
        heavy = None if weights is None else weights.to(logits.device)
        return cross_entropy(logits, y, weight=heavy, reduction="none", label_smoothing=smoothing)

    return multiclass, (lambda y: float(len(y)) if weights is None else float(weights[y.cpu()].sum()))


def marginal_penalty(logits: Tensor, y: Tensor) -> Tensor:
    """Return sum_k |mean_i p_ik - mean_i y_ik|, the L1 distance between predicted and true class shares of a batch.

    The label-marginal regulariser of Liu et al., "Do we really need dice? The hidden region-size biases of
    segmentation losses" (2023), with images in place of pixels.

    Args:
        logits: (b, c).
        y: Targets, (b,) or (b, c).
    """
    if y.ndim == 2:
        return (logits.sigmoid().mean(0) - y.mean(0)).abs().sum()
    true = torch.bincount(y, minlength=logits.shape[1]) / len(y)
    return (logits.softmax(1).mean(0) - true).abs().sum()


def _class_weights(targets: Tensor, classes: int) -> Tensor:
    counts = torch.bincount(targets, minlength=classes)
    return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), torch.zeros(classes))


def _positive_weights(targets: Tensor) -> Tensor:
    positives = targets.sum(0)
    return torch.where(positives > 0, (len(targets) - positives) / positives.clamp(min=1), torch.ones_like(positives))
