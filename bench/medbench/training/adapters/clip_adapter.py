"""CLIP-Adapter: a small network on the image feature, mixed with the feature itself, Gao et al., IJCV 2024.

f' = r relu(W2 relu(W1 f)) + (1 - r) f without biases; logits = s unit(f') t^T. Without biases, scaling f scales f'
alike, so features of any length give the same logits. Source: the authors' code (gaopengcuhk/CLIP-Adapter, 08d07f8).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from medbench.seeding import seed_of
from medbench.training.adapters.steps import Steps

NARROWER = 4
"""Width of the feature / width of the hidden layer."""


@dataclass(frozen=True)
class Adapter:
    """One adapter, or several along a first axis g.

    Attributes:
        down: W1, ([g,] d / 4, d).
        up: W2, ([g,] d, d / 4).
    """

    down: Tensor
    up: Tensor

    def logits(self, images: Tensor, text: Tensor, ratio: Tensor | float, scale: float) -> Tensor:
        """Return the logits of images, ([g,] m, c).

        Args:
            images: (m, d), of any length.
            text: One vector for each class, (c, d).
            ratio: Share of the adapter in the feature; of several adapters, ([g,] 1, 1).
            scale: Factor on cosines.
        """
        adapted = ((images @ self.down.mT).relu() @ self.up.mT).relu()
        return scale * (normalize(ratio * adapted + (1 - ratio) * images, dim=-1) @ text.T)


def initial(seed: int, dim: int) -> Adapter:
    """Return the adapter that a training starts at, drawn as torch.nn.Linear does: U(-1 / sqrt(n), 1 / sqrt(n))."""
    source = torch.Generator().manual_seed(seed_of("clip-adapter", "weights", seed))
    hidden = max(1, dim // NARROWER)
    down, up = ((torch.rand(b, a, generator=source) * 2 - 1) / math.sqrt(a) for a, b in ((dim, hidden), (hidden, dim)))
    return Adapter(down, up)


Optimizer = Callable[..., torch.optim.Optimizer]
"""Parameter groups -> an optimiser."""


def train(
    start: Adapter, images: Tensor, labels: Tensor, text: Tensor, steps: Steps, *, ratios: Sequence[float],
    rates: Sequence[float], scale: float, optimizer: Optimizer,
) -> tuple[Adapter, Tensor]:  # fmt: skip
    """Train one adapter for each pair of a ratio and a rate at once, on the cross-entropy.

    Args:
        start: Where each starts.
        images: Training features, (n, d).
        labels: (n,) class numbers.
        text: One vector for each class, (c, d).
        steps: Which rows, and how the rate falls.
        ratios: Share of the adapter in the feature, of each candidate g.
        rates: Greatest learning rate of each candidate.
        scale: Factor on cosines.
        optimizer: The rule.

    Returns:
        The adapters (g, …), and the loss of each at each step, (steps, g).
    """
    downs, ups = ([weight.clone().requires_grad_() for _ in ratios] for weight in (start.down, start.up))
    groups = [{"params": pair, "lr": rate} for *pair, rate in zip(downs, ups, rates, strict=True)]
    rule, mixed = optimizer(groups), images.new_tensor(list(ratios))[:, None, None]
    losses = images.new_empty(len(steps), len(rates))
    at = zip(*map(steps.rates, rates), strict=True)
    for i, (rows, now) in enumerate(zip(steps.rows, at, strict=True)):
        for group, rate in zip(rule.param_groups, now, strict=True):
            group["lr"] = rate
        adapters = Adapter(torch.stack(downs), torch.stack(ups))
        found = adapters.logits(images[rows], text, mixed, scale)
        targets = labels[rows].expand(len(rates), -1)
        loss = cross_entropy(found.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets).mean(dim=1)
        rule.zero_grad()
        loss.sum().backward()  # type: ignore[no-untyped-call]
        rule.step()
        losses[i] = loss.detach()
    return Adapter(torch.stack(downs).detach(), torch.stack(ups).detach()), losses
