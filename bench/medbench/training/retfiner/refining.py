"""RetFiner's refinement of one encoder; `training.steps` makes the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from medbench.cards.recipes import RetFiner
from medbench.errors import MedbenchError
from medbench.models.networks.units import uncounted
from medbench.progress import Advance
from medbench.seeding import generator, seed_of
from medbench.training.checkpoint import State
from medbench.training.finetune.optimizer import adamw_on_all
from medbench.training.machine import Machine
from medbench.training.retfiner.masking import Words
from medbench.training.retfiner.network import LOSSES, Batch, Refiner
from medbench.training.retfiner.reports import Reports
from medbench.training.retfiner.retrieval import recall_at_one
from medbench.training.steps import Rows, Training

CURVE = (
    "loss", *LOSSES, "matched", "val_loss", *(f"val_{name}" for name in LOSSES), "val_matched", "val_recall",
)  # fmt: skip
"""Of each epoch: the weighted sum of the losses, the four losses, and the balanced accuracy of matching; the same on
validation, and how often the nearest of all validation pairs is the right one (`recall_at_one`)."""
FOUND = len(LOSSES) + 1  # what the network gives


@dataclass(frozen=True)
class ReportData:
    """Images and their reports.

    Attributes:
        train: Takes a list of (epoch, index), gives (b, h, w, c) uint8.
        val: Takes a list of indices, gives (b, h, w, c) uint8.
        prepare: Turns them, on the device, into the network's input.
        train_reports: Reports of the training images.
        val_reports: Reports of the validation images.
        words: The vocabulary.
    """

    train: Dataset[Tensor]
    val: Dataset[Tensor]
    prepare: Callable[[Tensor], Tensor]
    train_reports: Reports
    val_reports: Reports
    words: Words


class Refining(Training[Tensor]):
    """One refinement.

    Attributes:
        refiner: The network; `run` leaves it at its best epoch.
        curve: Name of `CURVE` -> one value per epoch.
        best_epoch: The epoch, from 0, with the lowest validation loss.

    Args:
        refiner: With its first weights; parameters without a gradient do not change.
        data: The data.
        settings: The recipe.
        machine: Where to compute.
        seed: Names every draw.
        what: Name of the refinement, for people.

    Raises:
        MedbenchError: Micro-batches are asked for with several processes.
    """

    draws = "retfiner"
    less_memory = "--set checkpointing=true, or fewer tokens: --set max_tokens=N"
    sums = 1 + FOUND

    def __init__(
        self, refiner: Refiner, data: ReportData, settings: RetFiner, machine: Machine, seed: int, what: str
    ) -> None:
        self.refiner = machine.place(refiner)
        shares: dict[nn.Module, float] = {self.refiner.encoder: settings.encoder_share}
        optimizer = adamw_on_all(self.refiner, settings.learning_rate, settings.weight_decay, shares)
        n = len(data.train_reports.ids)
        several = machine.world > 1
        super().__init__(self.refiner, optimizer, data.train, n, settings, machine, seed, what, full_batch=several)
        if several and self.micro < self.batch:
            raise MedbenchError(
                f"{what}: micro_batch works only with one process; each of {machine.world} has its share at once",
                "remove micro_batch, or use one process",
            )
        self.data, self.settings = data, settings
        self.weights = torch.tensor([*settings.loss_weights.values()], device=machine.device)
        self.curve: dict[str, list[float]] = {name: [] for name in CURVE}
        self.best, self.best_epoch = np.inf, 0
        self.best_state: dict[str, Tensor] = {}

    def run(self, resume: Path) -> str:
        """Train to the end, from the checkpoint in `resume` if there is one; return why it failed, or an empty text.

        A checkpoint is also written at the end.
        """
        self.resume(resume)
        if not self._ended() and (failed := self.run_to_end(resume)):
            return failed
        if not self.best_state:
            return "the validation loss was not finite in any epoch"
        self.refiner.load_state_dict(self.best_state, strict=False)  # the tied weights have one name
        return ""

    def rows_of(self, epoch: int) -> Rows:
        """Return the (n,) pairs of an epoch in order."""
        return generator("retfiner", "order", self.seed, epoch).permutation(self.n)

    def item(self, epoch: int, row: int) -> tuple[int, int]:
        """Return (epoch, pair)."""
        return epoch, row

    def set_rates(self) -> None:
        """Leave the learning rates as they are: they are constant."""

    def gradients(self, batch: Tensor, rows: Rows) -> Tensor:
        """Compute the gradient of the step's loss; return this process's part of it, and what the network gives, (6,).

        If the images do not go through the encoder at once, they go through it in micro-batches, twice: first without a
        gradient; then, when the losses of the whole batch have given the gradient of the tokens, with the same draws
        and this gradient (Gao et al. 2021). The sum of the losses of micro-batches would be a different loss.
        """
        self.model.train()
        own = torch.from_numpy(self.machine.share(np.arange(len(rows)))).to(self.machine.device)
        reports = self._batch(self.data.train_reports, rows, "step", self.done)
        if self.micro < len(rows):
            return self._replayed(batch, reports, own)
        x = self.data.prepare(batch.to(self.machine.device, non_blocking=True))
        return self._backward(
            self.model(x, reports, own, lambda part: self.machine.gather_with_gradient(part, len(rows)))
        )

    def end_epoch(self, advance: Advance) -> bool:
        """Validate, update the best epoch and the curve; return whether the refinement ends early."""
        epoch = self.done // self.steps - 1
        values = [*(self.running / self.steps).tolist(), *self.validate()]
        for name, value in zip(CURVE, values, strict=True):
            self.curve[name].append(value)
        self.machine.accelerator.log({f"{self.what}/{name}": self.curve[name][-1] for name in CURVE}, step=epoch)
        if (loss := self.curve["val_loss"][-1]) < self.best:
            self.best, self.best_epoch = loss, epoch
            self.best_state = {name: value.detach().cpu().clone() for name, value in self.refiner.tensors().items()}
        matched, recall = self.curve["val_matched"][-1], self.curve["val_recall"][-1]
        advance(
            0,
            f"epoch {epoch + 1}/{self.epochs}: validation loss {loss:.4f}, best {self.best:.4f}; matched {matched:.3f},"
            f" recall {recall:.3f}",
        )
        return self._ended()

    @torch.no_grad()
    def validate(self) -> list[float]:
        """Return the validation part of `CURVE`; its draws are the same in every epoch, so that epochs compare."""
        machine, reports, refiner = self.machine, self.data.val_reports, self.refiner
        n = len(reports.ids)
        machine.broadcast_buffers(refiner)
        refiner.eval()
        chunks = list(enumerate(_chunks(generator("retfiner", "validation", self.seed).permutation(n), self.batch)))[
            machine.rank :: machine.world
        ]
        sums = torch.zeros(FOUND, device=machine.device)
        vectors = torch.zeros(2, n, self.settings.joint_width, device=machine.device)
        loader = machine.loader(self.data.val, [chunk.tolist() for _, chunk in chunks])
        for (number, chunk), raw in zip(chunks, loader, strict=True):
            batch = self._batch(reports, chunk, "validation", number)
            with machine.accelerator.autocast():
                seen = refiner.look(self.data.prepare(raw.to(machine.device, non_blocking=True)))
                every = torch.arange(len(chunk), device=machine.device)
                sums += refiner.losses(seen, batch, every, alone) * len(chunk) / n
                vectors[:, chunk] = torch.stack([refiner.embed_images(seen), refiner.embed_texts(batch.ids)])
        parts, vectors = (machine.accelerator.reduce(one, "sum") for one in (sums, vectors))
        loss = parts[: len(LOSSES)] @ self.weights
        recall = recall_at_one(vectors[0], vectors[1], torch.from_numpy(reports.texts).to(machine.device))
        return [float(loss), *parts.tolist(), recall]

    def state(self) -> State:
        """Return network, best epoch, curve and sums."""
        facts = {"best": repr(float(self.best)), "best_epoch": self.best_epoch}  # JSON has no infinity
        state = State(arrays={name: np.asarray(values) for name, values in self.curve.items()}, facts=facts)
        state.add("now", self.refiner.tensors())
        state.add("best", self.best_state)
        state.add("own", {"running": self.running})
        return state

    def restore(self, state: State) -> None:
        """Put back what `state` returned."""
        self.refiner.load_state_dict(state.part("now"), strict=False)
        self.best_state = state.part("best")
        self.best, self.best_epoch = float(state.facts["best"]), state.facts["best_epoch"]
        self.curve = {name: state.arrays[name].tolist() for name in self.curve}
        self.running = state.part("own")["running"].to(self.machine.device)

    def _replayed(self, batch: Tensor, reports: Batch, own: Tensor) -> Tensor:
        """Return what `gradients` does, with micro-batches."""
        autocast = self.machine.accelerator.autocast
        parts = [slice(start, start + self.micro) for start in range(0, len(own), self.micro)]
        with uncounted(self.refiner), autocast():
            seen = torch.cat([self._look(batch, part) for part in parts])
        seen = seen.detach().requires_grad_()
        torch.manual_seed(seed_of(self.draws, "network", self.seed, self.done, "losses"))
        with autocast():
            found = self.refiner.losses(seen, reports, own, alone)
        sums = self._backward(found)
        assert seen.grad is not None
        for part in parts:
            with autocast():
                again = self._look(batch, part)
            torch.autograd.backward(again, seen.grad[part])
        return sums

    def _backward(self, found: Tensor) -> Tensor:
        """Send the weighted sum of the losses backward; return it with what the network gives, (6,)."""
        value = found[: len(LOSSES)] @ self.weights
        self.machine.accelerator.backward(value * self.machine.world)  # accelerate takes the mean over the processes
        return torch.cat([value.detach()[None], found.detach()])

    def _look(self, batch: Tensor, part: slice) -> Tensor:
        """Return the tokens of a micro-batch; its draws are its own, so that they can be repeated."""
        torch.manual_seed(seed_of(self.draws, "network", self.seed, self.done, part.start))
        return self.refiner.look(self.data.prepare(batch[part].to(self.machine.device, non_blocking=True)))

    def _ended(self) -> bool:
        """Tell whether the validation loss has not improved for `patience` epochs."""
        return len(self.curve["loss"]) - 1 - self.best_epoch >= self.settings.patience

    def _batch(self, reports: Reports, rows: Rows, *names: str | int) -> Batch:
        return reports.batch(rows, self.settings, self.data.words, self.machine.device, "retfiner", self.seed, *names)


def alone(rows: Tensor) -> Tensor:
    """Return the rows as they are: there is only one process."""
    return rows


def _chunks(rows: Rows, size: int) -> list[Rows]:
    """Return rows in batches of `size`; a last row that would be alone joins the batch before it."""
    starts = [start for start in range(0, len(rows), size) if len(rows) - start > 1 or start == 0]
    return np.split(rows, starts[1:])
