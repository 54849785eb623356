"""The loop of DINO self-supervision, in the manner of `loop`: what a step does depends on (seed, step) alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import broadcast
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from medbench.cards.recipes import DinoPretrain
from medbench.data.prepared.crops import GLOBAL
from medbench.errors import MedbenchError
from medbench.features.extract import exact
from medbench.progress import Advance, bar, say
from medbench.seeding import generator, seed_of
from medbench.training.checkpoint import load_state, save_state
from medbench.training.dino.parts import (
    Student,
    Teacher,
    cosine,
    distil,
    entropy,
    information,
    log_targets,
    make_optimizer,
    rate_at,
    temperature_at,
)
from medbench.training.finetune.fit import CHECKPOINT_SECONDS, CHECKPOINT_SHARE, EVAL_BATCH
from medbench.training.finetune.optimizer import optimizer_arrays, restore_optimizer
from medbench.training.machine import Machine, count_trainable

if TYPE_CHECKING:
    pass

CURVE = (
    "loss", "entropy", "information", "centre_std", "learning_rate", "weight_decay", "momentum", "temperature",
)  # fmt: skip
"""Of each epoch: mean loss, entropy of the teacher and information of its outputs on the image (nats); at its end, the
deviation of the centre's k numbers, and what the last step was made with."""


@dataclass(frozen=True)
class Pictures:
    """Training images.

    Attributes:
        crops: List of (epoch, index) -> (2, b, g, g, c) and (l, b, s, s, c), uint8.
        n: How many images.
        prepare: (b, h, w, c) uint8 on the device -> a network's input.
    """

    crops: Dataset[tuple[Tensor, Tensor]]
    n: int
    prepare: Callable[[Tensor], Tensor]


class Pretraining:
    """The state of one pre-training.

    Attributes:
        done: Steps made.
        curve: Name of `CURVE` -> one value an epoch.
        centre: (k,) moving mean of the teacher's outputs.
        running: (3,) sums over the epoch's steps of loss, entropy, information.

    Args:
        student: At its first weights; what has no gradient stays as it is.
        teacher: Takes the student's weights.
        pictures: The data.
        settings: The recipe.
        machine: Where to compute.
        seed: Names every draw.
        what: For people.
    """

    def __init__(
        self,
        student: Student,
        teacher: Teacher,
        pictures: Pictures,
        settings: DinoPretrain,
        machine: Machine,
        seed: int,
        what: str,
    ) -> None:
        self.pictures, self.settings, self.machine, self.seed, self.what = pictures, settings, machine, seed, what
        self.batch = min(settings.batch_size, pictures.n)
        self.steps = pictures.n // self.batch  # per epoch; the rest that fills no batch is dropped
        self.micro = min(settings.micro_batch or self.batch, self.batch)
        teacher.load_state_dict(student.state_dict())
        self.student, self.teacher = self._placed(student), self._placed(teacher)
        self.optimizer = make_optimizer(self.student, settings)
        self.model, self.stepper = machine.accelerator.prepare(self.student, self.optimizer)
        self.centre = torch.zeros(settings.outputs, device=machine.device)
        self.running = torch.zeros(3, dtype=torch.float64, device=machine.device)
        self.done = 0
        self.curve: dict[str, list[float]] = {name: [] for name in CURVE}
        self.images, self.seconds = 0, 0.0

    @property
    def total(self) -> int:
        """Steps of the whole pre-training."""
        return self.steps * self.settings.epochs

    def run(self, resume: Path) -> str:
        """Train to the end, from a saved state if there is one; returns why it broke, or an empty text.

        The state is renewed at bounded intervals and at the end.
        """
        load_pretraining(resume, self)
        first, began = self.done, time.perf_counter()
        saved, interval = time.monotonic(), CHECKPOINT_SECONDS
        self.student.train()
        self.teacher.train()
        with bar(self.what, self.total, "steps", done=self.done) as advance, exact(self.machine.precision):
            for crops in self.machine.loader(self.pictures.crops, self._order(self.done)):
                before, self.running = self.running, self.running + self._step(crops)
                self.done += 1
                ends = self.done % self.steps == 0
                # The sum before this step: to wait for this step's own would leave a GPU without work.
                for step, sums in ((self.done - 1, before), (self.done, self.running))[: 1 + ends]:
                    if not np.isfinite(float(sums[0])):
                        return f"the loss is not finite at step {step}"
                if ends:
                    self._end_epoch(advance)
                advance(1)
                if time.monotonic() - saved > interval:
                    interval = max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * save_pretraining(resume, self))
                    saved = time.monotonic()
        self.images, self.seconds = (self.done - first) * self.batch, time.perf_counter() - began
        if self.images:
            save_pretraining(resume, self)
        return ""

    def facts(self) -> dict[str, float]:
        """Return what it cost."""
        return {
            "trainable_parameters": count_trainable(self.student),
            "micro_batch": self.micro,
            "train_images_per_second": self.images / self.seconds if self.seconds else 0.0,
        }

    def embed(self, images: Dataset[Tensor], n: int) -> Tensor:
        """Return the teacher's pooled vectors (n, d) float32 of n clean images, each process doing its share."""
        own, size, device = self.machine.share(np.arange(n)), EVAL_BATCH[self.machine.device.type], self.machine.device
        parts = [torch.zeros(0, self.teacher.encoder.dim, device=device)]
        batches = [own[i : i + size].tolist() for i in range(0, len(own), size)]
        self._agree()
        self.teacher.eval()
        with torch.inference_mode(), exact(self.machine.precision), self.machine.accelerator.autocast():
            for raw in self.machine.loader(images, batches):
                x = self.pictures.prepare(raw.to(device, non_blocking=True))
                parts.append(self.teacher.encoder.pooled(x).float())
        return self.machine.whole(torch.cat(parts), n)

    def _placed(self, network: Any) -> Any:
        if self.machine.world > 1 and self.machine.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network.to(self.machine.device)

    def _agree(self) -> None:
        """Give all processes the first one's buffers: each has run batch norm on its own images."""
        if self.machine.world > 1:
            for value in (*self.student.buffers(), *self.teacher.buffers()):
                value.copy_(broadcast(value))

    def _order(self, done: int) -> Iterator[list[tuple[int, int]]]:
        """Yield this process's (epoch, index) pairs of each step after the first `done`."""
        for epoch in range(done // self.steps, self.settings.epochs):
            rows = generator("dino-pretrain", "order", self.seed, epoch).permutation(self.pictures.n)
            for at in range(max(done - epoch * self.steps, 0), self.steps):
                own = self.machine.share(rows[at * self.batch : (at + 1) * self.batch])
                yield [(epoch, int(row)) for row in own]

    def _step(self, crops: tuple[Tensor, Tensor]) -> Tensor:
        """One optimizer step on a whole batch; returns its (3,) loss, entropy and information."""
        settings, epoch = self.settings, self.done // self.steps
        now = self._now()
        for group, decay in zip(self.optimizer.param_groups, (now["weight_decay"], 0.0), strict=True):
            group["lr"], group["weight_decay"] = now["learning_rate"], decay
        while True:
            self.stepper.zero_grad()
            torch.manual_seed(seed_of("dino-pretrain", "network", self.seed, self.done, self.machine.rank))
            try:
                sums = self._gradients(crops, now["temperature"])
                break
            except torch.OutOfMemoryError:
                if self.machine.world > 1:  # the other processes wait in this very step: only an end of all helps
                    raise
                self._halve(crops[0].shape[1])
        if epoch < settings.freeze_last:
            self.student.head.last.grad = None
        self.machine.accelerator.clip_grad_norm_(self.student.parameters(), settings.clip)
        self.stepper.step()
        self.teacher.follow(self.student, now["momentum"])
        return self._noted(self.machine.accelerator.reduce(sums, "sum"))

    def _now(self) -> dict[str, float]:
        """Return what this step is made with."""
        settings = self.settings
        return {
            "learning_rate": rate_at(self.done, self.steps, settings),
            "weight_decay": cosine(*settings.weight_decay, self.done, self.total),
            "momentum": cosine(settings.momentum, 1.0, self.done, self.total),
            "temperature": temperature_at(self.done // self.steps, settings),
        }

    def _gradients(self, crops: tuple[Tensor, Tensor], temperature: float) -> Tensor:
        """Accumulate the gradient over this process's micro-batches.

        Returns:
            (2k + 2,) sums over this process's global crops: of the teacher's k outputs, of its k probabilities, of
            their entropies; last, this process's part of the loss.
        """
        machine, k, held = self.machine, self.settings.outputs, crops[0].shape[1]
        sums = torch.zeros(2 * k + 2, device=machine.device)
        for start in range(0, held, self.micro):
            large, small = (part[:, start : start + self.micro].to(machine.device, non_blocking=True) for part in crops)
            last, b = start + self.micro >= held, large.shape[1]
            with contextlib.nullcontext() if last else machine.accelerator.no_sync(self.model):
                x = [self.pictures.prepare(part.flatten(0, 1)) for part in (large, small) if len(part)]
                with torch.no_grad(), machine.accelerator.autocast():
                    outputs = self.teacher(x[0])
                log = log_targets(outputs, self.centre, temperature)
                student = self.model(*x).view(-1, b, k)
                loss = distil(student, log.exp().view(GLOBAL, b, k), self.settings.student_temperature)
                value = loss.sum() / self.batch
                machine.accelerator.backward(value * machine.world)  # which averages over the processes
            sums += torch.cat([outputs.sum(0), log.exp().sum(0), entropy(log).sum()[None], value.detach()[None]])
        return sums

    def _noted(self, sums: Tensor) -> Tensor:
        """Move the centre by a whole batch's sums; returns (3,) its loss, entropy and information."""
        k, m = self.settings.outputs, self.settings.centre_momentum
        outputs, mean, spread = (sums[:-1] / (GLOBAL * self.batch)).tensor_split([k, 2 * k])
        self.centre = self.centre * m + outputs * (1 - m)
        return torch.stack([sums[-1], spread[0], information(mean, spread[0])]).double()

    def _halve(self, held: int) -> None:
        """Halve the micro-batch.

        Raises:
            MedbenchError: It is one image.
        """
        if min(self.micro, held) == 1:
            raise MedbenchError(
                f"{self.what}: out of memory with the crops of one image", "--set checkpointing=true, or fewer crops"
            )
        self.micro = min(self.micro, held) // 2
        torch.cuda.empty_cache()
        say(f"{self.what}: out of memory; goes on with {self.micro} images at once, accumulated to the same batch")

    def _end_epoch(self, advance: Advance) -> None:
        self.done -= 1
        now = self._now()
        self.done += 1
        loss, entropy, information = (self.running / self.steps).tolist()
        values = (loss, entropy, information, float(self.centre.std(correction=0)), *now.values())
        for name, value in zip(CURVE, values, strict=True):
            self.curve[name].append(value)
        self.running = torch.zeros_like(self.running)
        epoch = self.done // self.steps
        numbers = {f"{self.what}/{name}": self.curve[name][-1] for name in CURVE}
        self.machine.accelerator.log(numbers, step=epoch - 1)
        advance(0, f"epoch {epoch}/{self.settings.epochs}: loss {loss:.4f}, teacher's entropy {entropy:.3f}")


def save_pretraining(file: Path, work: Pretraining) -> float:
    """Write the state (the first process does); returns the seconds that took."""
    began = time.monotonic()
    if work.machine.rank == 0:
        tensors = {f"student.{name}": value for name, value in work.student.state_dict().items()}
        tensors |= {f"teacher.{name}": value for name, value in work.teacher.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in optimizer_arrays(work.optimizer).items()}
        tensors |= {"own.centre": work.centre, "own.running": work.running}
        scaler = work.machine.accelerator.scaler
        facts = {"seed": work.seed, "done": work.done, "micro": work.micro}
        facts["scaler"] = scaler.state_dict() if scaler is not None else {}
        arrays: dict[str, NDArray[Any]] = {name: np.asarray(values) for name, values in work.curve.items()}
        save_state(file, tensors, arrays, facts)
    return time.monotonic() - began


def load_pretraining(file: Path, work: Pretraining) -> None:
    """Take up the state of an unfinished pre-training, if there is one of this seed."""
    state = load_state(file, {"seed": work.seed})
    if state is None:
        return
    tensors, arrays, facts = state
    parts: dict[str, dict[str, Tensor]] = {"student": {}, "teacher": {}, "optimizer": {}, "own": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    work.student.load_state_dict(parts["student"])
    work.teacher.load_state_dict(parts["teacher"])
    restore_optimizer(work.optimizer, parts["optimizer"])
    work.centre, work.running = (parts["own"][name].to(work.machine.device) for name in ("centre", "running"))
    work.curve = {name: arrays[name].tolist() for name in work.curve}
    work.done, work.micro = facts["done"], min(facts["micro"], work.micro)
    if work.machine.accelerator.scaler is not None and facts["scaler"]:
        work.machine.accelerator.scaler.load_state_dict(facts["scaler"])
