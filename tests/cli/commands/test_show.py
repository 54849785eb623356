"""`medbench show`."""

from __future__ import annotations

import json

MODEL = """
title: A small network
arch: squeezenet1_1
parameters: 0.7
weights: {url: "https://example.org/files/small.pth", licence: MIT, gated: true}
pretraining: {data: [ImageNet-1k, Our_Data], images: 1200000}
"""
DATASET = """
title: Ours
licence: private
layout: {kind: folders}
task: binary
classes: [ill, well]
metric: auroc
also: [OUR-DATA]
splits: {default: s, rules: {s: {method: stratified}}}
"""


def test_a_data_set_in_full(medbench):
    done = medbench("show", "toy")
    assert done.status == 0
    for text in ("dataset toy", "task: ordinal", "metric: kappa_quadratic", "licence: ", "method: grouped"):
        assert text in done.out


def test_a_protocol_shows_every_preset(medbench):
    out = medbench("show", "linear-frozen").out
    for preset in ("paper", "wacv-code", "fixed"):
        assert f"\n    {preset}: " in out or f"\n    {preset}:\n" in out


def test_a_model_says_licence_gate_file_and_what_it_has_seen(medbench, own_cards):
    (own_cards / "model_zoo" / "small.yaml").write_text(MODEL)
    (own_cards / "datasets" / "ours.yaml").write_text(DATASET)
    (entry,) = json.loads(medbench("show", "small", "--json").out)
    assert entry["kind"] == "model"
    assert entry["weights"]["licence"] == "MIT"
    assert entry["weights"]["gated"] is True
    assert entry["contamination"] == ["ours"], "names agree whatever their case and dashes"
    text = medbench("show", "small").out
    assert "contamination: ours" in text
    assert "medbench weights download small" in text
    (entry,) = json.loads(medbench("show", "ours", "--json").out)
    assert entry["contamination"] == ["small"]


def test_one_name_may_stand_for_two_cards(medbench, own_cards):
    (own_cards / "model_zoo" / "ours.yaml").write_text(MODEL)
    (own_cards / "datasets" / "ours.yaml").write_text(DATASET)
    assert [entry["kind"] for entry in json.loads(medbench("show", "ours", "--json").out)] == ["model", "dataset"]


def test_a_card_file_is_shown_too(medbench, tmp_path):
    (tmp_path / "mine.yaml").write_text(DATASET)
    assert medbench("show", tmp_path / "mine.yaml").out.startswith("dataset mine")


def test_unknown_names_suggest_near_ones(medbench):
    done = medbench("show", "toy-binari")
    assert done.status == 2
    assert done.err.startswith("error: unknown card 'toy-binari'\nhint: did you mean: toy-binary")


def test_the_fields_of_a_kind_of_card(medbench):
    out = medbench("show", "card", "dataset").out
    for text in ("layout (kind: csv)\n", "  exclude: text; optional\n      Text file", "task: binary | multiclass"):
        assert text in out
    assert "k: whole number" in medbench("show", "card", "knn").out
    parts = json.loads(medbench("show", "card", "protocol", "--json").out)
    assert "presets" in [field["name"] for field in parts[0]["fields"]]
    assert medbench("show", "card", "data").err.startswith(
        "error: unknown kind of card 'data'\nhint: did you mean: data"
    )
    assert "medbench show card dataset" in medbench("show", "card").err
    assert "one name at a time" in medbench("show", "toy", "knn").err
