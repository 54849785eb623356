"""The steps of an adapter's training against the schedules of torch and of the published codes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from medbench.training.adapters.steps import drawn_orders, steps_of


def torch_rates(schedule: torch.optim.lr_scheduler.LRScheduler, number: int) -> list[float]:
    found = []
    for _ in range(number):
        found.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(("name", "each"), [("step", 1), ("epoch", 3)])
def test_the_cosine_is_that_of_torch(name, each):
    orders = [np.arange(20)] * 5  # 3 steps an epoch
    found = steps_of(orders, 8, name).rates(1e-3)
    rule = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    wanted = torch_rates(torch.optim.lr_scheduler.CosineAnnealingLR(rule, 15 // each), 15 // each)
    np.testing.assert_allclose(found, np.repeat(wanted, each), rtol=1e-9)


def test_the_cosine_after_a_warm_up_starts_late_and_does_not_end_at_zero():
    found = steps_of([np.arange(4)] * 6, 2, "warm").rates(0.1)
    wanted = [1e-5, *(0.05 * (1 + math.cos(math.pi * (epoch - 1) / 6)) for epoch in range(1, 6))]
    np.testing.assert_allclose(found, np.repeat(wanted, 2))
    assert found[-1] > 0
    assert steps_of([np.arange(4)] * 6, 2, "constant").rates(0.1) == [0.1] * 12


def test_an_epoch_has_each_image_once_in_some_view():
    orders = drawn_orders("name", 0, epochs=3, n=10, views=4)
    for order in orders:
        assert sorted(order % 10) == list(range(10))
        assert set(order // 10) <= set(range(4))
    assert len(set(np.concatenate(orders) // 10)) == 4
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], drawn_orders("name", 0, epochs=1, n=10, views=4)[0])
    assert not np.array_equal(orders[0], drawn_orders("name", 1, epochs=1, n=10, views=4)[0])
    once = drawn_orders("name", 0, epochs=3, n=10, once=True)
    assert len(once) == 3
    np.testing.assert_array_equal(once[0], once[2])


def test_a_step_holds_at_most_its_size():
    steps = steps_of([np.arange(7)], 3, "constant")
    assert [rows.tolist() for rows in steps.rows] == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(steps) == 3
