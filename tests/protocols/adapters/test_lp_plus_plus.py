"""LP++: which epoch is kept, on which images it is chosen, and the seed's bias."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from medbench.cards.recipes import LpPlusPlus
from medbench.metrics import log_odds
from medbench.protocols.adapters import lp_plus_plus
from medbench.protocols.adapters.parts import class_vectors, labels, raw
from medbench.training.adapters import lp_plus_plus as numeric


def probes(given, *, reset):
    images, text = normalize(raw(given, "train"), dim=1), class_vectors(given)
    start = numeric.initial(images, labels(given), text, numeric.drawn_bias(0, 3, 16))
    return [probe for probe, _ in numeric.train(start, images, labels(given), text, 30, reset=reset)]


def test_the_last_epoch_of_the_best_validation_accuracy_is_kept(job):
    given = job(LpPlusPlus(epochs=30))
    outcome = lp_plus_plus.run(given)[0]
    val, text = normalize(raw(given, "val"), dim=1), class_vectors(given)
    known = probes(given, reset=False)
    right = [int((one.logits(val, text).argmax(1).numpy() == given.val_targets).sum()) for one in known]
    best = max(epoch for epoch, value in enumerate(right) if value == max(right))
    assert outcome.chosen["epoch"] == best
    assert outcome.selection["ties"] == right.count(max(right))
    wanted = log_odds(known[best].logits(normalize(raw(given, "test"), dim=1), text).numpy(), multilabel=False)
    np.testing.assert_allclose(outcome.log_odds_test, wanted, rtol=1e-6)
    assert outcome.chosen["factors"] == known[best].factors.tolist()


def test_the_last_epoch_is_kept_without_validation_or_where_asked(job):
    plain = job(LpPlusPlus(epochs=30, best_epoch=False))
    for given in (job(LpPlusPlus(epochs=30), val=0), job(LpPlusPlus(epochs=30, shots="all", val="none")), plain):
        outcome = lp_plus_plus.run(given)[0]
        assert "epoch" not in outcome.chosen, "nothing was chosen"
        assert outcome.selection["by"] == "the last epoch"
    text = class_vectors(given)
    wanted = probes(given, reset=False)[-1].logits(normalize(raw(given, "test"), dim=1), text)
    np.testing.assert_allclose(outcome.log_odds_test, log_odds(wanted.numpy(), multilabel=False), rtol=1e-6)


def test_a_reset_changes_the_factors_and_the_seed_the_bias(job):
    runs = [
        lp_plus_plus.run(job(LpPlusPlus(epochs=30, best_epoch=False, reset=reset), seeds=[seed]))[seed]
        for reset, seed in ((False, 0), (True, 0), (True, 1))
    ]
    assert runs[0].chosen["factors"] != runs[1].chosen["factors"]
    assert not np.array_equal(runs[1].log_odds_test, runs[2].log_odds_test)
    assert not torch.equal(numeric.drawn_bias(0, 3, 16), numeric.drawn_bias(1, 3, 16))
