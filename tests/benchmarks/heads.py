"""Twenty heads at once against one head, and against each trained alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.row import Row, by_turns
from medbench import progress
from medbench.cards.recipes import LinearFrozen
from medbench.training.heads.grid import Problem, train_grid
from medbench.training.heads.linear import order

N, DIM, CLASSES, VAL, VIEWS = 351, 1280, 5, 62, 16  # idrid's sizes with MobileNetV2's width
SEEDS, RATES = [0, 1, 2, 3, 4], [1e-5, 1e-4, 3e-4, 1e-3]


def run(folder: Path, device: str) -> list[Row]:
    place = torch.device(device)
    source = np.random.default_rng(0)
    truth = source.normal(size=(DIM, CLASSES))
    train, val = source.normal(size=(N, DIM)), source.normal(size=(VAL, DIM))
    problem = Problem(
        train=torch.from_numpy((train + 0.3 * source.normal(size=(VIEWS, N, DIM))).astype(np.float32)),
        train_targets=torch.from_numpy((train @ truth).argmax(1)),
        val=torch.from_numpy(val.astype(np.float32)),
        val_targets=(val @ truth).argmax(1),
        classes=CLASSES,
        metric="kappa_quadratic",
    )
    settings = LinearFrozen(learning_rates=RATES)

    def grid(seeds: list[int], rates: list[float]):
        with progress.quiet():
            return train_grid(problem, settings.model_copy(update={"learning_rates": rates}), seeds, place)

    together = grid(SEEDS, RATES)
    alone = {(s, r): grid([s], [r]) for s in SEEDS for r in RATES}
    gaps = [
        np.abs(together.curve[:, i, j] - alone[s, r].curve[:, 0, 0]).max()
        for i, s in enumerate(SEEDS)
        for j, r in enumerate(RATES)
    ]
    twenty, one, plain = by_turns(
        lambda: grid(SEEDS, RATES), lambda: grid([0], [1e-3]), lambda: torch_head(problem, place)
    )
    same = float(np.max(gaps))
    return [
        Row(
            "grid of 20 heads, 100 epochs",
            f"{twenty:.2f} s",
            f"one head by the same code {one:.2f} s",
            twenty / one,
            "≤ 2.5",
            twenty / one <= 2.5,
        ),
        Row(
            "grid of 20 heads, 100 epochs",
            f"{twenty:.2f} s",
            f"one torch.nn.Linear with AdamW {plain:.2f} s",
            twenty / plain,
            "–",
            True,
        ),
        Row(
            "largest difference of a validation κ, together or alone",
            f"{same:.1e}",
            "each head alone",
            None,
            "0",
            same <= 1e-6,
        ),
    ]


def torch_head(problem: Problem, device: torch.device) -> None:
    """One head the plain way: autograd and fused AdamW, validation after each epoch."""
    from sklearn.metrics import cohen_kappa_score

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    bank, targets = problem.train.reshape(-1, DIM).to(device), problem.train_targets.to(device)
    head = torch.nn.Linear(DIM, CLASSES).to(device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=1e-5, fused=True)
    val = problem.val.to(device)
    for epoch in range(100):
        rows = torch.from_numpy(order(0, epoch, N, VIEWS, 100)).to(device)
        for step in range(N // 64):
            at = rows[step * 64 : (step + 1) * 64]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(head(bank[at]), targets[at % N]).backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
        with torch.no_grad():
            cohen_kappa_score(problem.val_targets, head(val).argmax(1).cpu().numpy(), weights="quadratic")
    torch.set_num_threads(before)
