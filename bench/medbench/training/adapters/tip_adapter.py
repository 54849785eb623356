"""Tip-Adapter: texts and a cache of a few training images, Zhang et al., ECCV 2022.

logits = s x t^T + alpha exp(-beta (1 - x k^T)) v, with features x and keys k of length 1 and values v. Tip-Adapter-F
trains the keys. Source of all formulas: the authors' code (gaopengcuhk/Tip-Adapter, d0e2d6f), which the tests hold
these functions against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, one_hot

from medbench.training.adapters.steps import Steps

LEAST = 0.1
"""Where the grids of alpha and beta start."""


@dataclass(frozen=True)
class Cache:
    """The training images as keys and values.

    Attributes:
        keys: (n, d), of length 1.
        values: (n, c), how much each image votes for each class.
    """

    keys: Tensor
    values: Tensor

    def votes(self, images: Tensor, beta: float) -> Tensor:
        """Return the cache's votes on images of length 1, (m, d): (m, c), before alpha."""
        return (beta * (images @ self.keys.T) - beta).exp() @ self.values


def cache_of(views: Sequence[Tensor], targets: Tensor, classes: int, *, even: bool) -> Cache:
    """Return the cache of training images.

    Args:
        views: Features of each augmented view as the encoder gives them, (n, d): they are averaged, then scaled to
            length 1.
        targets: (n,) class numbers.
        classes: Number of classes c.
        even: Give every class the same sum of values, n / c, whatever its number of images; with equal numbers nothing
            changes. The authors' code does not, which favours common classes.
    """
    keys = normalize(torch.stack(list(views)).mean(dim=0), dim=1)
    values = one_hot(targets, classes).to(keys.dtype)
    if even:
        values = values * (len(values) / classes / values.sum(dim=0).clamp(min=1))
    return Cache(keys, values)


def grid(most: float, steps: int) -> list[float]:
    """Return `steps` values from 0.1 on, evenly spaced; `most` is never reached, as in the authors' code."""
    return [LEAST + i * (most - LEAST) / steps for i in range(steps)]


def logits(images: Tensor, text: Tensor, cache: Cache, *, scale: float, alpha: float, beta: float) -> Tensor:
    """Return the logits of images, (m, c).

    Args:
        images: (m, d), of length 1.
        text: One vector for each class, (c, d).
        cache: The training images.
        scale: Factor on cosines.
        alpha: Weight of the cache.
        beta: How quickly the weight of an image falls with its distance.
    """
    return scale * (images @ text.T) + alpha * cache.votes(images, beta)


@dataclass(frozen=True)
class Grid:
    """The values that are tried: beta outside, alpha inside.

    Attributes:
        betas: Ascending.
        alphas: Ascending.
    """

    betas: list[float]
    alphas: list[float]

    def pair(self, place: int) -> tuple[float, float]:
        """Return beta and alpha of a place in the flattened table."""
        return self.betas[place // len(self.alphas)], self.alphas[place % len(self.alphas)]


def accuracies(zero_shot: Tensor, near: Tensor, values: Tensor, targets: Tensor, tried: Grid) -> Tensor:
    """Return the share of right images at each beta and alpha, (betas, alphas).

    The exponentials of a beta serve all its alphas, and a class's logits at all alphas are one product; the authors'
    search makes both again for each pair. An image counts as right if no class has a higher logit than its own.

    Args:
        zero_shot: Scaled cosines of images to classes, (m, c).
        near: Cosines of images to keys, (m, n).
        values: Of the cache, (n, c).
        targets: (m,) class numbers.
        tried: The values that are tried.
    """
    alphas = zero_shot.new_tensor(tried.alphas)[:, None]
    found = zero_shot.new_empty(len(tried.betas), len(tried.alphas))
    near, values = near.T.contiguous(), values.T.contiguous()  # images side by side: sums and maxima run along them
    base, own = zero_shot.T.contiguous(), targets[None]
    base_own, weights = base.gather(0, own), torch.empty_like(near)
    scores = base.new_empty(len(alphas), base.numel())
    for i, beta in enumerate(tried.betas):
        votes = values @ torch.mul(near, beta, out=weights).sub_(beta).exp_()
        torch.mul(alphas, votes.view(-1), out=scores).add_(base.view(-1))
        wrong = scores.view(-1, *base.shape).amax(dim=1) - (alphas * votes.gather(0, own) + base_own)
        found[i] = 1 - wrong.sign_().mean(dim=1)
    return found


def cross_entropies(
    zero_shot: Tensor, near: Tensor, values: Tensor, targets: Tensor, tried: Grid, places: Sequence[int]
) -> Tensor:
    """Return the mean cross-entropy of some pairs of the grid, (p,), as `accuracies` flattened names them."""
    found = zero_shot.new_empty(len(places))
    votes, made = zero_shot, None
    for i, place in enumerate(places):
        beta, alpha = tried.pair(place)
        if beta != made:
            votes, made = (beta * near - beta).exp() @ values, beta
        found[i] = cross_entropy(zero_shot + alpha * votes, targets)
    return found


def train_keys(
    cache: Cache, images: Tensor | None, labels: Tensor, text: Tensor, steps: Steps, *, rate: float, scale: float,
    alpha: float, beta: float, weight_decay: float = 0.01, eps: float = 1e-4,
) -> tuple[Tensor, list[float]]:  # fmt: skip
    """Train the keys of a copy of the cache with AdamW on the cross-entropy (Tip-Adapter-F).

    Args:
        cache: Its values stay; its keys are where the training starts.
        images: Training features of length 1, (rows, d), which `steps` names; None: the keys themselves as they are
            then, as in FLAIR's code, where both share memory, so that the images move with the keys.
        labels: Class of each row, (rows,).
        text: One vector for each class, (c, d).
        steps: Which rows, and how the rate falls.
        rate: The greatest learning rate.
        scale: Factor on cosines.
        alpha: Weight of the cache.
        beta: Sharpness of the cache.
        weight_decay: Of AdamW.
        eps: Of AdamW.

    Returns:
        The trained keys, (n, d), which need not have length 1, and the loss of each step.
    """
    keys = cache.keys.clone().requires_grad_()
    optimizer = torch.optim.AdamW([keys], weight_decay=weight_decay, eps=eps)
    losses = []
    for rows, now in zip(steps.rows, steps.rates(rate), strict=True):
        batch = (keys.detach() if images is None else images)[rows]
        found = logits(batch, text, Cache(keys, cache.values), scale=scale, alpha=alpha, beta=beta)
        loss = cross_entropy(found, labels[rows])
        optimizer.param_groups[0]["lr"] = now
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return keys.detach(), losses
