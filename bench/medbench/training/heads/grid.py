"""A grid of heads on cached features, one per seed and candidate, trained as one batched problem.

`Grid` is what all kinds of heads share; `train_grid` trains linear heads, whose candidates are learning rates. All
heads train in batched matrix products, and the heads of a seed share its batches. Each seed has its own initial weights
and its own order of images and views; each head has its own learning rate, plateau and best epoch. The result is that
of training each head alone: the tests compare it with torch.nn.Linear, AdamW and ReduceLROnPlateau. Own code, because
torch would train the heads one after the other.
"""

from __future__ import annotations

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medbench import metrics
from medbench.cards.recipes import LinearFrozen, Recipe
from medbench.progress import bar, steps
from medbench.seeding import generator
from medbench.training.checkpoint import State
from medbench.training.heads.linear import initial, loss_and_slope, order, predict
from medbench.training.schedule import Plateau, rate_at, warmup_steps

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # torch's defaults for AdamW
CHECKPOINT_SECONDS = 60.0
STOPPING = ("held", "stale", "stopped")  # arrays of early stopping's state


@dataclass(frozen=True)
class Problem:
    """What the heads are trained and chosen on; it holds no test label.

    Attributes:
        train: Features of the training images, one (n, d) float32 for each view; of attentive heads tokens (n, t, d).
        train_targets: (n,) int64, or (n, c) float32 zeros and ones for multilabel tasks.
        val: Features of the clean validation images, (m, d) float32, or tokens (m, t, d).
        val_targets: (m,) or (m, c), numpy.
        classes: Number of classes c.
        metric: Id of the metric that epochs and learning rates are chosen by.
    """

    train: Sequence[NDArray[np.float32] | Tensor]
    train_targets: Tensor
    val: NDArray[np.float32] | Tensor
    val_targets: NDArray[np.integer]
    classes: int
    metric: str

    @property
    def multilabel(self) -> bool:
        """Whether a sample can have several classes."""
        return self.train_targets.ndim == 2


@dataclass(frozen=True)
class GridResult:
    """The heads at their best epochs, and their training; s seeds, l candidates, e epochs.

    Attributes:
        weight: Parameters of each head, (s, l, …) float32; of linear heads (s, l, c, d + 1), the bias last.
        best: Validation metric at the best epoch, (s, l).
        best_epoch: Number of that epoch, from 0, (s, l).
        curve: Validation metric after each epoch, (e, s, l).
        loss: Mean training loss of each epoch, (e, s, l).
        rate: Learning rate at the end of each epoch, (e, s, l).
        steps: Steps per epoch.
    """

    weight: Tensor
    best: NDArray[np.float64]
    best_epoch: NDArray[np.int64]
    curve: NDArray[np.float64]
    loss: NDArray[np.float64]
    rate: NDArray[np.float64]
    steps: int


def train_grid(
    problem: Problem, settings: LinearFrozen, seeds: list[int], device: torch.device, resume: Path | None = None
) -> GridResult:
    """Train one head for each seed and learning rate.

    Args:
        problem: Features and targets.
        settings: The recipe.
        seeds: Each names its own initial weights and order.
        device: Where to compute.
        resume: Checkpoint of an unfinished training, renewed about once a minute. A killed training resumes from it
            and gives bit-identical results, since the draws of an epoch depend on (seed, epoch) alone.
    """
    with _one_thread(device):
        return LinearGrid(problem, settings, seeds, device).train(resume)


class Grid(ABC):
    """The state of the training: weights, moments, plateaus and the best so far.

    A subclass defines the heads: `first`, their first weights; `gradient`, one batch's; and `log_odds`, of validation.

    Attributes:
        weight: (s, l, r, p) float32 for s seeds and l candidates; the last p - `decayed` columns have no weight decay.
        decayed: Number of columns with weight decay.
        base: Learning rate of each head, (s, l).
        decay: Weight decay of each candidate, (l,).

    Args:
        problem: Features and targets.
        settings: The recipe.
        seeds: Each names its own initial weights and order.
        device: Where to compute.
        first: First weights of each seed's heads, (s, r, p).
        decayed: Number of columns with weight decay.
        candidates: Learning rate and weight decay of each candidate.
    """

    def __init__(
        self,
        problem: Problem,
        settings: Recipe,
        seeds: list[int],
        device: torch.device,
        first: Tensor,
        decayed: int,
        candidates: Sequence[tuple[float, float]],
    ) -> None:
        self.problem, self.settings, self.seeds, self.device = problem, settings, seeds, device
        self.views, self.n = len(problem.train), int(problem.train[0].shape[0])
        self.targets, self.decayed = problem.train_targets.to(device), decayed
        self.batch = min(settings.batch_size, self.n)
        self.steps = self.n // self.batch
        self.weight = first[:, None].repeat(1, len(candidates), 1, 1).to(device)
        self.mean, self.square = torch.zeros_like(self.weight), torch.zeros_like(self.weight)
        self.best_weight, self.root = self.weight.clone(), torch.empty_like(self.weight)
        rates, decays = zip(*candidates, strict=True)
        self.base = np.tile(np.asarray(rates, dtype=np.float64), (len(seeds), 1))
        self.decay = np.asarray(decays, dtype=np.float64)
        self.warm = warmup_steps(self.steps, settings)
        self.sign = metrics.get(problem.metric).sign  # `best` and `held` are gains, sign * metric: higher is better
        self.plateau = Plateau(
            self.base.shape, settings.plateau_factor, settings.plateau_patience, settings.plateau_threshold, self.sign
        )
        self.best = np.full(self.base.shape, -np.inf)
        self.best_epoch = np.zeros(self.base.shape, dtype=np.int64)
        self.held = np.full(self.base.shape, -np.inf)  # early stopping's best value
        self.stale = np.zeros(self.base.shape, dtype=np.int64)  # epochs since then
        self.stopped = np.zeros(self.base.shape, dtype=bool)
        self.curve, self.loss, self.rate = (np.zeros((settings.epochs, *self.base.shape)) for _ in range(3))

    @abstractmethod
    def gradient(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each head on its seed's batch, (s, l), and its gradient, in the shape of `weight`.

        Args:
            rows: Rows view * n + image of each seed's batch, (s, b).
            targets: Their targets, (s, b) or (s, b, c).
        """

    @abstractmethod
    def log_odds(self) -> NDArray[np.float64]:
        """Return the heads' log-odds of the validation images, (s, l, m, c); with `val_half` those of halves (Q21)."""

    def train(self, resume: Path | None) -> GridResult:
        """Train to the end, from the checkpoint in `resume` if there is one."""
        settings, start = self.settings, self.load(resume)
        saved = time.monotonic()
        with steps() as to_stop, bar("training heads", settings.epochs, "epochs", done=start) as advance:
            for epoch in range(start, settings.epochs):
                self.epoch(epoch)
                advance(1)
                if self.stopped.all():
                    return self.trained(epoch + 1)
                if resume is not None and (to_stop() or time.monotonic() - saved > CHECKPOINT_SECONDS):
                    self.save(resume, epoch + 1)
                    saved = time.monotonic()
                if to_stop():
                    break
        return self.trained(settings.epochs)

    def rates(self, step: int) -> NDArray[np.float64]:
        """Return each head's learning rate at `step`, (s, l)."""
        return rate_at(self.base, step, self.steps, self.settings) * self.plateau.scale

    def epoch(self, epoch: int) -> None:
        """Train one epoch, validate, and update plateau, best epoch and curves."""
        rows = np.stack(
            [order(seed, epoch, self.n, self.views, self.settings.epochs) for seed in self.seeds]
        )  # (s, n); the images that fill no batch are dropped
        orders = torch.from_numpy(rows).to(self.device)
        targets = self.targets[orders % self.n]
        loss = torch.zeros(self.base.shape, device=self.device)
        for step in range(self.steps):
            at = slice(step * self.batch, (step + 1) * self.batch)
            loss += self._step(orders[:, at], targets[:, at], epoch * self.steps + step)
        metric = self._validate(epoch)
        # The plateau divides the recipe's own rate, which is reached at the end of the warm-up.
        if self.settings.plateau and (epoch + 1) * self.steps >= self.warm:
            self.plateau.step(metric, self.base)
        gain = self.sign * metric
        better = (gain > self.best) & ~self.stopped  # a stopped head still trains with the others, but is not kept
        self.best = np.where(better, gain, self.best)
        self.best_epoch = np.where(better, epoch, self.best_epoch)
        for head in zip(*np.nonzero(better), strict=True):
            self.best_weight[head] = self.weight[head]
        self.curve[epoch], self.loss[epoch] = metric, (loss / self.steps).cpu().numpy()
        self.rate[epoch] = self.rates((epoch + 1) * self.steps)
        self._stop(gain, epoch)

    def _stop(self, gain: NDArray[np.float64], epoch: int) -> None:
        settings = self.settings
        if settings.early_stopping is None or epoch < settings.early_from:
            return
        better = gain > self.held + settings.early_threshold
        self.held = np.where(better, gain, self.held)
        self.stale = np.where(better, 0, self.stale + 1)
        self.stopped |= self.stale >= settings.early_stopping

    def _step(self, rows: Tensor, targets: Tensor, step: int) -> Tensor:
        """One AdamW step of all heads on their batches `rows` (s, b); returns the loss of each head, (s, l)."""
        loss, grad = self.gradient(rows, targets)
        norm = torch.linalg.vector_norm(grad, dim=(2, 3))  # over all of a head's parameters
        grad.mul_((self.settings.clip / (norm + 1e-6)).clamp(max=1.0)[..., None, None])
        self._adamw(grad, step)
        return loss

    def _adamw(self, grad: Tensor, step: int) -> None:
        """Make torch.optim.AdamW's update, with each head's own learning rate."""
        rate = self.rates(step)
        decay = (1 - rate * self.decay).astype(np.float32)
        if (decay != 1).any():  # 1 - 1e-3 * 1e-5 is 1 in float32: the paper's decay changes nothing, as in torch
            self.weight[..., : self.decayed].mul_(self._per_head(decay))
        self.mean.lerp_(grad, 1 - BETA1)
        self.square.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
        # m / (sqrt(v) / r + eps) = r * m / (sqrt(v) + r * eps): r becomes part of the step size
        r = math.sqrt(1 - BETA2 ** (step + 1))
        torch.sqrt(self.square, out=self.root).add_(EPS * r)
        size = self._per_head(rate * (r / (1 - BETA1 ** (step + 1))))
        self.weight.addcmul_(torch.div(self.mean, self.root, out=self.root), size, value=-1)

    def _per_head(self, values: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self.device)[..., None, None]

    def _validate(self, epoch: int) -> NDArray[np.float64]:
        """Return the validation metric of each head, (s, l)."""
        metric, targets = self.problem.metric, self.problem.val_targets
        log_odds = self.log_odds()
        s, heads, m, c = log_odds.shape
        found = np.empty((s, heads))
        scores = metrics.scores_for(metric, log_odds.reshape(s * heads, m, c)).reshape(s, heads, m, c)
        if self.settings.val_drop and len(targets) > self.settings.batch_size:
            for i, seed in enumerate(self.seeds):
                kept = self._kept(seed, epoch, len(targets))
                found[i] = metrics.score_many(metric, scores[i][:, kept], targets[kept])
        else:
            found[:] = metrics.score_many(metric, scores.reshape(s * heads, m, c), targets).reshape(s, heads)
        return found if self.settings.round_metric is None else found.round(self.settings.round_metric)

    def _kept(self, seed: int, epoch: int, m: int) -> NDArray[np.int64]:
        """Return the validation images that fill the batches of a shuffled pass (Q6)."""
        shuffled = generator("linear-frozen", "validation", seed, epoch).permutation(m)
        return np.sort(shuffled[: m - m % self.settings.batch_size])

    def trained(self, epochs: int) -> GridResult:
        """Return the heads after `epochs` epochs."""
        curve, loss, rate = (values[:epochs] for values in (self.curve, self.loss, self.rate))
        return GridResult(self.best_weight, self.sign * self.best, self.best_epoch, curve, loss, rate, self.steps)

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        plateau = self.plateau
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "curve": self.curve,
            "loss": self.loss,
            "rate": self.rate,
            "plateau_scale": plateau.scale,
            "plateau_best": plateau.best,
            "plateau_bad": plateau.bad,
            **{name: getattr(self, name) for name in STOPPING},
        }

    def save(self, file: Path, epoch: int) -> None:
        """Write a checkpoint after `epoch` epochs."""
        tensors = {"weight": self.weight, "mean": self.mean, "square": self.square, "best_weight": self.best_weight}
        State(tensors, self._arrays(), {"epoch": epoch, "seeds": self.seeds}).save(file)

    def load(self, file: Path | None) -> int:
        """Resume from a checkpoint, if there is one for these seeds; return the number of finished epochs."""
        state = State.load(file, {"seeds": self.seeds}) if file is not None else None
        if state is None:
            return 0
        tensors, arrays = state.tensors, state.arrays
        for name in ("weight", "mean", "square", "best_weight"):
            setattr(self, name, tensors[name].to(self.device))
        for name in ("best", "best_epoch", "curve", "loss", "rate", *STOPPING):
            setattr(self, name, arrays[name])
        self.plateau.scale, self.plateau.best, self.plateau.bad = (
            arrays[f"plateau_{name}"] for name in ("scale", "best", "bad")
        )
        return int(state.facts["epoch"])


class LinearGrid(Grid):
    """Linear heads, one for each learning rate; see `Grid`. Weights are (s, l, c, d + 1), the bias last."""

    def __init__(self, problem: Problem, settings: LinearFrozen, seeds: list[int], device: torch.device) -> None:
        d, rates = int(problem.train[0].shape[1]), settings.learning_rates
        first = torch.stack([initial(seed, problem.classes, d) for seed in seeds])
        candidates = [(rate, settings.weight_decay) for rate in rates]
        super().__init__(problem, settings, seeds, device, first, d, candidates)
        # The bias is the weight of a constant feature, which saves a matrix product and an update per step.
        self.bank = torch.ones(self.views * self.n, d + 1, device=device)
        for i, view in enumerate(problem.train):  # views may be memory-mapped: the bank is the only copy in memory
            self.bank[i * self.n : (i + 1) * self.n, :d] = _tensor(view)
        self.val = _tensor(problem.val).to(device)
        # Buffers that every step uses again: allocating them would take as long as filling them.
        self.x = self.bank.new_empty(len(seeds) * self.batch, d + 1)
        self.grad = self.bank.new_empty(len(seeds), len(rates) * problem.classes, d + 1)

    def gradient(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and gradient of all heads."""
        s, heads, c, d1 = self.weight.shape
        x = torch.index_select(self.bank, 0, rows.reshape(-1), out=self.x).view(s, -1, d1)
        logits = torch.bmm(self.weight.view(s, heads * c, d1), x.transpose(1, 2)).view(s, heads, c, -1)
        loss, slope = loss_and_slope(logits, targets, self.settings.label_smoothing)
        torch.bmm(slope.view(s, heads * c, -1), x, out=self.grad)
        return loss, self.grad.view_as(self.weight)

    def log_odds(self) -> NDArray[np.float64]:
        """Return the heads' log-odds of the validation images."""
        s, heads, c, d1 = self.weight.shape
        multilabel, half = self.problem.multilabel, self.settings.val_half
        found = predict(self.weight.view(s * heads, c, d1), self.val, multilabel=multilabel, half=half)
        return found.reshape(s, heads, -1, c)


def _tensor(values: NDArray[np.float32] | Tensor) -> Tensor:
    """Return a tensor; a memory-mapped array, which may be read-only, is copied."""
    return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))


@contextlib.contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """Run on one CPU thread: such a small step is not faster with more, and up to 60 times slower on a busy machine."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)
