"""The features of a job's images: shared between protocols and runs; unreadable images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medbench.data.images.square import rule_of
from medbench.data.load import load_dataset
from medbench.data.prepared.store import prepare
from medbench.errors import DataError, MedbenchError
from medbench.runs.inputs.features import Encoders, without
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.storage import paths

from ..conftest import SHORT, forwards, run


def test_features_are_shared_between_protocols_and_runs(pictures: Path) -> None:
    both = run(pictures)
    assert forwards(both[:1]) == 90 + 2 * both[0].n["train"].images
    assert forwards(both[2:]) == 0
    assert forwards(run(pictures, "linear-frozen", set={**SHORT, "epochs": 3})) == 0
    more = run(pictures, "linear-frozen", set={**SHORT, "views": 3})
    assert forwards(more[:1]) == both[0].n["train"].images, "two of three views were there"


def test_unreadable_images_stop_the_run_or_are_left_out_and_said(pictures: Path) -> None:
    bad = pictures.parent / "images" / "004.png"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(MedbenchError) as caught:
        run(pictures)
    assert "004.png" in caught.value.message
    assert "--unreadable leave-out" in caught.value.hint
    assert not list(Path(paths.runs_dir()).rglob("record.json"))
    records = run(pictures, unreadable="leave-out")
    assert sum(n.images for n in records[0].n.values()) == 89
    assert any("1 unreadable images were left out" in w for w in records[0].warnings)
    assert list(records[0].provenance["data"]["left_out"]) == ["images/004.png"]


def test_an_encoder_is_kept_until_another_is_needed(pictures: Path) -> None:
    options = Options(seeds=1, changes={"k": 5})
    first, again, other = (
        make_plan(name, "knn", str(pictures), options).jobs[0] for name in ("toy-vit",) * 2 + ("toy-cnn",)
    )
    encoders = Encoders(torch.device("cpu"))
    encoder = encoders.get(first)
    assert encoders.get(again) is encoder
    assert not encoder.training
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert encoders.get(other) is not encoder
    assert encoders.get(first) is not encoder, "only the last one is held"


def test_samples_left_out_keep_their_rows_and_are_in_no_split(pictures: Path) -> None:
    data = load_dataset(str(pictures))
    ids = data.samples["id"].tolist()[:3]
    left = without(data, set(ids))
    assert len(left.samples) == len(data.samples)
    rows = np.sort(np.concatenate([left.rows(split) for split in ("train", "val", "test")]))
    assert rows.tolist() == list(range(3, 90))
    assert (data.samples["split"] != "").all(), "the data set itself is as it was"
    with pytest.raises(DataError, match="without its 90 unreadable images"):
        without(data, set(data.samples["id"]))


def test_damaged_statistics_are_made_again(pictures: Path) -> None:
    (first,) = run(pictures, "knn", set={"k": 5})
    (kept,) = (paths.home() / "prepared").rglob("stats-*.json")
    good = kept.read_text()
    for bad in (good.replace("0.", "0.9", 1), good[:20], ""):
        kept.write_text(bad)
        (again,) = run(pictures, "knn", set={"k": 5}, overwrite="always")
        assert again.metrics == first.metrics
        assert kept.read_text() == good


def test_what_was_left_out_is_part_of_the_key(pictures: Path) -> None:
    def keys(unreadable: str) -> set[str]:
        plan = make_plan("toy-vit", "knn", str(pictures), Options(changes={"k": 5}, unreadable=unreadable))
        return {key for job in plan.jobs for _, key in job.units}

    assert keys("leave-out") == keys("stop"), "nothing is left out"
    bad = pictures.parent / "images" / "004.png"
    bad.write_bytes(bad.read_bytes()[:200])
    left = keys("leave-out")
    assert left != keys("stop")
    (record,) = run(pictures, "knn", set={"k": 5}, unreadable="leave-out")
    assert {record.key} == left
    assert record.material["unreadable"] == ["images/004.png"]


def test_the_mean_is_of_all_images_where_none_is_trained_on(pictures: Path) -> None:
    settings = {"split": "whole", "transform": "protocol", "image_size": 64}
    (record,) = run(pictures, "zero-shot", "toy-clip", weights="random", set=settings)
    (job,) = make_plan("toy-clip", "zero-shot", str(pictures), Options(changes=settings, weights="random")).jobs
    store = prepare(job.dataset, rule_of(job.settings, 64, 3))
    assert record.provenance["input"]["store"] == store.digest
    np.testing.assert_allclose(record.provenance["input"]["mean"], store.images.mean(axis=(0, 1, 2)) / 255, rtol=1e-12)
