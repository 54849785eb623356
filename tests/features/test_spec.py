"""The key of features changes with everything that they depend on, and with nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from medbench.cards.recipes import Augment
from medbench.features.spec import FeatureSpec, differences

SPEC = FeatureSpec(
    dataset="d",
    model="m",
    card={"arch": "net", "input": {"size": 64}},
    weights="ab" * 32,
    store="cd" * 32,
    image_size=64,
    channels=3,
    channel_rule="slice",
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
    precision="fp32",
    rows="all",
)


@pytest.mark.parametrize(
    "field", [f.name for f in dataclasses.fields(FeatureSpec) if f.name not in ("dataset", "model")]
)
def test_every_field_changes_the_key(field: str) -> None:
    value = getattr(SPEC, field)
    other = {"card": {"arch": "other"}, "view": 3, "augment": {"hue": 0.2}, "view_seed": 1, "image_size": 65}.get(field)
    other = {"name": "jpeg"} if field == "corruption" else other
    if other is None:
        other = value + 1 if isinstance(value, int) else ((0.1,) * 3 if isinstance(value, tuple) else f"{value}x")
    assert dataclasses.replace(SPEC, **{field: other}).key() != SPEC.key()


def test_images_as_they_are_have_the_key_of_earlier_versions() -> None:
    assert "corruption" not in SPEC.material()


def test_names_are_for_the_folder_only() -> None:
    assert dataclasses.replace(SPEC, dataset="e", model="n").key() == SPEC.key()


def test_views_and_outputs_have_keys_of_their_own() -> None:
    views = [SPEC.of_view(view, "train", Augment(), seed) for view, seed in ((0, 0), (1, 0), (0, 1))]
    keys = {spec.key() for spec in (SPEC, *views, SPEC.of_output("unit 2"))}
    assert len(keys) == 5
    assert (views[1].view, views[1].rows, views[1].dataset) == (1, "train", "d")
    assert views[0].augment == Augment().model_dump(mode="json")
    assert SPEC.of_view(0, "train", Augment(hue=0.3), 0).key() != views[0].key()


@pytest.mark.parametrize(
    ("output", "precision", "dtype"),
    [("pooled", "fp16", "float32"), ("unit 2", "fp32", "float32"), ("unit 2", "bf16", "float16")],
)
def test_tokens_in_half_precision_are_stored_in_half_precision(output: str, precision: str, dtype: str) -> None:
    assert dataclasses.replace(SPEC, output=output, precision=precision).dtype == dtype


def test_differences_name_nested_fields() -> None:
    assert differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 5}}) == ["a.c: 5 -> 2", "d: (none) -> 3"]


def test_long_values_are_cut_short() -> None:
    (found,) = differences({"weights": "a" * 64}, {"weights": "b" * 64})
    assert found == f"weights: {'b' * 12}… -> {'a' * 12}…"
