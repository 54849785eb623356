"""Prototypes and logits against open_clip's, CLIP_benchmark's and FLAIR's own results, and against their formulas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medbench.models.prototypes import cosines, logits, prototypes, unit

CLOSE = 5e-6


def golden(shared: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(shared / "parity_vl" / name / "golden.npz") as file:
        return {key: file[key] for key in file.files}


def off(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def softmax(values: np.ndarray) -> np.ndarray:
    exp = np.exp(values - values.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("rule", "name"), [("unit", "clip"), ("flair", "flair"), ("raw", "rawmean")])
def test_the_three_rules_give_the_official_logits(shared, rule, name):
    known = golden(shared, "zero_shot_classifier")
    found = prototypes(list(known["text"]), rule)
    wanted = known[f"prototypes_{name}"]
    assert off(unit(found) if rule == "raw" else found, wanted) < CLOSE
    scaled = logits(cosines(known["image"], found, rule), 100.0)
    assert off(scaled, known[f"logits_{name}"]) < CLOSE
    assert (scaled.argmax(1) == known["labels"]).mean() == {"unit": 0.95, "flair": 1.0, "raw": 0.9}[rule]
    if rule == "unit":
        assert off(softmax(scaled), known["probs_clip"]) < CLOSE


def test_siglip_and_pairs_give_the_official_probabilities(shared):
    known = golden(shared, "zero_shot_classifier")
    near = cosines(known["image"], known["prototypes_clip"], "unit")
    found = logits(near, float(np.exp(4.6052)), bias=-10.0)
    assert off(found, known["siglip_logits"]) < CLOSE
    assert off(1 / (1 + np.exp(-found)), known["siglip_probs"]) < CLOSE
    absent = cosines(known["image"], known["negative_prototypes"], "unit")
    pairs = logits(near, 100.0, absent=absent)
    assert off(1 / (1 + np.exp(-pairs)), known["multilabel_pair_probs"]) < CLOSE


@pytest.mark.parametrize("texts", ["expert", "names"])
def test_flairs_own_logits_and_probabilities(shared, texts):
    known = golden(shared, "flair_zero_shot")
    manifest = json.loads((shared / "parity_vl" / "flair_zero_shot" / "manifest.json").read_text(encoding="utf-8"))
    if texts == "expert":
        ends = np.cumsum([len(listed) for listed in manifest["prompts"].values()])[:-1]
        found = prototypes(np.split(known["expert_prompt_embeddings"], ends), "flair")
    else:
        found = prototypes(list(known["names_prototypes"][:, None]), "flair")
    assert off(found, known[f"{texts}_prototypes"]) < CLOSE
    scaled = logits(cosines(known["image_embeddings"], found, "flair"), 1 / 0.07)
    assert off(scaled, known[f"{texts}_logits"]) < CLOSE
    assert off(softmax(scaled), known[f"{texts}_probs"]) < CLOSE
    if texts == "expert":
        other = logits(cosines(known["image_embeddings"], found, "unit"), 1 / 0.07)
        assert off(other, known["not_official_renormalised_logits"]) < CLOSE


def test_flairs_adapter_scores_stored_features(shared):
    known = golden(shared, "flair_adapters")
    found = softmax(logits(cosines(known["test"], known["text"], "flair"), float(np.exp(2.6592600345611572))))
    assert off(found, known["zero_shot_probs"]) < CLOSE


def test_flairs_rule_is_the_mean_of_the_texts_cosines():
    source = np.random.default_rng(0)
    texts, images = [source.normal(size=(p, 8)) for p in (1, 3, 4)], source.normal(size=(5, 8))
    found = cosines(images, prototypes(texts, "flair"), "flair")
    wanted = [
        [np.mean([image @ text / np.linalg.norm(image) / np.linalg.norm(text) for text in one]) for one in texts]
        for image in images
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_vector_of_length_zero_is_near_to_nothing():
    found = cosines(np.zeros((1, 3)), prototypes([np.eye(3)[:1]], "unit"), "unit")
    assert found.tolist() == [[0.0]]
