"""LP++: a linear probe with the texts' logits added, class by class, Huang et al., CVPR 2024.

logits = f W^T + b + a * (f t^T), with features f and texts t of length 1 and one factor a a class. Step sizes and the
first a come from the data. Source: the authors' code (FereshteShakeri/FewShot-CLIP-Strong-Baseline, f81054f).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from medbench.seeding import seed_of

FIRST_FACTOR, EVERY, MOMENTUM = 250.0, 10, 0.9
"""Factor of the first a; epochs between two steps of a; momentum of the other weights."""


@dataclass(frozen=True)
class Probe:
    """The weights of LP++.

    Attributes:
        weight: (c, d).
        bias: (c,).
        factors: a, (c,).
    """

    weight: Tensor
    bias: Tensor
    factors: Tensor

    def logits(self, images: Tensor, text: Tensor) -> Tensor:
        """Return the logits (m, c) of images of length 1, (m, d)."""
        return images @ self.weight.T + self.bias + self.factors * (images @ text.T)


@dataclass(frozen=True)
class Rates:
    """The step sizes that the data give: of weight and bias, and of the factors."""

    weight: float
    factors: float


def drawn_bias(seed: int, classes: int, dim: int) -> Tensor:
    """Return the first bias (c,), drawn as torch.nn.Linear does: U(-1 / sqrt(d), 1 / sqrt(d))."""
    source = torch.Generator().manual_seed(seed_of("lp++", "bias", seed))
    return (torch.rand(classes, generator=source) * 2 - 1) / math.sqrt(dim)


def initial(images: Tensor, labels: Tensor, text: Tensor, bias: Tensor) -> Probe:
    """Return where the training starts: the sum of each class's features, and one factor for all classes.

    Args:
        images: Training features of length 1, (n, d).
        labels: (n,) class numbers.
        text: One vector for each class, (c, d).
        bias: (c,).
    """
    members = one_hot(labels, len(text)).to(images.dtype)
    held = members.sum(dim=0)
    own = (members * (images @ text.T)).sum(dim=0)[held > 0] / held[held > 0]
    return Probe(members.T @ images, bias, (FIRST_FACTOR * own.mean()).expand(len(text)).clone())


def rates(images: Tensor, text: Tensor) -> Rates:
    """Return the step sizes: 4 n / lambda_max(F^T F), and n / (4 max_c sum_i (f_i t_c)^2)."""
    n = len(images)
    gram = images @ images.T if n < images.shape[1] else images.T @ images  # both have the same greatest eigenvalue
    most = torch.linalg.eigvalsh(gram)[-1]
    return Rates(float(4 * n / most), float(n / (4 * (images @ text.T).square().sum(dim=0).max())))


def train(
    start: Probe, images: Tensor, labels: Tensor, text: Tensor, epochs: int, *, reset: bool
) -> Iterator[tuple[Probe, float]]:
    """Train with full batches; yield the probe after each epoch, and the loss before it.

    Args:
        start: Where it starts.
        images: Training features of length 1, (n, d).
        labels: (n,) class numbers.
        text: One vector for each class, (c, d).
        epochs: Their number.
        reset: Whether a step of the factors takes the sum of the gradients since the last one. In the authors' code it
            takes those of all epochs so far, since the gradient is never reset.
    """
    step, classes = rates(images, text), len(text)
    weight, bias = (one.clone().requires_grad_() for one in (start.weight, start.bias))
    factors = start.factors.clone().requires_grad_()
    rule = torch.optim.SGD([weight, bias], lr=step.weight, momentum=MOMENTUM)
    gathered = torch.zeros(classes, dtype=images.dtype, device=images.device)
    for epoch in range(1, epochs + 1):
        loss = cross_entropy(Probe(weight, bias, factors).logits(images, text), labels)
        weight.grad, bias.grad, slope = torch.autograd.grad(loss, (weight, bias, factors))
        rule.step()
        gathered += slope
        if epoch % EVERY == 0:
            factors = (factors - step.factors * gathered).detach().requires_grad_()
            gathered *= not reset
        yield Probe(weight.detach().clone(), bias.detach().clone(), factors.detach()), loss.item()
