"""Fine-tuning of one network, with one seed and one learning rate; `training.steps` makes the steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from medbench import metrics
from medbench.data.prepared.augment_batch import Undrawn
from medbench.errors import MedbenchError
from medbench.features.extract import exact
from medbench.progress import Advance
from medbench.seeding import generator
from medbench.training.checkpoint import State
from medbench.training.finetune import loss
from medbench.training.finetune.optimizer import make_optimizer
from medbench.training.finetune.result import Curve, Fitted
from medbench.training.finetune.task import FitData, FitTask
from medbench.training.heads.linear import log_odds_of_logits, order
from medbench.training.machine import trained_state
from medbench.training.schedule import Plateau, rate_at, warmup_steps
from medbench.training.steps import Accumulated, Rows

PLATEAU = ("scale", "best", "bad")  # arrays of a plateau's state


class Fit(Accumulated[Tensor | Undrawn]):
    """One training.

    Args:
        network: Gives (b, c) logits of prepared inputs; what has no gradient does not change.
        source: The data.
        task: What all trainings of the job share.
        seed: Names every draw.
        rate: Learning rate.
        what: Name of the training, for people.

    Raises:
        MedbenchError: The loss needs complete batches and cannot get them.
    """

    draws = "training"

    def __init__(self, network: nn.Module, source: FitData, task: FitTask, seed: int, rate: float, what: str) -> None:
        self.source, self.task, settings = source, task, task.settings
        network = task.machine.place(network)
        super().__init__(
            network,
            make_optimizer(network, rate, settings),
            source.train,
            len(task.train_targets),
            settings,
            task.machine,
            seed,
            what,
            compiled=settings.compile,
            full_batch=settings.loss == "marginal",
        )
        if self.full_batch and (self.machine.world > 1 or self.micro < self.batch):
            raise MedbenchError("loss=marginal needs the complete batch at once", "use one process and no micro_batch")
        self.loss, self.norm = loss.make_loss(settings, task.train_targets, task.classes)
        self.base = np.asarray(rate, dtype=np.float64)
        self.identity["rate"] = float(rate)
        self.sign = metrics.get(task.metric).sign  # `best` and `held` are gains, sign * metric: higher is better
        self.plateau = Plateau(
            (), settings.plateau_factor, settings.plateau_patience, settings.plateau_threshold, self.sign
        )
        self.curve = Curve()
        self.best, self.best_epoch = -np.inf, 0
        self.held, self.stale = -np.inf, 0  # early stopping's best value, and the epochs since
        self.best_state: dict[str, Tensor] = {}
        self.best_log_odds = np.zeros((len(task.val_targets), task.classes))

    def run(self, resume: Path) -> Fitted:
        """Train to the end, from the checkpoint in `resume` if there is one."""
        broken = self.run_steps(resume)
        return self._fitted() if broken is None else self._broken(broken)

    def predict(self, images: Dataset[Tensor], n: int, *, half: bool = False) -> NDArray[np.float64]:
        """Return the classes' log-odds (n, c) of n images; each process computes its share.

        With `half` they are those of probabilities in half precision (Q21).
        """

        def logits(raw: Tensor) -> Tensor:
            found: Tensor = self.inner(self.source.prepare(raw)).float()
            return found

        self.machine.broadcast_buffers(self.network)
        self.inner.eval()
        found = self.machine.predict(logits, images, n, self.task.classes)
        return log_odds_of_logits(found, multilabel=self.task.multilabel, half=half)

    def test(self, n: int) -> NDArray[np.float64]:
        """Return the log-odds (n, c) of the n test images, in training's precision or in the recipe's `test_fp32`."""
        single = self.task.settings.test_fp32
        if single:  # undoes accelerate's autocast, which is a part of the network's forward
            self.inner = extract_model_from_parallel(self.inner, keep_fp32_wrapper=False)
        with exact("fp32" if single else self.machine.precision):
            return self.predict(self.source.test, n)

    def load(self, state: dict[str, Tensor]) -> None:
        """Put trained tensors into the network."""
        own = self.network.state_dict()
        for name, value in state.items():
            own[name].copy_(value)

    def rows_of(self, epoch: int) -> Rows:
        """Return the (n,) rows, view * n + image, of an epoch in order."""
        settings = self.task.settings
        views = settings.epochs if settings.views is None else max(settings.views, 1)
        return order(self.seed, epoch, self.n, views, settings.epochs)

    def item(self, epoch: int, row: int) -> tuple[int, int]:
        """Return the (view, image) of a row."""
        return divmod(row, self.n)

    def set_rates(self) -> None:
        """Set each parameter group's share of the step's learning rate."""
        rate = float(self._rate())
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]

    def loss_of(self, batch: Tensor | Undrawn, rows: Rows, at: slice) -> tuple[Tensor, Tensor]:
        """Return a micro-batch's part of the step's loss, and the same as the number to add up, (1,)."""
        device, targets = self.machine.device, self.task.train_targets[torch.from_numpy(rows % self.n)]
        x = self.source.prepare(batch[at].to(device, non_blocking=True))
        y = torch.from_numpy(self.machine.share(targets.numpy())[at]).to(device, non_blocking=True)
        logits = self.model(x).float()
        value = self.loss(logits, y).sum() / self.norm(targets)
        if self.full_batch:
            value = value + self.task.settings.marginal * loss.marginal_penalty(logits, y)
        return value, value.detach()[None]

    def end_epoch(self, advance: Advance) -> bool:
        """Validate; update the plateau, the best epoch and the curve; return whether the training ends early."""
        settings, epoch = self.task.settings, self.done // self.steps - 1
        log_odds = self.predict(self.source.val, len(self.task.val_targets), half=settings.val_half)
        value = self._metric(log_odds, epoch)
        # The plateau divides the recipe's own rate, which is reached at the end of the warm-up.
        if settings.plateau and self.done >= warmup_steps(self.steps, settings):
            self.plateau.step(np.asarray(value), self.base)
        if self.sign * value > self.best:
            self.best, self.best_epoch, self.best_log_odds = self.sign * value, epoch, log_odds
            self.network.train()
            self.best_state = {name: v.detach().cpu().clone() for name, v in trained_state(self.network).items()}
        numbers = {"val": value, "loss": float(self.running) / self.steps, "rate": float(self._rate())}
        self.curve.add(**numbers, step=self.done)
        self.machine.accelerator.log({f"{self.what}/{name}": v for name, v in numbers.items()}, step=epoch)
        advance(
            0, f"epoch {epoch + 1}/{settings.epochs}: {self.task.metric} {value:.4f}, best {self.sign * self.best:.4f}"
        )
        return self._stops(self.sign * value, epoch)

    def state(self) -> State:
        """Return networks, curve, plateau and counters."""
        self.network.train()
        plateau = {f"plateau_{name}": np.asarray(getattr(self.plateau, name)) for name in PLATEAU}
        facts = {
            "running": float(self.running),
            "best": repr(float(self.best)),  # JSON has no infinity
            "best_epoch": self.best_epoch,
            "held": repr(float(self.held)),
            "stale": self.stale,
        }
        state = State(arrays={"log_odds": self.best_log_odds, **self.curve.arrays(), **plateau}, facts=facts)
        state.add("now", trained_state(self.network))
        state.add("best", self.best_state)
        return state

    def restore(self, state: State) -> None:
        """Put back what `state` returned."""
        arrays, facts = state.arrays, state.facts
        self.load(state.part("now"))
        self.best_state, self.best_log_odds = state.part("best"), arrays["log_odds"]
        self.curve = Curve.of(arrays)
        for name in PLATEAU:
            setattr(self.plateau, name, arrays[f"plateau_{name}"].reshape(()))  # files have no arrays without axes
        self.running += facts["running"]
        self.best, self.best_epoch = float(facts["best"]), facts["best_epoch"]
        self.held, self.stale = float(facts["held"]), facts["stale"]

    def _rate(self) -> NDArray[np.float64]:
        return rate_at(self.base, self.done, self.steps, self.task.settings) * self.plateau.scale

    def _stops(self, gain: float, epoch: int) -> bool:
        settings = self.task.settings
        if settings.early_stopping is None or epoch < settings.early_from:
            return False
        better = gain > self.held + settings.early_threshold
        self.held, self.stale = (gain, 0) if better else (self.held, self.stale + 1)
        return self.stale >= settings.early_stopping

    def _metric(self, log_odds: NDArray[np.float64], epoch: int) -> float:
        settings, targets = self.task.settings, self.task.val_targets
        scores = metrics.scores_for(self.task.metric, log_odds)
        if settings.val_drop and len(targets) > settings.batch_size:  # Q6
            shuffled = generator("training", "validation", self.seed, epoch).permutation(len(targets))
            kept = np.sort(shuffled[: len(targets) - len(targets) % settings.batch_size])
            scores, targets = scores[kept], targets[kept]
        size = settings.select_batch or len(targets)
        parts = [slice(start, start + size) for start in range(0, len(targets), size)]
        value = float(np.mean([metrics.score(self.task.metric, scores[part], targets[part]) for part in parts]))
        return value if settings.round_metric is None else round(value, settings.round_metric)

    def _broken(self, step: int) -> Fitted:
        why = f"the loss is not finite at step {step}, learning rate {float(self.base):g}"
        return Fitted(
            float("nan"), 0, step, np.zeros_like(self.best_log_odds), {}, self.curve, self.facts(), failed=why
        )

    def _fitted(self) -> Fitted:
        failed = "" if self.best_state else "the validation metric was undefined in all epochs"
        best = self.sign * float(self.best) if self.best_state else float("nan")
        step = self.curve.step[self.best_epoch]
        return Fitted(
            best, self.best_epoch, step, self.best_log_odds, self.best_state, self.curve, self.facts(), failed
        )
