"""Processes, device and precision; with several processes, by an accelerator that plays each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from medbench.errors import MedbenchError
from medbench.training import machine as place
from medbench.training.machine import Machine, agreed, count_trainable, frozen_digest, machine, trained_state


class Numbered(Dataset[Tensor]):
    """Image i is [i, i]; remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __getitems__(self, at: Sequence[int]) -> Tensor:
        self.asked.append(list(at))
        return torch.tensor([[i, i] for i in at])


class Played:
    """The accelerator of process `rank` of `world`; `gather` gives what all of them would."""

    def __init__(self, rank: int, world: int, all_parts: Callable[[], Tensor] | None = None) -> None:
        self.process_index, self.num_processes, self.all_parts = rank, world, all_parts
        self.device, self.given = torch.device("cpu"), torch.empty(0)

    def gather(self, part: Tensor) -> Tensor:
        self.given = part
        return part.repeat(self.num_processes, *[1] * (part.ndim - 1)) if self.all_parts is None else self.all_parts()


def several(world: int, **more: Any) -> list[Machine]:
    return [Machine(Played(rank, world, **more), "fp32", 0) for rank in range(world)]


@pytest.mark.parametrize("n", [1, 7, 9])
def test_shares_are_gathered_in_order(n: int) -> None:
    rows, machines = np.arange(n), several(3)
    shares = [m.share(rows) for m in machines]
    assert sorted(row for share in shares for row in share) == list(range(n))
    for m, share in zip(machines, shares, strict=True):
        m.gather(torch.from_numpy(share * 10)[:, None], n)
    padded = torch.cat([m.accelerator.given for m in machines])
    (one, *_) = several(3, all_parts=lambda: padded)
    assert one.gather(torch.from_numpy(shares[0] * 10)[:, None], n)[:, 0].tolist() == [10 * row for row in rows]


def test_predictions_come_in_order_by_batches() -> None:
    alone, images = machine("fp32", "cpu", 0), Numbered()
    scale = nn.Parameter(torch.tensor(2.0))
    found = alone.predict(lambda x: (x * scale).float(), images, 70, 2)
    assert torch.equal(found, torch.arange(70)[:, None].expand(70, 2) * 2.0)
    assert not found.requires_grad
    assert [len(batch) for batch in images.asked] == [32, 32, 6]
    assert alone.predict(lambda x: x.float(), images, 0, 2).shape == (0, 2)


def test_each_process_predicts_its_share() -> None:
    (_, second), images = several(2), Numbered()
    second.predict(lambda x: x.float(), images, 5, 2)
    assert images.asked == [[1, 3]]


def test_buffers_are_the_first_process_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "broadcast", lambda value: torch.full_like(value, 5))
    net, other = nn.BatchNorm1d(2), nn.BatchNorm1d(3)
    machine("fp32", "cpu", 0).broadcast_buffers(net)
    assert net.running_mean.tolist() == [0, 0], "one process agrees with itself"
    several(2)[0].broadcast_buffers(net, other)
    assert net.running_mean.tolist() == [5, 5]
    assert other.running_var.tolist() == [5, 5, 5]
    assert net.weight.tolist() == [1, 1], "parameters have the same gradients everywhere"


def test_a_network_keeps_its_batch_norm_on_a_cpu() -> None:
    net = several(2)[0].place(nn.Sequential(nn.BatchNorm1d(2)))
    assert type(net[0]) is nn.BatchNorm1d


def test_a_process_can_change_its_precision() -> None:
    half, single = machine("bf16", "cpu", 0), machine("fp32", "cpu", 0)
    assert (half.precision, single.precision) == ("bf16", "fp32")
    with single.accelerator.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    again = machine("bf16", "cpu", 0)
    with again.accelerator.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    machine("fp32", "cpu", 0)
    assert (again.rank, again.world, again.device) == (0, 1, torch.device("cpu"))


def test_a_missing_tracker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MedbenchError, match="package wandb is not installed"):
        machine("fp32", "cpu", 0, log=["wandb"])


def test_one_process_agrees_with_itself() -> None:
    assert agreed({"path": None, "n": 3}) == {"path": None, "n": 3}


def network() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    return net


def test_training_changes_parameters_with_gradients_and_moving_buffers() -> None:
    net = network()
    buffers = {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert trained_state(net).keys() == {"1.weight", "1.bias", "2.weight", "2.bias", *buffers}
    net[1].eval()
    assert trained_state(net).keys() == {"1.weight", "1.bias", "2.weight", "2.bias"}
    assert count_trainable(net) == 4 + 4 + 8 + 2


@pytest.mark.parametrize(("name", "seen"), [("0.weight", True), ("2.weight", False), ("1.running_mean", False)])
def test_the_digest_is_of_what_must_not_change(name: str, seen: bool) -> None:
    net = network()
    before = frozen_digest(net)
    assert frozen_digest(net) == before
    net.state_dict()[name].view(-1)[0] += 1
    assert (frozen_digest(net) != before) is seen


def test_a_gathered_rows_gradient_is_the_sum_of_all_processes() -> None:
    """Three processes with seven rows: each has some rows, uses all of them, and gets the gradient of its own."""
    rows, weights = torch.randn(7, 2), torch.randn(3, 7, 2)
    machines = several(3, all_parts=lambda: padded)
    padded = torch.cat([torch.cat([rows[rank::3], torch.zeros(3, 2)])[:3] for rank in range(3)])
    for m in machines:
        part = rows[m.rank :: 3].clone().requires_grad_()
        m.accelerator.reduce = lambda gradient, how: weights.sum(0) if how == "sum" else None
        found = m.gather_with_gradient(part, 7)
        assert torch.equal(found, rows)
        (found * weights[m.rank]).sum().backward()
        torch.testing.assert_close(part.grad, weights.sum(0)[m.rank :: 3])
    alone = rows.clone().requires_grad_()
    assert machine("fp32", "cpu", 0).gather_with_gradient(alone, 7) is alone
