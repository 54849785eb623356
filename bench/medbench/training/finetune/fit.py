"""The training loop: one network, one seed, one learning rate.

What a step does depends on (seed, step) alone: the images and their order, the augmentation, every random draw inside
the network. So neither a kill, nor the number of processes, nor the size of the micro-batches changes the result beyond
rounding (excepted is batch norm, which looks at the images that are together).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import broadcast
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from medbench import metrics
from medbench.errors import MedbenchError
from medbench.features.extract import exact
from medbench.progress import Advance, bar, say
from medbench.seeding import generator, seed_of
from medbench.training.checkpoint import load_state, save_state
from medbench.training.finetune import loss as losses
from medbench.training.finetune.optimizer import make_optimizer, optimizer_arrays, restore_optimizer
from medbench.training.finetune.result import _arrays, _curve
from medbench.training.finetune.task import Curve, FitData, FitTask, Fitted
from medbench.training.heads.linear import order
from medbench.training.machine import count_trainable, trained_state
from medbench.training.schedule import Plateau, rate_at, warmup_steps

if TYPE_CHECKING:
    pass

CHECKPOINT_SECONDS = 120.0
CHECKPOINT_SHARE = 20  # times what the last one took to write: saving stays below 5 % of the time
EVAL_BATCH = {"cpu": 32, "cuda": 128}


class Fit:
    """The state of one training.

    Args:
        network: Gives (b, c) logits of prepared inputs; what has no gradient stays as it is.
        source: The data.
        task: What all trainings of the job share.
        seed: Names every draw.
        rate: Learning rate.
        what: For people.
    """

    def __init__(self, network: nn.Module, source: FitData, task: FitTask, seed: int, rate: float, what: str) -> None:
        self.source, self.task, self.seed, self.what = source, task, seed, what
        settings, self.machine = task.settings, task.machine
        self.n = len(task.train_targets)
        self.batch = min(settings.batch_size, self.n)
        self.steps = self.n // self.batch  # per epoch; the rest that fills no batch is dropped
        self.micro = min(settings.micro_batch or self.batch, self.batch)
        if settings.loss == "marginal" and (self.machine.world > 1 or self.micro < self.batch):
            raise MedbenchError("loss=marginal looks at a whole batch at once", "run one process without micro_batch")
        if self.machine.world > 1 and self.machine.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        self.network = network.to(self.machine.device)
        self.optimizer = make_optimizer(self.network, rate, settings)
        self.loss, self.norm = losses.make_loss(settings, task.train_targets, task.classes)
        # accelerate puts autocast into this very module, so that it serves validation without the processes' wrapper
        self.inner: Any = torch.compile(self.network) if settings.compile else self.network
        self.model, self.stepper = self.machine.accelerator.prepare(self.inner, self.optimizer)
        self.base = np.asarray(rate, dtype=np.float64)
        self.plateau = Plateau((), settings.plateau_factor, settings.plateau_patience, settings.plateau_threshold)
        self.done, self.curve = 0, Curve()
        self.running = torch.zeros((), dtype=torch.float64, device=self.machine.device)
        self.best, self.best_epoch = -np.inf, 0
        self.held, self.stale = -np.inf, 0  # early stopping's best, and the epochs since
        self.best_state: dict[str, Tensor] = {}
        self.best_scores = np.zeros((len(task.val_targets), task.classes), np.float32)

    def run(self, resume: Path) -> Fitted:
        """Train to the end, from a saved state if there is one; the state is renewed at bounded intervals."""
        load_fit(resume, self)
        total, began, first = self.steps * self.task.settings.epochs, time.perf_counter(), self.done
        saved, interval = time.monotonic(), CHECKPOINT_SECONDS
        with bar(self.what, total, "steps", done=self.done) as advance, exact(self.machine.precision):
            for raw, rows in self._batches():
                before, self.running = self.running, self.running + self._step(raw, rows)
                self.done += 1
                # The sum before this step: to wait for this step's own would leave a GPU without work.
                if not np.isfinite(float(before)):
                    return self._broken(self.done - 1)
                if self.done % self.steps == 0:
                    if not np.isfinite(float(self.running)):
                        return self._broken(self.done)
                    if self._end_epoch(advance):
                        break
                advance(1)
                if time.monotonic() - saved > interval:
                    interval = max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * save_fit(resume, self))
                    saved = time.monotonic()
        return self._fitted(time.perf_counter() - began, (self.done - first) * self.batch)

    def predict(self, images: Dataset[Tensor], n: int, *, half: bool = False) -> NDArray[np.float32]:
        """Return class scores (n, c) of n images, softmax or sigmoids in fp32, each process doing its share.

        With `half` they are formed in half precision (Q21).
        """
        own, size, device = self.machine.share(np.arange(n)), EVAL_BATCH[self.machine.device.type], self.machine.device
        parts = [torch.zeros(0, self.task.classes, device=device)]
        self._agree()
        self.inner.eval()
        with torch.inference_mode():
            for raw in self.machine.loader(images, [own[i : i + size].tolist() for i in range(0, len(own), size)]):
                logits = self.inner(self.source.prepare(raw.to(device, non_blocking=True)))
                logits = logits.half() if half else logits.float()
                parts.append((logits.sigmoid() if self.task.multilabel else logits.softmax(1)).float())
            return self.machine.whole(torch.cat(parts), n).cpu().numpy()

    def load(self, state: dict[str, Tensor]) -> None:
        """Put trained tensors into the network."""
        own = self.network.state_dict()
        for name, value in state.items():
            own[name].copy_(value)

    def _agree(self) -> None:
        """Give all processes the first one's buffers: each has run batch norm on its own images."""
        if self.machine.world > 1:
            for value in self.network.buffers():
                value.copy_(broadcast(value))

    def _steps(self) -> Iterator[NDArray[np.int64]]:
        """Yield the rows (view * n + image) of each step that is still to do, over all processes."""
        settings = self.task.settings
        views = settings.epochs if settings.views is None else max(settings.views, 1)
        for epoch in range(self.done // self.steps, settings.epochs):
            rows = order(self.seed, epoch, self.n, views, settings.epochs)
            for at in range(self.done % self.steps if epoch == self.done // self.steps else 0, self.steps):
                yield rows[at * self.batch : (at + 1) * self.batch]

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (this process's inputs, image numbers of the whole step) of each step that is to do."""
        rows = list(self._steps())
        own = ([divmod(int(row), self.n) for row in self.machine.share(step)] for step in rows)
        for raw, step in zip(self.machine.loader(self.source.train, own), rows, strict=True):
            yield raw, torch.from_numpy(step % self.n)

    def _step(self, raw: Tensor, rows: Tensor) -> Tensor:
        """One optimizer step on a whole batch; returns its loss. On lack of memory again, in halves."""
        settings = self.task.settings
        rate = rate_at(self.base, self.done, self.steps, settings) * self.plateau.scale
        for group in self.optimizer.param_groups:
            group["lr"] = float(rate) * group["share"]
        while True:
            self.stepper.zero_grad()
            torch.manual_seed(seed_of("training", "network", self.seed, self.done, self.machine.rank))
            try:
                value = self._gradients(raw, rows)
                break
            except torch.OutOfMemoryError:
                if self.machine.world > 1:  # the other processes wait in this very step: only an end of all helps
                    raise
                self._halve(len(raw))
        self.machine.accelerator.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.stepper.step()
        return value

    def _gradients(self, raw: Tensor, rows: Tensor) -> Tensor:
        """Accumulate the gradient of the step's loss over this process's micro-batches; returns the whole loss."""
        machine, targets = self.machine, self.task.train_targets[rows]
        own = torch.from_numpy(machine.share(targets.numpy())).to(machine.device, non_blocking=True)
        norm, total = self.norm(targets), torch.zeros((), device=machine.device)
        self.model.train()
        for start in range(0, len(raw), self.micro):
            last = start + self.micro >= len(raw)
            with contextlib.nullcontext() if last else machine.accelerator.no_sync(self.model):
                x = self.source.prepare(raw[start : start + self.micro].to(machine.device, non_blocking=True))
                y = own[start : start + self.micro]
                logits = self.model(x).float()
                value = self.loss(logits, y).sum() / norm
                if self.task.settings.loss == "marginal":
                    value = value + self.task.settings.marginal * losses.marginal_penalty(logits, y)
                machine.accelerator.backward(value * machine.world)  # which averages over the processes
            total += value.detach()
        found: Tensor = machine.accelerator.reduce(total, "sum")
        return found

    def _halve(self, held: int) -> None:
        """Halve the micro-batch.

        Raises:
            MedbenchError: It is one image, or the loss needs the whole batch at once.
        """
        if self.task.settings.loss == "marginal" or min(self.micro, held) == 1:
            raise MedbenchError(
                f"{self.what}: out of memory with {min(self.micro, held)} images at once",
                "give --set checkpointing=true, or fewer at once: --set micro_batch=N (accumulated to the same batch)",
            )
        self.micro = min(self.micro, held) // 2
        torch.cuda.empty_cache()
        say(f"{self.what}: out of memory; goes on with {self.micro} images at once, accumulated to the same batch")

    def _end_epoch(self, advance: Advance) -> bool:
        """Validate, take the plateau and the best epoch; returns whether training ends here."""
        settings, epoch = self.task.settings, self.done // self.steps - 1
        scores = self.predict(self.source.val, len(self.task.val_targets), half=settings.val_half)
        value = self._metric(scores, epoch)
        # A division at the plateau needs the recipe's own rate first: the warm-up must be over.
        if settings.plateau and self.done >= warmup_steps(self.steps, settings):
            self.plateau.step(np.asarray(value), self.base)
        if value > self.best:
            self.best, self.best_epoch, self.best_scores = value, epoch, scores
            self.network.train()
            self.best_state = {name: v.detach().cpu().clone() for name, v in trained_state(self.network).items()}
        curve = self.curve
        curve.val.append(value)
        curve.loss.append(float(self.running) / self.steps)
        curve.rate.append(float(rate_at(self.base, self.done, self.steps, settings) * self.plateau.scale))
        curve.step.append(self.done)
        self.running = torch.zeros_like(self.running)
        numbers = {"val": value, "loss": curve.loss[-1], "rate": curve.rate[-1]}
        self.machine.accelerator.log({f"{self.what}/{name}": v for name, v in numbers.items()}, step=epoch)
        advance(0, f"epoch {epoch + 1}/{settings.epochs}: {self.task.metric} {value:.4f}, best {self.best:.4f}")
        return self._stops(value, epoch)

    def _stops(self, value: float, epoch: int) -> bool:
        settings = self.task.settings
        if settings.early_stopping is None or epoch < settings.early_from:
            return False
        better = value > self.held + settings.early_threshold
        self.held, self.stale = (value, 0) if better else (self.held, self.stale + 1)
        return self.stale >= settings.early_stopping

    def _metric(self, scores: NDArray[np.float32], epoch: int) -> float:
        settings, targets = self.task.settings, self.task.val_targets
        if settings.val_drop and len(targets) > settings.batch_size:  # Q6
            shuffled = generator("training", "validation", self.seed, epoch).permutation(len(targets))
            kept = np.sort(shuffled[: len(targets) - len(targets) % settings.batch_size])
            scores, targets = scores[kept], targets[kept]
        value = float(metrics.score(self.task.metric, scores, targets))
        return value if settings.round_metric is None else round(value, settings.round_metric)

    def _broken(self, step: int) -> Fitted:
        why = f"the loss is not finite at step {step}, learning rate {float(self.base):g}"
        return Fitted(float("nan"), 0, step, np.zeros_like(self.best_scores), {}, self.curve, self._facts(), failed=why)

    def _facts(self) -> dict[str, Any]:
        return {"trainable_parameters": count_trainable(self.network), "micro_batch": self.micro}

    def _fitted(self, seconds: float, images: int) -> Fitted:
        facts = self._facts() | {"train_images": images, "train_seconds": seconds}
        failed = "" if self.best_state else "the validation metric was undefined in every epoch"
        best = float(self.best) if self.best_state else float("nan")
        step = self.curve.step[self.best_epoch]
        return Fitted(best, self.best_epoch, step, self.best_scores, self.best_state, self.curve, facts, failed)


PLATEAU = ("scale", "best", "bad")


def save_fit(file: Path, fit: Fit) -> float:
    """Write the state of an unfinished training (the first process does); returns the seconds that took."""
    began = time.monotonic()
    if fit.machine.rank == 0:
        fit.network.train()
        tensors = {f"now.{name}": value for name, value in trained_state(fit.network).items()}
        tensors |= {f"best.{name}": value for name, value in fit.best_state.items()}
        tensors |= {f"optimizer.{name}": value for name, value in optimizer_arrays(fit.optimizer).items()}
        plateau = {f"plateau_{name}": np.asarray(getattr(fit.plateau, name)) for name in PLATEAU}
        save_state(file, tensors, {"scores": fit.best_scores, **_arrays(fit.curve), **plateau}, _numbers(fit))
    return time.monotonic() - began


def _numbers(fit: Fit) -> dict[str, Any]:
    scaler = fit.machine.accelerator.scaler
    return {
        "seed": fit.seed,
        "rate": float(fit.base),
        "done": fit.done,
        "running": float(fit.running),
        "best": repr(float(fit.best)),  # JSON has no infinity
        "best_epoch": fit.best_epoch,
        "held": repr(float(fit.held)),
        "stale": fit.stale,
        "micro": fit.micro,
        "scaler": scaler.state_dict() if scaler is not None else {},
    }


def load_fit(file: Path, fit: Fit) -> None:
    """Take up the state of an unfinished training, if there is one of this seed and rate."""
    state = load_state(file, {"seed": fit.seed, "rate": float(fit.base)})
    if state is None:
        return
    tensors, arrays, facts = state
    parts: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "optimizer": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    fit.load(parts["now"])
    fit.best_state, fit.best_scores = parts["best"], arrays["scores"]
    restore_optimizer(fit.optimizer, parts["optimizer"])
    fit.curve = _curve(arrays)
    for name in PLATEAU:
        setattr(fit.plateau, name, arrays[f"plateau_{name}"].reshape(()))  # files have no arrays without axes
    fit.done, fit.stale, fit.best_epoch = facts["done"], facts["stale"], facts["best_epoch"]
    fit.running += facts["running"]
    fit.best, fit.held = float(facts["best"]), float(facts["held"])
    fit.micro = min(facts["micro"], fit.micro)
    if fit.machine.accelerator.scaler is not None and facts["scaler"]:
        fit.machine.accelerator.scaler.load_state_dict(facts["scaler"])
