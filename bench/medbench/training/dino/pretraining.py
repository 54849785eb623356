"""DINO self-supervision of one network; `training.steps` makes the steps.

Own code instead of a library's, so that a killed pre-training resumes and gives bit-identical results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from medbench.cards.recipes import DinoPretrain
from medbench.data.prepared.crops import GLOBAL
from medbench.features.extract import exact
from medbench.progress import Advance
from medbench.seeding import generator
from medbench.training.checkpoint import State
from medbench.training.dino.parts import (
    Student,
    Teacher,
    distil,
    entropy,
    information,
    log_targets,
    make_optimizer,
    rate_at,
    temperature_at,
)
from medbench.training.machine import Machine
from medbench.training.schedule import cosine
from medbench.training.steps import Accumulated, Rows

CURVE = (
    "loss", "entropy", "information", "centre_std", "learning_rate", "weight_decay", "momentum", "temperature",
)  # fmt: skip
"""Of each epoch: mean loss, entropy of the teacher and information of its outputs on the image (nats); at its end, the
standard deviation of the centre's k numbers, and the settings of the last step."""

Crops = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class CropData:
    """Training images.

    Attributes:
        crops: Takes a list of (epoch, index), gives (2, b, g, g, c) and (l, b, s, s, c), uint8.
        n: Number of images.
        prepare: Turns (b, h, w, c) uint8, on the device, into a network's input.
    """

    crops: Dataset[Crops]
    n: int
    prepare: Callable[[Tensor], Tensor]


class Pretraining(Accumulated[Crops]):
    """One pre-training.

    Attributes:
        student: The network that the optimizer trains.
        teacher: The network that follows it.
        curve: Name of `CURVE` -> one value per epoch.
        centre: (k,) moving mean of the teacher's outputs.

    Args:
        student: At its first weights; what has no gradient does not change.
        teacher: Gets the student's weights.
        data: The data.
        settings: The recipe.
        machine: Where to compute.
        seed: Names every draw.
        what: Name of the pre-training, for people.
    """

    draws = "dino-pretrain"
    less_memory = "--set checkpointing=true, or fewer crops: --set local_crops=N"
    sums = 3

    def __init__(
        self,
        student: Student,
        teacher: Teacher,
        data: CropData,
        settings: DinoPretrain,
        machine: Machine,
        seed: int,
        what: str,
    ) -> None:
        teacher.load_state_dict(student.state_dict())
        self.student, self.teacher = machine.place(student), machine.place(teacher)
        optimizer = make_optimizer(self.student, settings)
        super().__init__(self.student, optimizer, data.crops, data.n, settings, machine, seed, what)
        self.data, self.settings = data, settings
        self.centre = torch.zeros(settings.outputs, device=machine.device)
        self.curve: dict[str, list[float]] = {name: [] for name in CURVE}

    def run(self, resume: Path) -> str:
        """Train to the end, from the checkpoint in `resume` if there is one; return why it failed, or an empty text.

        A checkpoint is also written at the end.
        """
        self.teacher.train()
        return self.run_to_end(resume)

    def embed(self, images: Dataset[Tensor], n: int) -> Tensor:
        """Return the teacher's pooled vectors (n, d) float32 of n clean images; each process computes its share."""

        def pooled(raw: Tensor) -> Tensor:
            return self.teacher.encoder.pooled(self.data.prepare(raw)).float()

        self.machine.broadcast_buffers(self.student, self.teacher)
        self.teacher.eval()
        with exact(self.machine.precision), self.machine.accelerator.autocast():
            return self.machine.predict(pooled, images, n, self.teacher.encoder.dim)

    def rows_of(self, epoch: int) -> Rows:
        """Return the (n,) images of an epoch in order."""
        return generator("dino-pretrain", "order", self.seed, epoch).permutation(self.n)

    def item(self, epoch: int, row: int) -> tuple[int, int]:
        """Return (epoch, image): the crops of each epoch are drawn anew."""
        return epoch, row

    def set_rates(self) -> None:
        """Set learning rate and weight decay of the step; only the first parameter group has weight decay."""
        now = self._now()
        for group, decay in zip(self.optimizer.param_groups, (now["weight_decay"], 0.0), strict=True):
            group["lr"], group["weight_decay"] = now["learning_rate"], decay

    def gradients(self, batch: Crops, rows: Rows) -> Tensor:
        """Return what `Accumulated` does; in the first epochs the head's last layer gets no gradient."""
        sums = super().gradients(batch, rows)
        if self.done // self.steps < self.settings.freeze_last:
            self.student.head.last.grad = None
        return sums

    def loss_of(self, batch: Crops, rows: Rows, at: slice) -> tuple[Tensor, Tensor]:
        """Return a micro-batch's part of the step's loss, and (2k + 2,) sums over its global crops.

        These are the sums of the teacher's k outputs, of its k probabilities, and of their entropies; the last one is
        the part of the loss.
        """
        machine, k = self.machine, self.settings.outputs
        large, small = (part[:, at].to(machine.device, non_blocking=True) for part in batch)
        x = [self.data.prepare(part.flatten(0, 1)) for part in (large, small) if len(part)]
        with torch.no_grad(), machine.accelerator.autocast():
            outputs = self.teacher(x[0])
        log, b = log_targets(outputs, self.centre, self._now()["temperature"]), large.shape[1]
        student = self.model(*x).view(-1, b, k)
        loss = distil(student, log.exp().view(GLOBAL, b, k), self.settings.student_temperature)
        value = loss.sum() / self.batch
        return value, torch.cat([outputs.sum(0), log.exp().sum(0), entropy(log).sum()[None], value.detach()[None]])

    def end_step(self, sums: Tensor) -> Tensor:
        """Let the teacher and the centre follow; return the step's loss, entropy and information, (3,)."""
        k, m = self.settings.outputs, self.settings.centre_momentum
        self.teacher.follow(self.student, self._now()["momentum"])
        outputs, mean, spread = (sums[:-1] / (GLOBAL * self.batch)).tensor_split([k, 2 * k])
        self.centre = self.centre * m + outputs * (1 - m)
        return torch.stack([sums[-1], spread[0], information(mean, spread[0])])

    def end_epoch(self, advance: Advance) -> bool:
        """Add the epoch to the curve; no pre-training ends early."""
        loss, entropy, information = (self.running / self.steps).tolist()
        values = (loss, entropy, information, float(self.centre.std(correction=0)), *self._now(self.done - 1).values())
        for name, value in zip(CURVE, values, strict=True):
            self.curve[name].append(value)
        epoch = self.done // self.steps
        numbers = {f"{self.what}/{name}": self.curve[name][-1] for name in CURVE}
        self.machine.accelerator.log(numbers, step=epoch - 1)
        advance(0, f"epoch {epoch}/{self.epochs}: loss {loss:.4f}, teacher's entropy {entropy:.3f}")
        return False

    def state(self) -> State:
        """Return networks, curve and sums."""
        state = State(arrays={name: np.asarray(values) for name, values in self.curve.items()})
        state.add("student", self.student.state_dict())
        state.add("teacher", self.teacher.state_dict())
        state.add("own", {"centre": self.centre, "running": self.running})
        return state

    def restore(self, state: State) -> None:
        """Put back what `state` returned."""
        self.student.load_state_dict(state.part("student"))
        self.teacher.load_state_dict(state.part("teacher"))
        own = state.part("own")
        self.centre, self.running = (own[name].to(self.machine.device) for name in ("centre", "running"))
        self.curve = {name: state.arrays[name].tolist() for name in self.curve}

    def _now(self, step: int | None = None) -> dict[str, float]:
        """Return the scheduled settings of a step, from 0; None: of the next one."""
        settings, step = self.settings, self.done if step is None else step
        return {
            "learning_rate": rate_at(step, self.steps, settings),
            "weight_decay": cosine(*settings.weight_decay, step, self.total),
            "momentum": cosine(settings.momentum, 1.0, step, self.total),
            "temperature": temperature_at(step // self.steps, settings),
        }
