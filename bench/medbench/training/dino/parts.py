"""DINO's parts (Caron et al. 2021): student and teacher with their heads, the loss, the schedules."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from medbench.cards.recipes import DinoPretrain
from medbench.data.prepared.crops import GLOBAL
from medbench.models.encoder import Encoder
from medbench.seeding import seed_of
from medbench.training.schedule import warmup


class Head(nn.Module):
    """An MLP with GELU and no batch norm, unit length, and a last layer without bias whose rows have unit length.

    First weights are normal with deviation .02 (truncated at 2), biases 0; the last layer's are torch's own. They are
    drawn by name.

    Args:
        dim: Length d of what it takes.
        settings: Widths.
        seed: Of the first weights.
    """

    def __init__(self, dim: int, settings: DinoPretrain, seed: int) -> None:
        super().__init__()
        widths = [dim, *[settings.hidden] * (settings.layers - 1), settings.bottleneck]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("dino-pretrain", "head", seed))
            self.mlp = nn.Sequential(*_layers(widths))
            self.last = nn.Parameter(nn.Linear(settings.bottleneck, settings.outputs, bias=False).weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs (b, k) on [-1, 1] of vectors (b, d)."""
        inner = self.mlp(x)
        with torch.autocast(x.device.type, enabled=False):  # the temperatures blow rounding up by 1 / .04
            return linear(normalize(inner.float(), dim=1), normalize(self.last, dim=1))


def _layers(widths: list[int]) -> Iterator[nn.Module]:
    for i, (before, after) in enumerate(itertools.pairwise(widths)):
        if i:
            yield nn.GELU()
        layer = nn.Linear(before, after)
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
        yield layer


class Student(nn.Module):
    """An encoder and a head, both trained."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, *crops: Tensor) -> Tensor:
        """Return outputs (n, k) of the images of all `crops`, each (b_i, c, h_i, w_i), in order."""
        found: Tensor = self.head(torch.cat([self.encoder.pooled(x) for x in crops]))
        return found.float()


class Teacher(Student):
    """What follows the student; in training mode its batch norms alone are: no stochastic depth, no dropout."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__(encoder, head)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Teacher:
        """Set the mode of the batch norms; everything else stays in eval mode."""
        super().train(False)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = mode
        return self

    @torch.no_grad()
    def follow(self, student: Student, momentum: float) -> None:
        """Become momentum * teacher + (1 - momentum) * student in every parameter; buffers are the teacher's own."""
        for own, other in zip(self.parameters(), student.parameters(), strict=True):
            own.lerp_(other, 1 - momentum)


def log_targets(outputs: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """Return the teacher's log probabilities, log softmax((outputs - centre) / temperature) over the last axis."""
    return ((outputs - centre) / temperature).log_softmax(-1)


def distil(student: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Return each image's loss, (b,): the cross-entropy between teacher and student, averaged over pairs of crops.

    The pairs are all of a global crop at the teacher and another crop at the student (equation 3).

    Args:
        student: Outputs (v, b, k), those of the global crops first.
        targets: The teacher's probabilities of the global crops, (2, b, k).
        temperature: The student's.
    """
    log = (student / temperature).log_softmax(-1)
    # The sum over all pairs is the product of the sums; from it go the pairs of a crop with itself.
    every = (targets.sum(0) * log.sum(0)).sum(-1)
    same = (targets * log[:GLOBAL]).sum((0, 2))
    return (same - every) / (GLOBAL * (len(student) - 1))


def entropy(log: Tensor) -> Tensor:
    """Return the entropies (n,), in nats, of log probabilities (n, k)."""
    return -(log.exp() * log).sum(-1)


def information(mean: Tensor, spread: Tensor) -> Tensor:
    """Return what the teacher's outputs tell about the image, in nats: entropy of the mean less mean entropy.

    It is 0 where all images get one output, flat or sharp: those are the two ways in which DINO collapses.

    Args:
        mean: Mean of the probabilities over images, (k,).
        spread: Mean of their entropies, ().
    """
    found: Tensor = torch.special.entr(mean).sum() - spread
    return found


def cosine(start: float, end: float, step: int, steps: int) -> float:
    """Return the value at `step`, from 0, of half a cosine from `start` to `end`, which step `steps` would reach."""
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0)))


def rate_at(step: int, steps: int, settings: DinoPretrain) -> float:
    """Return the learning rate at `step`, from 0, of epochs of `steps`: a linear warm-up, then half a cosine."""
    warm = settings.warmup_epochs * steps if settings.warmup_steps is None else settings.warmup_steps
    if step < warm:
        return float(warmup(np.asarray(settings.learning_rate), step, warm))
    return cosine(settings.learning_rate, settings.min_rate, step - warm, settings.epochs * steps - warm)


def temperature_at(epoch: int, settings: DinoPretrain) -> float:
    """Return the teacher's temperature in an epoch, from 0: linear over the warm-up's epochs, then its end."""
    start, end = settings.teacher_temperature
    if epoch >= settings.teacher_warmup:
        return end
    return start + (end - start) * epoch / max(settings.teacher_warmup - 1, 1)


def make_optimizer(student: Student, settings: DinoPretrain) -> torch.optim.AdamW:
    """Return AdamW over the parameters with gradients; decay is on those of two or more axes: the first group."""
    trained = [(name, value) for name, value in student.named_parameters() if value.requires_grad]
    groups: list[list[nn.Parameter]] = [[], []]
    for name, value in trained:
        groups[value.ndim < 2 or name.endswith(".bias")].append(value)
    listed = [{"params": groups[0], "weight_decay": settings.weight_decay[0]}, {"params": groups[1], "weight_decay": 0}]
    return torch.optim.AdamW(listed, lr=settings.learning_rate, fused=True)
