"""The alignment of images with texts by category, as in FLAIR; `training.steps` makes the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from medbench.cards.recipes import FlairPretrain
from medbench.data.prepared.transforms import normalise
from medbench.models.text.tokenizers import Ids
from medbench.progress import Advance
from medbench.seeding import generator, seed_of
from medbench.training.alignment.augment import augmented, draws
from medbench.training.alignment.cached import Vectors, gathered_gradient
from medbench.training.alignment.captions import Caption, Captions, Pick, sampled
from medbench.training.alignment.losses import effective_number, floor_of, soft_loss, soft_targets
from medbench.training.alignment.network import Towers
from medbench.training.checkpoint import State
from medbench.training.finetune.optimizer import adamw_on_all
from medbench.training.machine import Machine
from medbench.training.schedule import cosine
from medbench.training.steps import Rows, Training

CURVE = ("loss", "floor", "above_floor", "categories", "learning_rate", "scale")
"""Of each epoch: mean loss, its least possible value and the difference (nats), effective number of categories in a
batch; at its end, the rate of the last step and the factor on cosines."""

Probe = Callable[[Towers], dict[str, float]]
"""Measures the towers on held-out images; every process takes part."""


@dataclass(frozen=True)
class CaptionData:
    """Training images with their texts.

    Attributes:
        images: Takes a list of (draw, image), gives (b, h, w, c) uint8.
        captions: Draws their texts.
        tokenize: Texts -> token ids, padded to the longest of them.
        mean: Mean of the input, one number per channel.
        std: Standard deviation of the input, one number per channel.
    """

    images: Dataset[Tensor]
    captions: Captions
    tokenize: Callable[[Sequence[str]], Ids]
    mean: Sequence[float]
    std: Sequence[float]


class Alignment(Training[Tensor]):
    """One pre-training.

    A row is a draw of the epoch, not an image: small data sets give the same image several times.

    Attributes:
        towers: The networks.
        curve: Name of `CURVE` -> one value per epoch.
        probes: Name of a probe -> one value per epoch, nan where it was not taken.

    Args:
        towers: With their first weights; parameters without a gradient do not change.
        data: The data.
        settings: The recipe.
        machine: Where to compute.
        seed: Names every draw.
        what: Name of the pre-training, for people.
        probe: Measures the towers every `probe_epochs` epochs and after the last one; none: nothing is measured.
    """

    draws = "flair-pretrain"
    less_memory = "--set micro_batch=N, which gives the same loss, or --set checkpointing=true"
    sums = 3

    def __init__(
        self,
        towers: Towers,
        data: CaptionData,
        settings: FlairPretrain,
        machine: Machine,
        seed: int,
        what: str,
        probe: Probe | None = None,
    ) -> None:
        self.towers = machine.place(towers)
        optimizer = adamw_on_all(self.towers, settings.learning_rate, settings.weight_decay)
        n = len(data.captions.pairs)
        super().__init__(self.towers, optimizer, data.images, n, settings, machine, seed, what)
        self.data, self.settings, self.probe = data, settings, probe
        self.curve: dict[str, list[float]] = {name: [] for name in CURVE}
        self.probes: dict[str, list[float]] = {}
        self._chosen = lru_cache(2)(self._chosen_of)  # the loader is ahead of the steps, by one epoch at most

    def run(self, resume: Path) -> str:
        """Train to the end, from the checkpoint in `resume` if there is one; return why it failed, or an empty text.

        A checkpoint is also written at the end.
        """
        return self.run_to_end(resume)

    def rows_of(self, epoch: int) -> Rows:
        """Return the (n,) draws of an epoch; which image each of them gives is drawn anew in every epoch."""
        return np.arange(self.n)

    def item(self, epoch: int, row: int) -> tuple[int, int]:
        """Return (draw, image)."""
        return row, int(self._chosen(epoch)[row])

    def set_rates(self) -> None:
        """Set the learning rate of the step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.done, self.steps, self.settings)

    def gradients(self, batch: Tensor, rows: Rows) -> Tensor:
        """Compute the gradient of the loss over the whole batch; return loss, floor and effective categories, (3,)."""
        machine, epoch = self.machine, self.done // self.steps
        captions = self.captions_of(epoch, rows)
        keys = [caption.key for caption in captions]
        tokens = self.data.tokenize([caption.text for caption in captions])
        targets = soft_targets(keys).to(machine.device)
        own = [machine.share(part).to(machine.device) for part in (tokens.ids, tokens.mask)]
        drawn = self._drawn(epoch, machine.share(rows))
        self.model.train()
        self.towers.clamp_scale()

        def forward(at: slice) -> tuple[Vectors, Vectors]:
            torch.manual_seed(seed_of(self.draws, "network", self.seed, self.done, machine.rank, at.start))
            images, texts, scale = self.model(self._prepared(batch[at], drawn[at]), own[0][at], own[1][at])
            return (images, texts), (scale,)

        def loss_of(vectors: Vectors, shared: Vectors) -> tuple[Tensor, Tensor]:
            loss = soft_loss(vectors[0], vectors[1], shared[0], targets)
            numbers = torch.tensor([0.0, floor_of(targets), effective_number(keys)], dtype=torch.float64)
            numbers = numbers.to(machine.device)
            numbers[0] = loss.detach()
            return loss, numbers / machine.world  # the processes' numbers are equal, and are added up

        share = len(batch)
        parts = [slice(start, min(start + self.micro, share)) for start in range(0, share, self.micro)]
        return gathered_gradient(forward, loss_of, parts, len(rows), self.model, machine)

    def captions_of(self, epoch: int, rows: Rows) -> list[Caption]:
        """Return the captions of draws."""
        chosen = self._chosen(epoch)
        named = ((int(row), generator(self.draws, "caption", self.seed, epoch, int(row))) for row in rows)
        return [self.data.captions.draw(int(chosen[row]), picked_by(rng)) for row, rng in named]

    def end_epoch(self, advance: Advance) -> bool:
        """Add the epoch to the curve and probe; no pre-training ends early."""
        loss, floor, categories = (self.running / self.steps).tolist()
        epoch, rate = self.done // self.steps, rate_at(self.done - 1, self.steps, self.settings)
        values = (loss, floor, loss - floor, categories, rate, float(self.towers.logit_scale.detach().exp()))
        for name, value in zip(CURVE, values, strict=True):
            self.curve[name].append(value)
        numbers = {f"{self.what}/{name}": self.curve[name][-1] for name in CURVE} | self._probed(epoch)
        self.machine.accelerator.log(numbers, step=epoch - 1)
        shown = "".join(f", {name} {own[-1]:.3f}" for name, own in self.probes.items() if own[-1] == own[-1])
        advance(0, f"epoch {epoch}/{self.epochs}: loss {loss:.4f}, {loss - floor:.4f} above its minimum{shown}")
        return False

    def state(self) -> State:
        """Return networks, curves and sums."""
        curves = {f"curve.{name}": np.asarray(values) for name, values in self.curve.items()}
        curves |= {f"probe.{name}": np.asarray(values) for name, values in self.probes.items()}
        state = State(arrays=curves)
        state.add("towers", self.towers.state_dict())
        state.add("own", {"running": self.running})
        return state

    def restore(self, state: State) -> None:
        """Put back what `state` returned."""
        self.towers.load_state_dict(state.part("towers"))
        self.running = state.part("own")["running"].to(self.machine.device)
        self.curve = {name: state.arrays[f"curve.{name}"].tolist() for name in self.curve}
        probed = (name.removeprefix("probe.") for name in state.arrays if name.startswith("probe."))
        self.probes = {name: state.arrays[f"probe.{name}"].tolist() for name in probed}

    def _probed(self, epoch: int) -> dict[str, float]:
        """Measure the towers if it is time; return the numbers for trackers."""
        if self.probe is None:
            return {}
        found: dict[str, float] = {}
        if epoch % self.settings.probe_epochs == 0 or epoch == self.epochs:
            self.machine.broadcast_buffers(self.towers)
            self.towers.eval()
            found = self.probe(self.towers)
        for name in found.keys() - self.probes.keys():
            self.probes[name] = [float("nan")] * (epoch - 1)
        for name, values in self.probes.items():
            values.append(found.get(name, float("nan")))
        return {f"{self.what}/{name}": value for name, value in found.items()}

    def _chosen_of(self, epoch: int) -> Rows:
        rng = generator(self.draws, "order", self.seed, epoch)
        order = rng.permutation(self.n)
        sources = self.data.captions.pairs.sources
        return sampled(sources, picked_by(rng), order, balance=self.settings.balance_sources)

    def _drawn(self, epoch: int, rows: Rows) -> Tensor:
        """Return the draws of the augmentation of some rows, (b, 5)."""
        drawn = [draws(self.settings, generator(self.draws, "augment", self.seed, epoch, int(row))) for row in rows]
        return torch.from_numpy(np.stack(drawn)).to(self.machine.device)

    def _prepared(self, raw: Tensor, drawn: Tensor) -> Tensor:
        """Return the network's input of a part of the batch."""
        plain = normalise(raw.to(self.machine.device, non_blocking=True), [0.0] * raw.shape[-1], [1.0] * raw.shape[-1])
        mean, std = (plain.new_tensor(values)[:, None, None] for values in (self.data.mean, self.data.std))
        return (augmented(plain, drawn) - mean) / std


def picked_by(rng: np.random.Generator) -> Pick:
    """Return the draws of a generator as captions and orders take them."""
    return lambda m: int(rng.integers(m))


def rate_at(step: int, steps: int, settings: FlairPretrain) -> float:
    """Return the learning rate at `step`, from 0, for epochs of `steps` steps.

    A linear warm-up that starts with one increment, then half a cosine that reaches 0 after `horizon_epochs`.
    """
    warm, base = settings.warmup_epochs * steps, settings.learning_rate
    if step < warm:
        return base * (step + 1) / warm
    return cosine(base, 0.0, step - warm, (settings.horizon_epochs or settings.epochs) * steps - warm)
