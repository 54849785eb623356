"""The search for the learning rate, on trainings that are only told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from medbench.cards.recipes import FinetuneRecipe, Settings
from medbench.protocols import tuning
from medbench.protocols.context import Context, Outcome
from medbench.training.finetune.result import Curve, Fitted

from .made import Images, job

RATES = [1e-4, 1e-3, 1e-2]
VALUES = {(0, 1e-4): 0.5, (0, 1e-3): 0.7, (0, 1e-2): 0.6, (1, 1e-4): 0.9, (1, 1e-3): 0.55, (1, 1e-2): 0.8}


@pytest.fixture
def failures() -> dict[tuple[int, float], str]:
    """Return (seed, rate) -> why that training fails; tests fill it."""
    return {}


@pytest.fixture(autouse=True)
def trained(monkeypatch: pytest.MonkeyPatch, failures: dict[tuple[int, float], str]) -> set[tuple[int, float]]:
    """Return the (seed, rate) of each training that was asked for; none is really made."""
    done: set[tuple[int, float]] = set()

    def fit(context: Context[Any], task: object, build: object, seed: int, rate: float) -> Fitted:
        done.add((seed, rate))
        failed = failures.get((seed, rate), "")
        value = float("nan") if failed else VALUES.get((seed, rate), 0.4)
        curve = Curve([value / 2, value], [1.0, 0.5], [rate, rate], [3, 6])
        scores = np.random.default_rng(seed).random((45, 3)).astype(np.float32)
        return Fitted(value, 1, 6, scores, {}, curve, {"train_images_per_second": 5.0}, failed)

    monkeypatch.setattr(tuning, "_fit", fit)
    monkeypatch.setattr(tuning, "_test", lambda context, task, build, fitted, seed, rate: (np.full((2, 3), rate), {}))
    return done


def tuned(folder: Path, seeds: list[int], chosen: Any = None, **settings: Any) -> dict[int, Outcome]:
    recipe = FinetuneRecipe(learning_rates=RATES, **settings)
    machine: Any = SimpleNamespace(world=1, rank=0)
    given = job(recipe, folder, None, seeds=seeds, machine=machine, chosen=chosen)
    return tuning.tune(given, lambda seed: pytest.fail("built"))


def test_the_rate_is_searched_on_the_first_seeds_alone(tmp_path: Path, trained: set[tuple[int, float]]) -> None:
    outcomes = tuned(tmp_path, [0, 1, 2])
    assert {outcome.chosen["learning_rate"] for outcome in outcomes.values()} == {1e-3}
    assert trained == {(0, rate) for rate in RATES} | {(1, 1e-3), (2, 1e-3)}
    assert outcomes[1].chosen["val"] == 0.55
    assert (outcomes[1].log_odds_test == 1e-3).all()
    assert outcomes[0].selection["seeds"] == [0]
    assert outcomes[0].history["candidate"] == [rate for rate in RATES for _ in range(2)]
    assert outcomes[2].history["val"] == [0.2, 0.4]
    assert outcomes[2].counts == {"train_images_per_second": 5.0}


def test_further_seeds_take_over_the_rate_and_equal_a_run_of_all(
    tmp_path: Path, trained: set[tuple[int, float]]
) -> None:
    every, first = tuned(tmp_path, [0, 1, 2]), tuned(tmp_path, [0, 1])
    trained.clear()
    before: Any = {**first[0].chosen, "selection": first[0].selection}
    more = tuned(tmp_path, [2], before)
    assert trained == {(2, 1e-3)}
    for name in ("chosen", "selection", "history", "warnings", "counts"):
        for seed, outcome in (first | more).items():
            assert getattr(outcome, name) == getattr(every[seed], name)


def test_of_two_searched_seeds_the_mean_counts(tmp_path: Path) -> None:
    outcomes = tuned(tmp_path, [0, 1], lr_search_seeds=2)
    assert outcomes[0].chosen["learning_rate"] == 1e-4  # .7, .625 and .7: the first of equals
    assert [c["mean"] for c in outcomes[0].selection["candidates"]] == pytest.approx([0.7, 0.625, 0.7])


def test_a_rate_at_which_a_seed_failed_is_not_taken(tmp_path: Path, failures: dict[tuple[int, float], str]) -> None:
    failures[0, 1e-3] = "the loss is nan"
    outcomes = tuned(tmp_path, [0, 1])
    assert outcomes[0].chosen["learning_rate"] == outcomes[1].chosen["learning_rate"] == 1e-2
    assert "learning rate 0.001, seed 0: the loss is nan" in outcomes[0].warnings
    failures.update({(0, rate): "the loss is nan" for rate in RATES})
    assert {outcome.failed for outcome in tuned(tmp_path, [0, 1]).values()} == {"the loss is nan"}


def test_blocks_are_recomputed_for_large_images_on_a_gpu_unless_told(tmp_path: Path) -> None:
    def found(device: str, size: int, settings: Settings) -> bool:
        return tuning.checkpointed(job(settings, tmp_path, None, device=torch.device(device)), size)

    plain = FinetuneRecipe()
    assert [found("cuda", size, plain) for size in (511, 512)] == [False, True]
    assert not found("cpu", 1024, plain)
    assert found("cpu", 64, FinetuneRecipe(checkpointing=True))
    assert not found("cuda", 1024, FinetuneRecipe(checkpointing=False))


def test_a_head_that_is_given_is_the_first(tmp_path: Path) -> None:
    head = torch.arange(3 * 96).reshape(3, 96) / 96, torch.tensor([1.0, 2.0, 3.0])
    network = tuning.whole(job(FinetuneRecipe(), tmp_path, Images("toy-cnn")), 0, head).network
    assert torch.equal(network.head.weight, head[0])  # type: ignore[union-attr, arg-type]
    assert torch.equal(network.head.bias, head[1])  # type: ignore[union-attr, arg-type]
