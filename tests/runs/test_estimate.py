"""The cost of a plan: forwards by hand, and hours from measured speeds."""

from __future__ import annotations

import pytest

from medbench.api import carry_out
from medbench.papers.cells import CellSpec
from medbench.records import store
from medbench.runs.estimate import device_name, estimate, trained_forwards
from medbench.runs.fill_paper import adapted, plan_filling
from medbench.runs.jobs import Options

from .conftest import planned


def test_forwards_and_hours(root, isolated):
    filling = planned(root)
    data = filling.plan.jobs[0].dataset
    train = len(data.rows("train"))
    cost = estimate(filling.plan, [])
    assert cost.forwards == 2 * (90 + 2 * train), "two sizes; k-NN and the linear head share one pass"
    assert cost.hours is None
    assert cost.unknown == ("tiny features at 32 px", "tiny features at 40 px")
    carry_out(planned(root, "t1").plan)
    (first, *_), records = (list(store.read_all(Options().runs)) for _ in range(2))
    fresh = planned(root, "t1", seeds=2, changes={"epochs": 5, "views": 4})
    cost = estimate(fresh.plan, records)
    timed = next(r for r in records if r.counts["forwards"])
    heads = next(r.timings["protocol"] for r in records if r.unit.protocol == "quick")
    near = next(r.timings["protocol"] for r in records if r.unit.protocol == "near")
    speed = timed.counts["forwards"] / timed.timings["extract"]
    done = {job.protocol.name for job in fresh.plan.todo}
    expected = (90 + 4 * train) / speed + heads + (near if "near" in done else 0)
    assert cost.hours * 3600 == pytest.approx(expected)
    assert cost.device == first.provenance["device"] == device_name("cpu")
    assert cost.basis[0].startswith("tiny features at 32 px ")
    other = [record.model_copy(update={"provenance": {"device": "another machine"}}) for record in records]
    assert estimate(fresh.plan, other).hours is None, "another machine's speed tells nothing"


def test_training_counts_every_rate_seed_and_epoch(root):
    options = Options(data_root=root, changes={"epochs": 3, "learning_rates": [1e-4, 1e-3]})
    wanted = adapted([CellSpec("tiny", "linear-unfrozen", "stripes", seeds=4)], options)
    (job,) = plan_filling(wanted, (), options).plan.jobs
    train, val, test = (len(job.dataset.rows(split)) for split in ("train", "val", "test"))
    runs = 2 * job.settings.lr_search_seeds + 4 - job.settings.lr_search_seeds
    assert trained_forwards(job) == runs * 3 * (train + val) + 4 * test
