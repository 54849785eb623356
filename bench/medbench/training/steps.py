"""The loop of optimizer steps that all trainings of networks share.

What a step computes depends on (seed, step) alone: the images and their order, the augmentation, every random draw
inside the network. So a killed training resumes and gives bit-identical results; the number of processes and the size
of the micro-batches change the rounding only. The exception is batch norm, which sees the images that are together.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from medbench.cards.recipes import DinoPretrain, FinetuneRecipe, FlairPretrain, RetFiner
from medbench.errors import MedbenchError
from medbench.features.extract import exact
from medbench.features.memory import kept_buffers
from medbench.models.networks.units import batch_norms
from medbench.progress import SIGNALS, Advance, Stopped, bar, say, steps
from medbench.seeding import seed_of
from medbench.training.checkpoint import State, optimizer_tensors, restore_optimizer
from medbench.training.machine import Machine, count_trainable

CHECKPOINT_SECONDS = 120.0
CHECKPOINT_SHARE = 20  # times the seconds that the last checkpoint took: saving needs less than 5 % of the time

Batch = TypeVar("Batch")
Rows = NDArray[np.int64]


class Training(ABC, Generic[Batch]):
    """A training of a network, step by step.

    A subclass defines the order of the images (`rows_of`, `item`), a step (`set_rates`, `gradients`, `end_step`), the
    end of an epoch (`end_epoch`) and the checkpoint (`state`, `restore`). This class makes the steps, resumes, saves
    and, if memory runs out, continues with smaller micro-batches.

    Attributes:
        network: The trained network, on its device.
        inner: The same, compiled if asked for, under the machine's precision: for validation.
        model: The same, under the wrapper of several processes: for training.
        optimizer: Its optimizer.
        batch: Images per step.
        steps: Steps per epoch; the images that fill no batch are dropped, or a smaller batch with `keep_rest`.
        total: Steps of the training.
        micro: Images that a process computes at once.
        done: Steps made.
        running: (j,) float64, sums over the epoch's steps of what `end_step` returns.
        told: For each of `SIGNALS`, how many processes had received it before the last step. All processes learn this
            together with the step's sums, and so leave after the same step.
        images: Images trained on since the training started or resumed.
        seconds: Seconds that took.
        identity: Facts that a checkpoint must agree with to be resumed.
        draws: First name of all random draws.
        less_memory: How to need less memory than with micro-batches of one image.

    Args:
        network: The network to train, on the machine's device; only parameters with gradients change.
        optimizer: Its optimizer.
        images: Takes a list of what `item` returns, gives a batch.
        n: Number of training images.
        settings: The recipe.
        machine: Where to compute.
        seed: Names every draw.
        what: Name of the training, for people.
        compiled: Whether to compile the network.
        full_batch: Whether the loss needs all images of a batch at once, so that memory cannot be saved by smaller
            micro-batches.
    """

    draws: ClassVar[str]
    less_memory: ClassVar[str] = "--set checkpointing=true"
    sums: ClassVar[int] = 1  # length of `running`

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        images: Dataset[Batch],
        n: int,
        settings: FinetuneRecipe | DinoPretrain | FlairPretrain | RetFiner,
        machine: Machine,
        seed: int,
        what: str,
        *,
        compiled: bool = False,
        full_batch: bool = False,
    ) -> None:
        self.network, self.optimizer, self.train_images, self.n = network, optimizer, images, n
        self.machine, self.seed, self.what, self.full_batch = machine, seed, what, full_batch
        self.epochs, self.clip = settings.epochs, settings.clip
        self.batch = min(settings.batch_size, n)
        rest = getattr(settings, "keep_rest", False) and n % self.batch >= machine.world
        self.steps = n // self.batch + rest
        self.total = self.steps * self.epochs
        self.micro = min(settings.micro_batch or self.batch, self.batch)
        # accelerate puts autocast into this module itself, so validation can use it without the processes' wrapper.
        self.inner: Any = torch.compile(network) if compiled else network
        self.model, self.stepper = machine.accelerator.prepare(self.inner, optimizer)
        self.done = self.images = 0
        self.seconds = 0.0
        self.identity: dict[str, Any] = {"seed": seed}
        self.running = torch.zeros(self.sums, dtype=torch.float64, device=machine.device)
        self.told = self._signals(0)

    @abstractmethod
    def rows_of(self, epoch: int) -> Rows:
        """Return the (n,) rows of an epoch in the order in which they are seen."""

    @abstractmethod
    def item(self, epoch: int, row: int) -> tuple[int, int]:
        """Return what the images are asked for to get a row."""

    @abstractmethod
    def set_rates(self) -> None:
        """Set learning rates and the like for the next step."""

    @abstractmethod
    def gradients(self, batch: Batch, rows: Rows) -> Tensor:
        """Compute the gradient of the step's loss; return (j,) numbers to add up over the processes, the loss first.

        Args:
            batch: This process's share of the step's batch.
            rows: The rows of the step, over all processes.
        """

    def end_step(self, sums: Tensor) -> Tensor:
        """Finish a step that the optimizer has made; return the numbers to add up over the epoch, the loss first.

        Args:
            sums: The sums of what `gradients` returns over all processes.
        """
        return sums

    @abstractmethod
    def end_epoch(self, advance: Advance) -> bool:
        """Finish an epoch; return whether the training ends here."""

    @abstractmethod
    def state(self) -> State:
        """Return what only the subclass knows of the training's state."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Put back what `state` returned."""

    def facts(self) -> dict[str, float]:
        """Return what the training cost."""
        return {
            "trainable_parameters": count_trainable(self.network),
            "micro_batch": self.micro,
            "train_images_per_second": self.images / self.seconds if self.seconds else 0.0,
        }

    def run_steps(self, file: Path) -> int | None:
        """Make all steps, from a checkpoint in `file` if there is one; it is renewed at bounded intervals.

        Returns:
            None; or, if a loss was not finite, the number of its step, from 1, after which the training stopped.

        Raises:
            Stopped: This process, or another one that trains with it, was told to stop. The state was saved, unless the
                training had just ended early or its loss was not finite: then that is computed again from the last
                checkpoint.
        """
        self.resume(file)
        first, began = self.done, time.perf_counter()
        with (
            steps() as to_stop,
            bar(self.what, self.total, "steps", done=self.done) as advance,
            exact(self.machine.precision),
            kept_buffers(),
        ):
            broken = self._make_steps(file, to_stop, advance)
            # A signal in the last steps is known to its own process alone: all leave now, or none does.
            if number := self._told_now(to_stop()):
                if broken is None and self.done == self.total:  # a training that ended early would go on from a state
                    self.save(file)
                raise Stopped(number)
        if broken is None:
            self.images, self.seconds = (self.done - first) * self.batch, time.perf_counter() - began
        return broken

    def _make_steps(self, file: Path, to_stop: Callable[[], int], advance: Advance) -> int | None:
        """Make the steps that are left; return what `run_steps` does."""
        saved, interval = time.monotonic(), CHECKPOINT_SECONDS
        for batch, rows in self._batches():
            before, told = self.running, self.told
            self.told = self._signals(to_stop())
            self.running = self.running + self._step(batch, rows)
            self.done += 1
            ends = self.done % self.steps == 0
            # Look at the sum before this step: waiting for this step's own sum would leave a GPU without work.
            for step, sums in ((self.done - 1, before), (self.done, self.running))[: 1 + ends]:
                if not np.isfinite(float(sums[0])):
                    return step
            if ends:
                ended, self.running = self.end_epoch(advance), torch.zeros_like(self.running)
                if ended:
                    break
            advance(1)
            if number := to_stop() if self.machine.world == 1 else _first(told):
                self.save(file)
                raise Stopped(number)
            if time.monotonic() - saved > interval:
                interval = max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * self.save(file))
                saved = time.monotonic()
        return None

    def run_to_end(self, file: Path) -> str:
        """Make all steps as `run_steps`, write a checkpoint at the end too; return why it failed, or an empty text."""
        broken = self.run_steps(file)
        if broken is not None:
            return f"the loss is not finite at step {broken}"
        if self.images:
            self.save(file)
        return ""

    def save(self, file: Path) -> float:
        """Write a checkpoint (the first process does); return the seconds it took."""
        began = time.monotonic()
        if self.machine.rank == 0:
            state, scaler = self.state(), self.machine.accelerator.scaler
            state.add("optimizer", optimizer_tensors(self.optimizer))
            state.facts |= {**self.identity, "done": self.done, "micro": self.micro}
            state.facts["scaler"] = scaler.state_dict() if scaler is not None else {}
            state.save(file)
        return time.monotonic() - began

    def resume(self, file: Path) -> None:
        """Continue from a checkpoint, if there is one of the same `identity`."""
        state = State.load(file, self.identity)
        if state is None:
            return
        self.restore(state)
        restore_optimizer(self.optimizer, state.part("optimizer"))
        self.done, self.micro = state.facts["done"], min(state.facts["micro"], self.micro)
        if self.machine.accelerator.scaler is not None and state.facts["scaler"]:
            self.machine.accelerator.scaler.load_state_dict(state.facts["scaler"])

    def _batches(self) -> Iterator[tuple[Batch, Rows]]:
        """Yield this process's share of the batch, and the rows over all processes, of each step that is left."""
        ahead, left = itertools.tee(self._rows_left(self.done))  # the loader runs ahead of the steps
        own = ([self.item(epoch, int(row)) for row in self.machine.share(rows)] for epoch, rows in ahead)
        for batch, (_, rows) in zip(self.machine.loader(self.train_images, own), left, strict=True):
            yield batch, rows

    def _rows_left(self, done: int) -> Iterator[tuple[int, Rows]]:
        """Yield the epoch and the rows of each step after the first `done`."""
        for epoch in range(done // self.steps, self.epochs):
            rows = self.rows_of(epoch)
            for at in range(max(done - epoch * self.steps, 0), self.steps):
                yield epoch, rows[at * self.batch : (at + 1) * self.batch]

    def _step(self, batch: Batch, rows: Rows) -> Tensor:
        """Make one optimizer step on a batch; return its numbers."""
        self.set_rates()
        while (sums := self._try_gradients(batch, rows)) is None:
            self._halve(len(self.machine.share(rows)))
        if self.clip is not None:
            self.machine.accelerator.clip_grad_norm_(self.network.parameters(), self.clip)
        self.stepper.step()
        everywhere = self.machine.accelerator.reduce(torch.cat([sums, self.told.to(sums)]), "sum")
        self.told = everywhere[len(sums) :]
        return self.end_step(everywhere[: len(sums)])

    def _signals(self, number: int) -> Tensor:
        """Return for each signal that stops work whether this process was told by it; empty if it works alone."""
        told = torch.zeros(len(SIGNALS) if self.machine.world > 1 else 0, device=self.machine.device)
        if len(told) and number:
            told[SIGNALS.index(signal.Signals(number))] = 1.0
        return told

    def _told_now(self, number: int) -> int:
        """Return the signal that this process, or another one that trains with it, has received; 0: none. All wait."""
        if self.machine.world == 1:
            return number
        return _first(self.machine.accelerator.reduce(self._signals(number), "sum"))

    def _try_gradients(self, batch: Batch, rows: Rows) -> Tensor | None:
        """Compute the gradient from the step's own draws; return None if memory runs out."""
        self.stepper.zero_grad()
        torch.manual_seed(seed_of(self.draws, "network", self.seed, self.done, self.machine.rank))
        try:
            return self.gradients(batch, rows)
        except torch.OutOfMemoryError:
            if self.machine.world > 1:  # the other processes wait in this step and cannot repeat it: all must end
                raise
            return None

    def _halve(self, share: int) -> None:
        """Halve the micro-batch of a process whose share of the batch is `share` images.

        Raises:
            MedbenchError: It is one image, the loss needs all images at once, or batch norm would see others.
        """
        at_once = min(self.micro, share)
        if at_once > 1 and any(norm.training for norm in batch_norms(self.network)):
            raise MedbenchError(
                f"{self.what}: out of memory with {at_once} images at once; fewer images would change batch norm and "
                f"the result",
                f"give --set micro_batch={at_once // 2}, which becomes part of the unit's key, or {self.less_memory}",
            )
        if self.full_batch or at_once == 1:
            smaller = "; or a smaller batch: --set batch_size=N" if self.full_batch else ""
            raise MedbenchError(
                f"{self.what}: out of memory with a micro-batch of {at_once}", f"give {self.less_memory}{smaller}"
            )
        self.micro = at_once // 2
        torch.cuda.empty_cache()
        say(f"{self.what}: out of memory; continues with micro-batches of {self.micro}, accumulated to the same batch")


class Accumulated(Training[Batch]):
    """A training whose loss is a sum over the images, so that the gradients of micro-batches can be added up."""

    @abstractmethod
    def loss_of(self, batch: Batch, rows: Rows, at: slice) -> tuple[Tensor, Tensor]:
        """Return a micro-batch's part of the step's loss, (), and (j,) numbers to add up over all its micro-batches.

        Args:
            batch: This process's share of the step's batch.
            rows: The rows of the step, over all processes.
            at: Which images of the share make up the micro-batch.
        """

    def gradients(self, batch: Batch, rows: Rows) -> Tensor:
        """Add up the gradients of this process's micro-batches; return the sums of their numbers."""
        accelerator, share = self.machine.accelerator, len(self.machine.share(rows))
        sums = torch.zeros((), device=self.machine.device)
        self.model.train()
        for start in range(0, share, self.micro):
            last = start + self.micro >= share
            with contextlib.nullcontext() if last else accelerator.no_sync(self.model):
                loss, part = self.loss_of(batch, rows, slice(start, start + self.micro))
                accelerator.backward(loss * self.machine.world)  # accelerate takes the mean over the processes
            sums = sums + part
        return sums


def _first(told: Tensor) -> int:
    """Return the first of the signals that a process was told by; 0: none was."""
    return next((number for number, count in zip(SIGNALS, told.tolist(), strict=True) if count), 0)
