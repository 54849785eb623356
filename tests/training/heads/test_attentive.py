"""The batched grid of attentive heads against AIM's head, torch's attention and AdamW, one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from medbench.cards.recipes import AttentiveProbe
from medbench.errors import MedbenchError
from medbench.training.heads import grid
from medbench.training.heads.attentive import AttentiveGrid, Layout, candidates_of, token_statistics, train_attentive
from medbench.training.heads.grid import Problem
from medbench.training.heads.linear import order

CPU = torch.device("cpu")
N, M, T, D, C, VIEWS = 60, 30, 7, 12, 3, 2


def problem(multilabel: bool = False) -> Problem:
    source = np.random.default_rng(5)
    offset = source.normal(size=D) * 3  # so that standardising matters

    def made(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels, tokens = source.integers(C, size=n), source.normal(size=(n, T, D))
        tokens[np.arange(n), source.integers(T, size=n), labels] += 6  # one token has the class
        return (tokens * np.linspace(0.5, 3, D) + offset).astype(np.float32), labels

    (train, labels), (val, held) = made(N), made(M)
    views = [train, train + 0.1 * source.normal(size=train.shape).astype(np.float32)]
    targets = torch.from_numpy(np.eye(C)[labels]).float() if multilabel else torch.from_numpy(labels)
    metric = "auroc_macro" if multilabel else "kappa_quadratic"
    return Problem(views, targets, val, np.eye(C, dtype=int)[held] if multilabel else held, C, metric)


def settings(**changes: Any) -> AttentiveProbe:
    fields = {"epochs": 6, "batch_size": 16, "warmup_epochs": 1, "plateau": False, "attention_heads": 2, "width": 6}
    rates = {"learning_rates": [3e-3, 3e-2], "weight_decays": [0.0, 0.3]}
    return AttentiveProbe.model_validate({**fields, **rates, "views": VIEWS, **changes})


class Aim(nn.Module):
    """AIM's AttentionPoolingClassifier, with a bias in the last layer, on tokens that it standardises itself."""

    def __init__(self, first: list[torch.Tensor], tokens: np.ndarray) -> None:
        super().__init__()
        q, k, v, weight, bias = (part[0] for part in first)
        self.query = nn.Parameter(q.clone())
        self.keys, self.values, self.head = (nn.Linear(1, 1, bias=wide) for wide in (False, False, True))
        self.keys.weight = nn.Parameter(k.reshape(-1, k.shape[-1]).clone())
        self.values.weight = nn.Parameter(v.reshape(-1, v.shape[-1]).clone())
        self.head.weight, self.head.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        flat = tokens.reshape(-1, tokens.shape[-1])
        self.mean, self.std = torch.from_numpy(flat.mean(0)), torch.from_numpy(flat.std(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, (h, k) = (x - self.mean) / self.std, self.query.shape
        keys, values = (layer(x).view(*x.shape[:2], h, k).transpose(1, 2) for layer in (self.keys, self.values))
        query = self.query[None, :, None].expand(len(x), -1, -1, -1)
        pooled = scaled_dot_product_attention(query, keys, values)
        found: torch.Tensor = self.head(pooled[:, :, 0].flatten(1))
        return found


def alone(
    p: Problem, s: AttentiveProbe, seed: int, rate: float, decay: float
) -> tuple[list[float], list[torch.Tensor]]:
    """Train one head by autograd and torch.optim.AdamW; returns the losses of the epochs and the logits after each."""
    head = Aim(Layout.of(s, D, C).parts(Layout.of(s, D, C).first(seed)), np.asarray(p.train[0]))
    biases = [head.head.bias]
    others = [value for value in head.parameters() if value is not head.head.bias]
    groups = [{"params": others, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]
    optimizer, steps, losses, logits = torch.optim.AdamW(groups, lr=rate), N // s.batch_size, [], []
    loss_of = nn.BCEWithLogitsLoss() if p.multilabel else nn.CrossEntropyLoss()
    for epoch in range(s.epochs):
        rows, total = order(seed, epoch, N, VIEWS, s.epochs), 0.0
        for i in range(steps):
            step = epoch * steps + i
            for group in optimizer.param_groups:
                group["lr"] = 1e-8 + (rate - 1e-8) * (step + 1) / steps if step < steps else rate
            at = rows[i * s.batch_size : (i + 1) * s.batch_size]
            x = torch.from_numpy(np.stack([p.train[row // N][row % N] for row in at]))
            optimizer.zero_grad()
            loss = loss_of(head(x), p.train_targets[torch.from_numpy(at % N)])
            loss.backward()
            nn.utils.clip_grad_norm_(head.parameters(), s.clip)
            optimizer.step()
            total += float(loss.detach())
        losses.append(total / steps)
        with torch.no_grad():
            logits.append(head(torch.from_numpy(np.asarray(p.val))))
    return losses, logits


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_grid_equals_training_each_head_alone(multilabel: bool) -> None:
    p, s = problem(multilabel), settings()
    made, trained = train_attentive(p, s, [0, 7], CPU)
    assert candidates_of(s) == [(3e-3, 0.0), (3e-3, 0.3), (3e-2, 0.0), (3e-2, 0.3)]
    for i, seed in enumerate([0, 7]):
        for j, (rate, decay) in enumerate(candidates_of(s)):
            losses, logits = alone(p, s, seed, rate, decay)
            np.testing.assert_allclose(trained.loss[:, i, j], losses, rtol=2e-4)
            with torch.inference_mode():
                ours = made._forward(torch.from_numpy(p.val), trained.weight[i, [j], 0])["logits"][:, 0]
            torch.testing.assert_close(ours, logits[trained.best_epoch[i, j]], rtol=2e-3, atol=2e-3)
            if not multilabel:
                values = [cohen_kappa_score(p.val_targets, one.argmax(1), weights="quadratic") for one in logits]
                np.testing.assert_allclose(trained.curve[:, i, j], values, atol=1e-6)
    assert trained.best.max() > 0.5, "attention finds the token that has the class"


def test_gradients_equal_autograds() -> None:
    p, s = problem(), settings()
    with torch.inference_mode(False):
        made = AttentiveGrid(p, s, [3], CPU)
        layout, x = made.layout, torch.from_numpy(p.train[0][:5]).double()
        made.centre, made.deviation = made.centre.double(), made.deviation.double()
        weight = (0.3 * torch.randn(4, layout.total, generator=torch.Generator().manual_seed(0))).double()
        slope, into = (
            torch.randn(4, 5, C, generator=torch.Generator().manual_seed(1)).double(),
            torch.empty_like(weight),
        )
        made._backward(x, slope, made._forward(x, weight), weight, into)
        for g in range(4):
            own = Aim([part.float() for part in layout.parts(weight[[g]])], p.train[0]).double()
            own.mean, own.std = made.centre, made.deviation
            for value, part in zip(own.parameters(), layout.parts(weight[[g]]), strict=False):
                assert value.numel() == part.numel()
            with torch.no_grad():
                q, k, v, head, bias = (part[0] for part in layout.parts(weight[[g]]))
                own.query.copy_(q)
                own.keys.weight.copy_(k.reshape(-1, D))
                own.values.weight.copy_(v.reshape(-1, D))
                own.head.weight.copy_(head)
                own.head.bias.copy_(bias)
            (own(x) * slope[g]).sum().backward()
            theirs = [own.query, own.keys.weight, own.values.weight, own.head.weight, own.head.bias]
            for ours, reference in zip(layout.parts(into[[g]]), theirs, strict=True):
                assert reference.grad is not None
                torch.testing.assert_close(ours.reshape(-1), reference.grad.reshape(-1), rtol=1e-9, atol=1e-10)


def test_a_checkpoint_is_resumed_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    p, s, file = problem(), settings(), tmp_path / "grid.safetensors"
    _, complete = train_attentive(p, s, [0], CPU)
    plain, seen = grid.Grid.epoch, []

    def cut(self: Any, epoch: int) -> None:
        if epoch == 3:
            raise KeyboardInterrupt
        plain(self, epoch)

    monkeypatch.setattr(grid, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(grid.Grid, "epoch", cut)
    with pytest.raises(KeyboardInterrupt):
        train_attentive(p, s, [0], CPU, file)
    monkeypatch.setattr(grid.Grid, "epoch", lambda self, epoch: (seen.append(epoch), plain(self, epoch))[1])
    _, resumed = train_attentive(p, s, [0], CPU, file)
    assert seen == [3, 4, 5]
    assert torch.equal(resumed.weight, complete.weight)
    np.testing.assert_array_equal(resumed.curve, complete.curve)


def test_a_channel_that_never_varies_is_left_alone() -> None:
    tokens = np.random.default_rng(0).normal(size=(40, 3, 4)).astype(np.float32)
    tokens[:, :, 2] = 0.1
    mean, deviation = token_statistics(tokens, at_once=7)
    np.testing.assert_allclose(mean, tokens.reshape(-1, 4).mean(0), atol=1e-6)
    np.testing.assert_allclose(np.delete(deviation.numpy(), 2), np.delete(tokens.reshape(-1, 4).std(0), 2), rtol=1e-5)
    assert deviation[2] == 1


def test_attention_heads_must_divide_the_width() -> None:
    with pytest.raises(MedbenchError, match="12 attention heads cannot share a width of 1280") as caught:
        Layout.of(settings(attention_heads=12, width=None), 1280, 5)
    assert "attention_heads" in caught.value.hint
