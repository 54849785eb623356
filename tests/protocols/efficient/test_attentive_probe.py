"""The attentive probe on tokens of a bank: choice, scores, kept weights, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from medbench import metrics
from medbench.cards.recipes import AttentiveProbe
from medbench.errors import CardError, MedbenchError
from medbench.metrics import probabilities
from medbench.protocols.context import Context, FeatureBank
from medbench.protocols.efficient import attentive_probe

from ..made import Images, job

RATES, DECAYS = [1e-4, 3e-2], [0.0, 0.1]


def given(folder: Path, bank: bool = True, model: str = "toy-vit", **changes: Any) -> Context[AttentiveProbe]:
    settings = AttentiveProbe(
        epochs=4, batch_size=20, learning_rates=RATES, weight_decays=DECAYS, warmup_epochs=1, views=2, width=8
    )
    plain, source = job(settings, folder, None), np.random.default_rng(0)

    def tokens(targets: np.ndarray) -> np.ndarray:
        found = source.normal(size=(len(targets), 6, 10))
        found[np.arange(len(targets)), source.integers(6, size=len(targets)), targets] += 5
        return found.astype(np.float32)

    val, train = tokens(plain.val_targets), tokens(plain.train_targets)
    made = FeatureBank({"val": val, "test": val}, [train, train + 0.1])
    return job(settings, folder, Images(model, made if bank else None), seeds=[0, 4], **changes)


def test_the_pair_of_the_best_mean_over_seeds_is_every_seeds(tmp_path: Path) -> None:
    context = given(tmp_path, keep_weights=True)
    outcomes = attentive_probe.run(context)
    assert context.inputs.asked == [(["tokens"], "tokens")]  # type: ignore[attr-defined]
    means = [c["mean"] for c in outcomes[0].selection["candidates"]]
    pairs = [(c["learning_rate"], c["weight_decay"]) for c in outcomes[0].selection["candidates"]]
    assert pairs == [(rate, decay) for rate in RATES for decay in DECAYS]
    for outcome in outcomes.values():
        assert outcome.log_odds_val is not None
        assert outcome.log_odds_test is not None
        best = pairs[int(np.argmax(means))]
        assert (outcome.chosen["learning_rate"], outcome.chosen["weight_decay"]) == best
        value = metrics.score("recall_macro", probabilities(outcome.log_odds_val), context.val_targets)
        assert value == pytest.approx(outcome.chosen["val"])
        np.testing.assert_allclose(outcome.log_odds_test, outcome.log_odds_val, atol=1e-5)
        parts = ("query", "key", "value", "head.weight", "head.bias")
        assert outcome.counts["trainable_parameters"] == sum(outcome.weights[part].numel() for part in parts)
        assert outcome.weights["key"].shape == (4, 2, 10)
        assert len(set(outcome.history["candidate"])) == 4
    assert not torch.equal(outcomes[0].weights["query"], outcomes[4].weights["query"])


def test_an_encoder_with_one_token_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = given(tmp_path, model="toy-cnn")
    encoder = SimpleNamespace(tokens=lambda x: torch.zeros(1, 1, 4), card=SimpleNamespace(name="toy-cnn"))
    monkeypatch.setattr(Images, "encoder", lambda self: SimpleNamespace(to=lambda device: encoder))
    with pytest.raises(CardError, match="toy-cnn gives 1 patch token at 64 pixels") as caught:
        attentive_probe.run(context)
    assert "--image-size" in caught.value.hint


def test_tokens_that_do_not_fit_are_told(tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match="64 tokens for each image and view need more") as caught:
        attentive_probe.run(given(tmp_path, bank=False))
    assert "views" in caught.value.hint
