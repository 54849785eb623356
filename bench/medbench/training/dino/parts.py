"""The parts of DINO (Caron et al. 2021): student and teacher with their heads, the loss, the schedules."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from medbench.cards.recipes import DinoPretrain
from medbench.data.prepared.crops import GLOBAL
from medbench.models.encoder import Encoder
from medbench.seeding import seed_of
from medbench.training.schedule import cosine, warmup, warmup_steps


class Head(nn.Module):
    """An MLP with GELU and no batch norm, normalised to unit length, and a last layer of unit-length rows and no bias.

    The MLP's first weights are normal with standard deviation .02 (truncated at 2) and its biases 0; the last layer's
    first weights are torch's own. All are drawn by name.

    Args:
        dim: Length d of its input.
        settings: Number and widths of the layers.
        seed: Names the first weights.
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
        with torch.autocast(x.device.type, enabled=False):  # the temperatures multiply rounding errors by 1 / .04
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
    """A network that follows the student; only its batch norms ever train, not dropout or stochastic depth."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__(encoder, head)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Teacher:
        """Set the mode of the batch norms; all other modules stay in eval mode."""
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

    A pair is a global crop for the teacher and any other crop for the student (equation 3).

    Args:
        student: The student's outputs, (v, b, k), global crops first.
        targets: The teacher's probabilities of the global crops, (2, b, k).
        temperature: The student's temperature.
    """
    log = (student / temperature).log_softmax(-1)
    # The sum over all pairs is the product of the sums; the pairs of a crop with itself are subtracted.
    every = (targets.sum(0) * log.sum(0)).sum(-1)
    same = (targets * log[:GLOBAL]).sum((0, 2))
    return (same - every) / (GLOBAL * (len(student) - 1))


def entropy(log: Tensor) -> Tensor:
    """Return the entropies (n,), in nats, of log probabilities (n, k)."""
    return -(log.exp() * log).sum(-1)


def information(mean: Tensor, spread: Tensor) -> Tensor:
    """Return the information of the teacher's outputs on the image, in nats: entropy of the mean minus mean entropy.

    It is 0 if all images get the same output, flat or sharp: these are the two ways in which DINO collapses.

    Args:
        mean: Mean of the probabilities over the images, (k,).
        spread: Mean of their entropies, ().
    """
    found: Tensor = torch.special.entr(mean).sum() - spread
    return found


def rate_at(step: int, steps: int, settings: DinoPretrain) -> float:
    """Return the learning rate at `step`, from 0, for epochs of `steps` steps: linear warm-up, then half a cosine."""
    warm = warmup_steps(steps, settings)
    if step < warm:
        return float(warmup(np.asarray(settings.learning_rate), step, warm))
    return cosine(settings.learning_rate, settings.min_rate, step - warm, settings.epochs * steps - warm)


def temperature_at(epoch: int, settings: DinoPretrain) -> float:
    """Return the teacher's temperature in an epoch, from 0: linear over the warm-up, then constant."""
    start, end = settings.teacher_temperature
    if epoch >= settings.teacher_warmup:
        return end
    return start + (end - start) * epoch / max(settings.teacher_warmup - 1, 1)


def make_optimizer(student: Student, settings: DinoPretrain) -> torch.optim.AdamW:
    """Return AdamW over the parameters with gradients; the first group, those of two or more axes, has weight decay."""
    trained = [(name, value) for name, value in student.named_parameters() if value.requires_grad]
    groups: list[list[nn.Parameter]] = [[], []]
    for name, value in trained:
        groups[value.ndim < 2 or name.endswith(".bias")].append(value)
    listed = [{"params": groups[0], "weight_decay": settings.weight_decay[0]}, {"params": groups[1], "weight_decay": 0}]
    return torch.optim.AdamW(listed, lr=settings.learning_rate, fused=True)
