"""Tip-Adapter's grid against the published loop, and many CLAP probes at once against one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, one_hot

from benchmarks.row import Row, by_turns
from medbench.training.adapters import clap
from medbench.training.adapters.steps import drawn_orders, steps_of
from medbench.training.adapters.tip_adapter import Grid, accuracies, grid

CLASSES, DIM, VAL, KEYS = 5, 512, 1000, 80
SEEDS, SHOTS, EPOCHS = range(5), (1, 2, 4, 8, 16), 300


def run(folder: Path, device: str) -> list[Row]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*_grid(), *_probes()]
    finally:
        torch.set_num_threads(before)


def _near(labels: Tensor, noise: float, seed: int) -> Tensor:
    """Features of length 1 around a centre for each class."""
    centres = torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(0))
    drawn = torch.randn(len(labels), DIM, generator=torch.Generator().manual_seed(seed))
    return normalize(centres[labels] + noise * drawn, dim=1)


def _grid() -> list[Row]:
    own, labels = torch.arange(KEYS) % CLASSES, torch.arange(VAL) % CLASSES
    keys, images, text = _near(own, 6, 1), _near(labels, 9, 2), _near(torch.arange(CLASSES), 3, 3)
    values, tried = one_hot(own).float(), Grid(grid(50, 200), grid(50, 20))
    zero_shot, near = 100 * images @ text.T, images @ keys.T
    found: dict[str, tuple[float, float]] = {}

    def ours() -> None:
        found["ours"] = tried.pair(int(accuracies(zero_shot, near, values, labels, tried).flatten().argmax()))

    def theirs() -> None:
        found["theirs"] = published(zero_shot, near, values, labels, tried)

    fast, slow = by_turns(ours, theirs, rounds=3)
    same = found["ours"] == found["theirs"]
    what = f"Tip-Adapter's grid, 4,000 settings, {VAL} × {DIM} × {KEYS}"
    return [
        Row(what, f"{1000 * fast:.0f} ms", f"published loop {slow:.2f} s", slow / fast, "≥ 20", slow / fast >= 20),
        Row("the winner of that grid", str(found["ours"]), str(found["theirs"]), None, "the same", same),
    ]


def published(zero_shot: Tensor, near: Tensor, values: Tensor, labels: Tensor, tried: Grid) -> tuple[float, float]:
    """The search of the authors' code: every pair anew, the first strictly greater accuracy wins."""
    best, winner = 0.0, (0.0, 0.0)
    for beta in tried.betas:
        for alpha in tried.alphas:
            votes = ((-1) * (beta - beta * near)).exp() @ values
            found = zero_shot + votes * alpha
            right = found.topk(1, 1, True, True)[1].t().eq(labels.view(1, -1))
            accuracy = 100 * float(right[:1].reshape(-1).float().sum(0)) / len(found)
            if accuracy > best:
                best, winner = accuracy, (beta, alpha)
    return winner


def _fit(seed: int, shots: int) -> clap.Fit:
    labels = torch.arange(CLASSES * shots) % CLASSES
    images, text = _near(labels, 9, 100 * seed + shots), 10 * _near(torch.arange(CLASSES), 3, 3)
    steps = steps_of(drawn_orders("benchmark", seed, EPOCHS, len(labels)), 256, "warm")
    return clap.Fit(images, labels, text, clap.strengths(images, labels, text, 100.0), 100.0, steps)


def _probes() -> list[Row]:
    fits = [_fit(seed, shots) for seed in SEEDS for shots in SHOTS]

    def one_by_one(fit: Callable[[clap.Fit], Tensor]) -> list[Tensor]:
        return [fit(one) for one in fits]

    together, alone, plain = by_turns(
        lambda: clap.train(fits), lambda: one_by_one(_alone), lambda: one_by_one(by_torch), rounds=2
    )
    probes = [one.prototypes for one in clap.train(fits)]
    what, ours = "CLAP, 300 epochs × 5 seeds × 5 shots, in one batch", f"{together:.2f} s"
    rows = [
        Row(what, ours, f"one by one {alone:.2f} s", alone / together, "≥ 5", alone / together >= 5),
        Row(what, ours, f"one by one with autograd and SGD {plain:.2f} s", plain / together, "–", True),
    ]
    for against, fit in (("each alone", _alone), ("autograd and SGD", by_torch)):
        pairs = zip(probes, one_by_one(fit), strict=True)
        gap = max(float((found - wanted).norm() / wanted.norm()) for found, wanted in pairs)
        rows.append(Row("largest relative difference of a probe", f"{gap:.1e}", against, None, "≤ 1e-5", gap <= 1e-5))
    return rows


def _alone(fit: clap.Fit) -> Tensor:
    return clap.train([fit])[0].prototypes


def by_torch(fit: clap.Fit) -> Tensor:
    """The published way: autograd and torch's SGD, one batch after the other."""
    weight = fit.text.clone().requires_grad_()
    rule = torch.optim.SGD([weight], lr=fit.rate, momentum=0.9)
    for rows, rate in zip(fit.steps.rows, fit.steps.rates(fit.rate), strict=True):
        rule.param_groups[0]["lr"] = rate
        loss = cross_entropy(clap.logits(fit.images[rows], weight, fit.scale), fit.labels[rows])
        loss = loss + (fit.strengths * (weight - fit.text).square().sum(dim=1)).mean()
        rule.zero_grad()
        loss.backward()
        rule.step()
    return weight.detach()
