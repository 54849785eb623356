"""What the adapters' protocols share."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import softmax

import medbench
from medbench import metrics
from medbench.cards.recipes import TipAdapter
from medbench.errors import MedbenchError
from medbench.protocols.adapters.parts import class_vectors, labels, outcome, raw, views

ALL = ["clip-adapter", "tip-adapter", "tip-adapter-f", "clap", "zs-lp", "lp++"]


@pytest.mark.parametrize("rule", ["unit", "flair", "raw"])
def test_class_vectors_have_length_one_but_flairs(job, rule):
    given = job(TipAdapter())
    given = dataclasses.replace(given, language=dataclasses.replace(given.words, rule=rule))
    found = class_vectors(given)
    lengths = found.norm(dim=1)
    if rule == "flair":
        assert float(lengths[1]) < 0.999  # of two texts that differ
    else:
        torch.testing.assert_close(lengths, torch.ones(3))
    assert found.shape == (3, 16)


def test_tensors_are_those_of_the_job(job):
    given = job(TipAdapter(), shots=2)
    assert labels(given).tolist() == [0, 1, 2, 0, 1, 2]
    assert len(labels(given, "val")) == 30
    assert [len(view) for view in views(given, 3, given.settings.augment)] == [6, 6, 6]
    torch.testing.assert_close(views(given, 0, given.settings.augment)[0], raw(given, "train"))


def test_logits_become_log_odds_of_their_softmax(job):
    given = job(TipAdapter(), val=0)
    found = outcome(given, lambda images: images[:, :3])
    shares = softmax(given.inputs.clean("test")[:, :3].astype(np.float64), axis=1)
    np.testing.assert_allclose(metrics.probabilities(found.log_odds_test), shares, atol=1e-9)
    assert found.log_odds_val.shape == (0, 3)


def test_all_adapters_run_from_their_cards(tmp_path):
    given = {"model": "toy-clip", "dataset": "toy-multiclass", "seeds": 1}
    changes = {"shots": [1, 2], "views": 0, "epochs": 2, "batch_size": 4}
    records = medbench.run(**given, protocol=ALL, changes=changes)
    found = {(one.unit.protocol, one.unit.options["shots"]): one for one in records}
    assert set(found) == {(protocol, shots) for protocol in ALL for shots in (1, 2)}
    for (protocol, shots), record in found.items():
        assert record.score is not None
        assert set(record.n["train"].classes.values()) == {shots}
        assert record.provenance["language"]["prompts"]
        assert ("no validation data used" in record.selection["by"]) == (protocol in ("clap", "zs-lp"))
    # solved with its siblings or alone, a probe is the same
    (alone,) = medbench.run(**given, protocol="clap", changes={**changes, "shots": 2}, runs=tmp_path)
    assert alone.score == pytest.approx(found["clap", 2].score, abs=1e-6)


@pytest.mark.parametrize("protocol", [*ALL, "few-shot"])
def test_several_findings_are_refused_before_anything_is_computed(protocol):
    more = {"head": "zs-lp"} if protocol == "few-shot" else {}
    with pytest.raises(MedbenchError, match="does not support several findings per sample") as caught:
        medbench.run(model="toy-clip", protocol=protocol, dataset="toy-multilabel", changes={"shots": 2, **more})
    assert "zero-shot" in caught.value.hint
