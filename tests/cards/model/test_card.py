"""Model cards: what they become under a preset, a library and a pooled feature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from medbench import cards
from medbench.cards import ModelCard, find_model
from medbench.cards.model import Weights
from medbench.errors import CardError

FIELDS: dict[str, Any] = {
    "name": "mine",
    "arch": "test_vit",
    "args": {"depth": 2, "num_classes": 5},
    "remove": ["neck"],
    "weights": {"url": "https://x.org/w.pth", "prefix": "visual.", "rename": {"a": "b"}, "sha256": "0123abcd"},
    "input": {"size": 96, "mean": [0.1, 0.2, 0.3], "fit": "squash"},
    "position": {"antialias": False},
    "features": {"pooled": "cls", "token_norm": False, "dim": 64},
    "presets": {"fixed": {"features": {"pooled": "token1"}, "weights": {"prefix": "momentum."}, "args": {"depth": 3}}},
    "libraries": {
        "open_clip": {
            "arch": "ViT-B-32",
            "args": {"quick_gelu": True},
            "weights": {"rename": {}},
            "position": {"table": "t"},
        }
    },
    "alternatives": {
        "gap": {"features": {"pooled": "mean", "norm": False, "layer_norm": 1e-6}},
        "wide": {"args": {"num_classes": 7}, "remove": [], "features": {"dim": 7}},
        "cls": {"features": {"pooled": "cls", "norm": False}},
    },
}


def card(**changes: Any) -> ModelCard:
    return ModelCard.model_validate({**FIELDS, **changes})


def deep(place: str, value: Any) -> ModelCard:
    """Return the card with one field, `part.field`, changed."""
    part, _, field = place.partition(".")
    return card(**{part: {**FIELDS[part], field: value} if field else value})


# Presets, libraries, pooled features.


def test_nothing_chosen_is_the_card_without_its_choices() -> None:
    whole, plain = card(), card().resolved()
    assert not plain.presets
    assert not plain.libraries
    assert not plain.alternatives
    assert plain == card(presets={}, libraries={}, alternatives={})
    for same in (whole.resolved(library="timm"), whole.resolved("wacv-code"), whole.resolved("paper", None, None)):
        assert same == plain
    assert whole.presets, "the card itself is as it was"


def test_parts_are_laid_over_field_by_field() -> None:
    found = card().resolved("fixed")
    assert (found.features.pooled, found.features.token_norm, found.features.dim) == ("token1", False, 64)
    assert found.weights is not None
    assert (found.weights.prefix, found.weights.rename, found.weights.sha256) == ("momentum.", {"a": "b"}, "0123abcd")
    assert found.input == card().input


def test_arguments_and_lists_are_laid_over_as_a_whole() -> None:
    assert card().resolved("fixed").args == {"depth": 3}
    wide = card().resolved(pooled="wide")
    assert (wide.args, wide.remove) == ({"num_classes": 7}, [])
    assert (wide.features.pooled, wide.features.dim) == ("cls", 7)


def test_another_library() -> None:
    found = card().resolved(library="open_clip")
    assert (found.library, found.arch, found.args) == ("open_clip", "ViT-B-32", {"quick_gelu": True})
    assert found.weights is not None
    assert (found.weights.rename, found.weights.prefix) == ({}, "visual.")
    assert found.position is not None
    assert (found.position.table, found.position.antialias) == ("t", False)
    bare = card(position=None, weights=None).resolved(library="open_clip")
    assert bare.position is not None
    assert (bare.position.table, bare.position.antialias) == ("t", True), "a part that was not there is the overlay's"


def test_a_part_that_is_overlaid_keeps_what_was_never_said() -> None:
    """Defaults stay defaults: what is laid over must not fix the fields that nobody wrote."""
    found = card().resolved("fixed")
    assert "norm" not in found.features.model_fields_set
    assert "licence" not in found.model_dump(exclude_unset=True)["weights"]


def test_the_order_is_preset_library_feature() -> None:
    found = card().resolved("fixed", "open_clip", "gap")
    assert found.weights is not None
    assert (found.weights.prefix, found.weights.rename) == ("momentum.", {})
    assert found.args == {"quick_gelu": True}
    assert (found.features.pooled, found.features.layer_norm, found.features.token_norm) == ("mean", 1e-6, False)


@pytest.mark.parametrize("rule", ["mean", "cls+mean", "mean+cls", "last4", "token1", "head"])
def test_a_general_rule_forgets_what_the_card_does_to_its_own(rule: str) -> None:
    own = {"pooled": "mean", "norm": False, "layer_norm": 1e-6, "l2": True, "token_norm": False, "dim": 64}
    found = card(features=own).resolved(pooled=rule).features
    assert (found.pooled, found.norm, found.layer_norm, found.l2, found.dim) == (rule, True, None, False, None)
    assert found.token_norm is False, "how tokens are stacked is another matter"


def test_the_cards_own_feature_of_that_name_comes_first() -> None:
    assert card().resolved(pooled="cls").features.norm is False
    assert card(alternatives={}).resolved(pooled="cls").features.norm is True


def test_to_resolve_twice_is_to_resolve_once() -> None:
    for how in ({}, {"preset": "fixed"}, {"library": "open_clip"}, {"pooled": "gap"}, {"pooled": "mean"}):
        found = card().resolved(**how)
        assert found.resolved(found.name if "preset" in how else "paper") == found
        assert found.resolved("fixed") == found
        assert ModelCard.model_validate(found.model_dump()) == found


def test_unknown_choices_name_near_ones() -> None:
    with pytest.raises(CardError, match="unknown library of mine 'openclip'") as caught:
        card().resolved(library="openclip")
    assert caught.value.hint == "did you mean: open_clip"
    with pytest.raises(CardError, match="unknown library of mine 'transformers'") as caught:
        card().resolved(library="transformers")
    assert "open_clip, timm" in caught.value.hint
    with pytest.raises(CardError, match="unknown pooled feature of mine 'gapp'") as caught:
        card().resolved(pooled="gapp")
    assert caught.value.hint == "did you mean: gap"
    with pytest.raises(CardError, match="unknown pooled feature of mine 'meam'") as caught:
        card().resolved(pooled="meam")
    assert "mean" in caught.value.hint


@pytest.mark.parametrize(
    ("field", "name", "overlay", "place"),
    [
        ("presets", "fixed", {"features": {"pooled": "clss"}}, "presets.fixed.features.pooled"),
        ("presets", "fixed", {"featres": {}}, "presets.fixed.featres"),
        ("libraries", "open_clip", {"weights": {"renames": {}}}, "libraries.open_clip.weights.renames"),
        ("libraries", "open_clip", {"arch": 5}, "libraries.open_clip.arch"),
        ("libraries", "flax", {"arch": "a"}, "libraries.flax.library"),
        ("alternatives", "gap", {"features": {"layer_norm": -1}}, "alternatives.gap.features.layer_norm"),
        ("alternatives", "gap", {"input": {"mean": [0.5]}}, "alternatives.gap"),
    ],
)
def test_a_wrong_overlay_is_refused_with_its_place(
    field: str, name: str, overlay: dict[str, Any], place: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({**FIELDS, field: {name: overlay}}), encoding="utf-8")
    with pytest.raises(CardError) as caught:
        find_model(str(path))
    assert f"{place}: " in caught.value.message
    assert caught.value.message.startswith(str(path))


def test_a_resolved_card_lies_where_the_card_lies(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({**FIELDS, "weights": {"file": "w.pth"}}), encoding="utf-8")
    found = find_model(str(path)).resolved("fixed", "open_clip", "gap")
    assert found.folder == tmp_path, "relative paths in it start there"


def test_every_choice_of_the_shipped_cards() -> None:
    for name in cards.names("models"):
        shipped = find_model(name)
        for preset in ("paper", "wacv-code", "fixed"):
            for library in (None, *shipped.libraries):
                for pooled in (None, *shipped.alternatives):
                    found = shipped.resolved(preset, library, pooled)
                    assert found.library == (library or shipped.library), name
                    assert found.name == name
        assert not set(shipped.presets) - {"paper", "wacv-code", "fixed"}, f"{name}: a preset that nothing chooses"


# What is in the key of a run.


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("name", "other"), ("title", "t"), ("citation", "c"), ("notes", "n"), ("links", {"page": "x"}),
        ("parameters", 3.0), ("pretraining", {"method": "CLIP"}), ("features.dim", 65),
        ("text", {"library": "open_clip", "arch": "ViT-B-32", "dim": 4}), ("weights.url", "https://y.org/w.pth"),
        ("weights.hub", {"repo": "a/b", "file": "w", "revision": "main"}), ("weights.file", "w.pth"),
        ("weights.sha256", "ffffffff"), ("weights.bytes", 4), ("weights.licence", "MIT"), ("weights.gated", True),
        ("weights.access", "ask"), ("features.norm", True), ("input.crop", 0.875), ("library", "timm"),
    ],
)  # fmt: skip
def test_what_cannot_change_a_feature_is_not_in_the_key(place: str, value: Any) -> None:
    assert deep(place, value).resolved().material() == card().resolved().material()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("arch", "other"), ("args", {"depth": 3}), ("remove", []), ("library", "open_clip"), ("position", None),
        ("weights", None), ("weights.key", "model"), ("weights.prefix", "other."), ("weights.prefix", ["visual.", ""]),
        ("weights.rename", {"a": "c"}), ("weights.drop", ["x"]), ("weights.transpose", ["x"]), ("weights.lead", ["x"]),
        ("weights.absent", {"x": 1.0}), ("weights.convert", "library"), ("input.mean", [0.1, 0.2, 0.4]),
        ("input.std", [0.1, 0.2, 0.4]), ("input.interpolation", "lanczos"), ("input.crop", 0.9),
        ("input.fit", "canvas"), ("input.foreground", True),
        ("position.antialias", True), ("position.offset", 0.1), ("position.table", "t"),
        ("position.interpolation", "bilinear"), ("position.relative", "nearest"), ("features.pooled", "mean"),
        ("features.norm", False), ("features.layer_norm", 1e-5), ("features.l2", True), ("features.token_norm", True),
    ],
)  # fmt: skip
def test_what_can_change_a_feature_is_in_the_key(place: str, value: Any) -> None:
    assert deep(place, value).resolved().material() != card().resolved().material()


def test_each_choice_has_a_key_of_its_own() -> None:
    how = [{}, {"preset": "fixed"}, {"library": "open_clip"}, {"pooled": "gap"}, {"pooled": "mean"}, {"pooled": "wide"}]
    found = [json.dumps(card().resolved(**choice).material(), sort_keys=True) for choice in how]
    assert len(set(found)) == len(how)
    assert "open_clip" in found[2]
    assert "ViT-B-32" not in found[0], "choices that were not made are not in it"


def test_a_length_that_is_checked_alone_is_no_rule() -> None:
    bare = {"name": "mine", "arch": "a"}
    assert ModelCard.model_validate({**bare, "features": {"dim": 5}}).material() == {"arch": "a"}
    assert ModelCard.model_validate(bare).material() == {"arch": "a"}


def test_the_models_that_must_be_there() -> None:
    must = """
        imagenet dino resnet152 resnet50 dinov2 dinov2-small dinov2-large dinov2-giant toy-vit toy-cnn
        openclip clip biomedclip blip sam seem flair urfound medsiglip rad-dino siglip2 aimv2
        retfound retfound-oct retfound-dinov2 retfound-green retfiner-r retfiner-u retfiner-v
        visionfm-fundus visionfm-oct visionfm-ffa visionfm-ultrasound visionfm-external visionfm-slitlamp visionfm-mri
        visionfm-ubm dinov2-reg dinov3 dinov3-small dinov3-large mae-base mae-large eva02 eva02-large
        pe-core pe-core-large sam2 sam2-base-plus
    """
    assert set(must.split()) <= set(cards.names("models"))


def test_official_files_are_fetched_safely_and_their_licence_is_told() -> None:
    for name in cards.names("models"):
        weights = cards.find_model(name).weights
        if weights is not None:
            assert weights.licence, name
            assert weights.url is None or weights.url.startswith("https://"), name


def test_a_digest_in_a_files_name_is_the_cards() -> None:
    for name in ("imagenet", "resnet50", "resnet152"):
        weights = cards.find_model(name).weights
        assert weights is not None
        assert weights.url is not None
        assert weights.url.removesuffix(".pth").endswith(f"-{weights.sha256}")


@pytest.mark.parametrize(
    "rules", [{"drop": ["head.("]}, {"rename": {"(": "x"}}, {"sha256": "b5f2"}, {"sha256": "XY" * 32}]
)
def test_a_card_with_a_bad_pattern_is_refused(rules: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Weights.model_validate(rules)
