"""SYNTHETIC records to groups."""

from __future__ import annotations

import os

import numpy as np
import pytest

from medbench.records import store
from medbench.records.groups import Group, collect, differing, leaves, pick, shared_tests, summaries


def test_a_group_is_its_seeds(synthetic):
    records = synthetic(seeds=(2, 0, 1)) + synthetic(model="dino", seeds=(0, 1))
    groups = collect(records)
    assert [(g.first.unit.model, [r.unit.seed for r in g.records]) for g in groups] == [
        ("dino", [0, 1]),
        ("dinov2", [0, 1, 2]),
    ]
    assert groups == collect(reversed(records))


def test_undefined_values_do_not_count(synthetic):
    (group,) = collect(synthetic(seeds=(0, 1, 2), values={"auroc": [0.5, None, 0.7]}))
    mean, std, n = group.summary("auroc")
    assert (round(mean, 9), round(std, 9), n) == (0.6, round(0.02**0.5, 9), 2)
    assert group.summary("ap") == (None, None, 0)


@pytest.mark.parametrize("seeds", [1, 2, 5, 9, 17])
def test_many_summaries_at_once_are_the_single_ones(synthetic, seeds):
    rng = np.random.default_rng(seeds)
    values = {name: rng.random(seeds).tolist() for name in "abc"} | {
        "d": [None] * seeds,
        "e": [0.1] * (seeds - 1) + [None],
    }
    one, two = collect(synthetic(seeds=range(seeds), values=values) + synthetic(model="dino", seeds=range(3)))
    names = [*"abcde", "absent"]
    for groups in ([one], [one, two], [two, one, two], []):
        singly = [[group.summary(name) for name in names] for group in groups]
        assert summaries(groups, names) == singly, "to the last digit"


def test_preset_options_and_weights_tell_rows_apart(synthetic):
    ways = [{}, {"preset": "fixed"}, {"options": {"views": 100}}, {"weights": "random"}, {"weights": "file"}]
    kept, notes = pick(collect(record for way in ways for record in synthetic(**way)))
    assert len(kept) == 5
    assert notes == []
    assert {(g.settings, g.weights) for g in kept} == {
        ("paper", "official"),
        ("fixed", "official"),
        ("paper; views=100", "official"),
        ("paper", "random"),
        ("paper", "file 00000000"),
    }


def test_two_weights_files_are_two_rows(synthetic):
    files = [synthetic(weights="file", material={"weights": digit * 64}) for digit in "ab"]
    kept, _ = pick(collect(files[0] + files[1]))
    assert [g.weights for g in kept] == ["file aaaaaaaa", "file bbbbbbbb"]


def test_most_seeds_then_newest_and_a_note(synthetic, save, tmp_path):
    few, many = synthetic(seeds=(0, 1)), synthetic(seeds=(0, 1, 2), material={"precision": "bf16"})
    for newest in (few, many):  # the number of seeds comes first, whichever is newer
        _save_with_times(save, tmp_path / str(len(newest)), few + many, newest)
        (kept,), (note,) = pick(collect(store.read_all(tmp_path / str(len(newest)))))
        assert kept.n == 3
        assert "precision, seeds" in note
    same = {precision: synthetic(material={"precision": precision}) for precision in ("bf16", "fp32")}
    for precision, newest in same.items():  # then the time, whatever the digests
        _save_with_times(save, tmp_path / precision, same["bf16"] + same["fp32"], newest)
        (kept,), _ = pick(collect(store.read_all(tmp_path / precision)))
        assert kept.first.material["precision"] == precision


def _save_with_times(save, runs, records, newest):
    save(runs, records)
    for record in records:
        stamp = 2e9 if record in newest else 1e9
        os.utime(store.folder_of(runs, record.unit, record.key) / "record.json", (stamp, stamp))


def test_differing_names_the_fields():
    a = {"model": {"arch": "x", "size": 1}, "seed": 0, "list": [1]}
    b = {"model": {"arch": "y", "size": 1}, "seed": 1, "list": [1], "more": 2}
    assert differing(a, b) == ["model.arch", "more"]
    assert dict(leaves(a)) == {"model.arch": "x", "model.size": 1, "seed": 0, "list": [1]}


def test_warnings_say_how_many_seeds(synthetic):
    records = synthetic(seeds=(0, 1, 2), warnings=["edge of the grid"])
    records[1].warnings.append("only here")
    (group,) = collect(records)
    assert group.warnings() == ["edge of the grid", "only here (1 of 3 seeds)"]


def test_the_spread_is_over_all_sets_of_texts(synthetic):
    first, second = synthetic(seeds=(0, 1), values={"auroc": [0.5, 0.7]}, chosen={"prompts": "names"})
    for record, other in ((first, 0.8), (second, 0.6)):
        record.metric, record.spread = "auroc", {"card": other, "mine": None}
    (group,) = collect([first, second])
    assert group.spread == "0.600 (names) to 0.700 (card) over 2 sets of texts"
    first.spread = second.spread = {"mine": None}
    assert collect([first, second])[0].spread == "", "there is nothing to compare"
    first.spread = second.spread = {}
    assert collect([first, second])[0].spread == ""


def with_split(records, split, template, digests):
    """The records with a split, and with the digests of their test images where they tell them."""
    told = [{"test_digest": digest} for digest in digests] or [{}] * len(records)
    return [
        record.model_copy(update={
            "provenance": {**record.provenance, "data": {"split": split, **more}},
            "material": {**record.material, "split": template},
        })
        for record, more in zip(records, told, strict=True)
    ]  # fmt: skip


def test_results_compare_whose_test_images_are_the_same(synthetic):
    probe = with_split(synthetic(seeds=(0,)), "official", "a1", ["t"])
    few = with_split(synthetic(model="few", seeds=(0, 1)), "fewshot-5@0", "fewshot-5@{seed}", ["t", "t"])
    folds = with_split(synthetic(model="folds", seeds=(0, 1)), "kfold@0", "kfold@{seed}", ["t", "u"])
    early = with_split(synthetic(model="early", seeds=(0,)), "official", "a1", ())
    other = with_split(synthetic(model="other", seeds=(0,)), "official", "b2", ())
    groups = collect([*probe, *few, *folds, *early, *other])
    keys = dict(zip((group.first.unit.model for group in groups), shared_tests(groups), strict=True))
    assert keys["dinov2"] == keys["few"] == keys["early"], "the same images, whichever were trained on"
    assert len({keys[name] for name in ("dinov2", "folds", "other")}) == 3


def test_shots(synthetic):
    def shots(protocol, **more):
        return Group(tuple(synthetic(protocol=protocol, **more))).shots

    assert shots("few-shot", options={"shots": 5}) == 5
    assert shots("few-shot", options={"shots": "all"}) == "all"
    assert shots("zero-shot") == 0
    assert shots("own", material={"protocol": {"kind": "zero-shot"}}) == 0
    assert shots("linear-probe") is None


@pytest.mark.parametrize(
    ("options", "told"), [({"shots": 1}, " with 1 shot"), ({"shots": "all"}, " with all shots"), ({}, "")]
)
def test_shots_are_told(synthetic, options, told):
    assert Group(tuple(synthetic(options=options))).with_shots == told
