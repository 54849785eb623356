"""What was fitted on one data set, read on others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import medbench
from medbench import metrics
from medbench.api import RunFailedError
from medbench.cli.plan_text import job_lines
from medbench.data.images import damage
from medbench.data.load import load_dataset
from medbench.errors import MedbenchError
from medbench.records import Record
from medbench.records.store import PREDICTIONS
from medbench.runs.estimate import estimate
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan

from ..conftest import QUICK, SHORT, numbers, short_of, train, write_pictures


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of 24 other pictures of the same three classes."""
    labels = write_pictures(tmp_path_factory.mktemp("other") / "away", 24, seed=1)
    return labels.rename(labels.with_name("labels2.csv"))


def run(data: Path, protocol: str, **options: Any) -> list[Record]:
    changes = short_of(protocol, options.pop("set", SHORT))
    return medbench.run("toy-vit", protocol, str(data), set=changes, **{"seeds": 2, **options})


def test_the_other_set_changes_nothing_of_the_first(data: Path, other: Path, tmp_path: Path) -> None:
    short = {"views": 1, "epochs": 2, "learning_rates": [1e-2], "batch_size": 16}
    alone = run(data, "linear-frozen", set=short, runs=tmp_path / "alone")
    both = run(data, "linear-frozen", set=short, test_on=str(other), runs=tmp_path / "both")
    assert numbers(both[:2]) == numbers(alone)
    assert [record.unit for record in both[:2]] == [record.unit for record in alone]
    assert [record.warnings for record in both[:2]] == [record.warnings for record in alone]
    away = both[2:]
    assert [(r.unit.dataset, r.unit.seed, r.test_on) for r in away] == [
        (alone[0].unit.dataset, seed, "away-labels2") for seed in (0, 1)
    ]
    assert len({record.group for record in away} | {alone[0].group}) == 2
    assert [record.chosen for record in away] == [record.chosen for record in alone]


@pytest.fixture(scope="session")
def joined(data: Path, other: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return both sets as one: the other set's images are further test images."""
    folder = tmp_path_factory.mktemp("joined")
    lines = ["image,label,patient,split"]
    for name, labels in (("here", data), ("away", other)):
        shutil.copytree(labels.parent / "images", folder / name)
        samples = load_dataset(str(labels)).samples
        for row in samples.itertuples():
            part = row.split if name == "here" else "test"
            lines.append(f"{name}/{Path(row.path).name},{row.target},{name}{row.group},{part}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


@pytest.mark.parametrize("protocol", ["knn", "linear-unfrozen", "deit-frozen"])
def test_the_other_images_are_scored_as_further_test_images(
    data: Path, other: Path, joined: Path, tmp_path: Path, protocol: str
) -> None:
    """The oracle is an ordinary run on one set that has the images of both: of features, of a network, of a bank."""
    options: dict[str, Any] = {"seeds": 1, "runs": tmp_path}
    if protocol == "knn":
        runs = [run(data, protocol, test_on=str(other), **options), run(joined, protocol, **options)]
    else:
        quick = {"changes": {**QUICK, "views": 1}, **options}
        runs = [train(data, protocol, test_on=str(other), **quick), train(joined, protocol, **quick)]
    (here, away), (whole,) = runs
    expected = _tested(whole)
    assert [len(_tested(one)) for one in (here, away, whole)] == [12, 24, 36]
    np.testing.assert_allclose(np.concatenate([_tested(here), _tested(away)]), expected, atol=2e-5)
    assert away.n["test"].images == 24
    assert (away.n["train"], away.n["val"], away.chosen) == (here.n["train"], here.n["val"], here.chosen)
    frame = pd.read_parquet(away.path / PREDICTIONS)
    assert set(frame["split"]) == {"test"}
    scores, targets = frame.filter(regex="^score_").to_numpy(), frame["target"].to_numpy()
    assert targets.tolist() == [i // 2 % 3 for i in range(24)]
    assert away.metrics["recall_macro"] == metrics.score("recall_macro", scores, targets)
    about = away.provenance["test_on"]
    assert (about["in_domain"], about["classes"]) == (here.group, {"0": "0", "1": "1", "2": "2"})


def _tested(record: Record) -> np.ndarray:
    frame = pd.read_parquet(record.path / PREDICTIONS)
    return frame[frame["split"] == "test"].filter(regex="^log_odds_").to_numpy()


def test_what_is_missing_alone_is_run_and_written(data: Path, other: Path, tmp_path: Path) -> None:
    first = run(data, "knn", seeds=1, runs=tmp_path)[0]
    written = (first.path / "record.json").read_bytes()
    plan = make_plan("toy-vit", "knn", str(data), _options(tmp_path, other))
    assert [job.finished() for job in plan.jobs] == [[True, False]]
    assert [job.done() for job in plan.jobs] == [[False]]
    records = run(data, "knn", seeds=1, test_on=str(other), runs=tmp_path)
    assert (first.path / "record.json").read_bytes() == written
    assert len(records) == 2
    said = (tmp_path / "log.txt").read_text().splitlines()
    (told,) = [line for line in said if "records do not hold what was fitted" in line]
    assert "1 finished unit is computed again for the further test images" in told
    again = make_plan("toy-vit", "knn", str(data), _options(tmp_path, other))
    assert not again.todo
    assert [r.key for job in again.jobs for r in job.records()] == [r.key for r in records]


def _options(runs: Path, other: Path, **more: Any) -> Options:
    return Options(seeds=1, changes={"k": 5}, runs=runs, test_on=str(other), **more)


def test_a_class_that_the_other_set_lacks_is_scored_or_not(data: Path, other: Path, tmp_path: Path) -> None:
    lines = other.read_text().splitlines()
    two = other.with_name("two.csv")
    two.write_text("\n".join([lines[0], *(line for line in lines[1:] if line.split(",")[1] != "2")]) + "\n")
    (_, open_), (_, closed) = (
        run(data, "knn", seeds=1, test_on=str(two), closed=closed, runs=tmp_path) for closed in (False, True)
    )
    assert (open_.unit.options.get("closed"), closed.unit.options.get("closed")) == (None, True)
    assert list(closed.n["test"].classes) == ["0", "1"]
    assert open_.n["test"].classes["2"] == 0
    one, rest = (pd.read_parquet(r.path / PREDICTIONS).filter(regex="^score_").to_numpy() for r in (open_, closed))
    np.testing.assert_allclose(rest, one[:, :2] / one[:, :2].sum(axis=1, keepdims=True), atol=1e-6)
    assert any("classes that are absent from away-two are not scored on it: 2" in text for text in closed.warnings)


@pytest.mark.parametrize(
    ("protocol", "how", "said"),
    [
        ("knn", {"test_on": "{data}"}, "this is the training data set itself"),
        ("knn", {"test_on": "no-such-set"}, "unknown dataset 'no-such-set'"),
        ("knn", {"test_on": "{strange}"}, "2 classes of away-strange are no class of pictures-labels: ten, twelve"),
        ("timing", {"test_on": "{strange}"}, "does not classify"),
        ("knn", {"corrupt": "jpg"}, "unknown corruption 'jpg'"),
        ("knn", {"corrupt": "jpeg:6"}, "--corrupt jpeg:6: no such severity"),
        ("timing", {"corrupt": "jpeg"}, "--corrupt: timing does not classify"),
        ("dino-pretrain", {"corrupt": "all"}, "--corrupt: dino-pretrain does not classify"),
        ("knn", {"closed": True}, "--closed has no effect without --test-on"),
        ("knn", {"test_on": "toy", "test_part": "train"}, "unknown value of --test-part 'train'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    data: Path, other: Path, tmp_path: Path, protocol: str, how: dict[str, Any], said: str
) -> None:
    strange = other.with_name("strange.csv")
    strange.write_text(
        "image,label\n" + "".join(f"images/{i:03d}.png,{'ten' if i % 2 else 'twelve'}\n" for i in range(12))
    )
    asked = {
        name: value.format(data=data, strange=strange) if name == "test_on" else value for name, value in how.items()
    }
    with pytest.raises(MedbenchError, match=said) as caught:
        make_plan("toy-vit", protocol, str(data), Options(runs=tmp_path, **asked))
    assert caught.value.hint


def test_the_plan_says_what_is_read(data: Path, other: Path, tmp_path: Path) -> None:
    plan = make_plan("toy-vit", "knn", str(data), _options(tmp_path, other))
    said = list(job_lines(plan))
    assert said[0].endswith("2 of 2 units to do")
    assert said[1] == "  tested on away-labels2: 24 images"


def test_the_cost_counts_the_images_of_the_other_set(data: Path, other: Path, tmp_path: Path) -> None:
    alone = make_plan("toy-vit", "knn", str(data), Options(seeds=1, runs=tmp_path))
    both = make_plan("toy-vit", "knn", str(data), Options(seeds=1, runs=tmp_path, test_on=str(other)))
    assert estimate(both, []).forwards == estimate(alone, []).forwards + 24


def test_the_models_that_have_seen_the_other_set_are_marked(data: Path, other: Path, tmp_path: Path) -> None:
    card = medbench.cards.find_model("toy-vit").model_dump(mode="json", exclude_defaults=True) | {
        "name": "seer",
        "pretraining": {"method": "none", "data": ["away-labels2"]},
    }
    place = tmp_path / "seer.yaml"
    place.write_text(json.dumps(card))
    here, away = medbench.run(str(place), "knn", str(data), seeds=1, test_on=str(other), weights="random")
    marked = "contamination: seer was pre-trained on away-labels2"
    assert marked in away.warnings
    assert marked not in here.warnings


# Corrupted images


def as_it_is(image: np.ndarray, *_: Any) -> np.ndarray:
    return image


@pytest.mark.parametrize("protocol", ["knn", "linear-unfrozen", "deit-frozen"])
def test_a_corruption_that_does_nothing_changes_no_number(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """So all images of a corrupted set stand where they belong: of features, of a network, of a bank."""
    monkeypatch.setitem(damage.WAYS, "jpeg", as_it_is)
    options: dict[str, Any] = {"seeds": 1, "runs": tmp_path, "corrupt": "noise:5,jpeg:2"}
    if protocol == "knn":
        clean, noisy, same = run(data, protocol, **options)
    else:
        clean, noisy, same = train(data, protocol, changes={**QUICK, "views": 1}, **options)
    np.testing.assert_allclose(_tested(same), _tested(clean), atol=2e-5)
    assert np.abs(_tested(noisy) - _tested(clean)).max() > 1e-3
    assert same.metrics == pytest.approx(clean.metrics, abs=1e-4)
    for record in (noisy, same):
        assert (record.metrics_val, record.thresholds, record.n) == (clean.metrics_val, clean.thresholds, clean.n)
        assert (record.chosen, record.test_on) == (clean.chosen, clean.unit.dataset)
        assert set(pd.read_parquet(record.path / PREDICTIONS)["split"]) == {"test"}
        assert record.provenance["test_on"]["in_domain"] == clean.group
    assert [record.corruption for record in (clean, noisy, same)] == [None, "noise:5", "jpeg:2"]


def test_corruptions_change_nothing_of_the_clean_record_and_are_added_later(data: Path, tmp_path: Path) -> None:
    (alone,) = run(data, "knn", seeds=1, runs=tmp_path / "a")
    first = run(data, "knn", seeds=1, corrupt="jpeg:1", runs=tmp_path / "b")
    assert numbers(first[:1]) == numbers([alone])
    assert first[0].warnings == alone.warnings
    written = {record.key: (record.path / "record.json").read_bytes() for record in first}
    more = run(data, "knn", seeds=1, corrupt="jpeg:1:2", runs=tmp_path / "b")
    assert [record.key for record in more[:2]] == [record.key for record in first]
    assert all((record.path / "record.json").read_bytes() == written[record.key] for record in more[:2])
    assert more[2].counts["forwards"] == more[2].n["test"].images, "only the new set goes through the encoder"
    assert len({record.key for record in more}) == 3


def test_a_run_that_was_broken_off_ends_with_the_same_numbers(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(data, "knn", seeds=1, corrupt="noise:1:3", runs=tmp_path / "a")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    calls, plain = [0], damage.WAYS["noise"]

    def breaks(*args: Any) -> np.ndarray:
        calls[0] += 1
        if calls[0] == 20:
            raise OSError("stopped")
        return plain(*args)

    monkeypatch.setitem(damage.WAYS, "noise", breaks)
    with pytest.raises(RunFailedError):
        run(data, "knn", seeds=1, corrupt="noise:1:3", runs=tmp_path / "b")
    again = run(data, "knn", seeds=1, corrupt="noise:1:3", runs=tmp_path / "b")
    assert numbers(again) == numbers(expected)
    assert again[0].counts["forwards"] == 2 * again[0].n["test"].images, "the first set and the clean pass were kept"


def test_folds_share_a_group_for_each_corruption(data: Path, tmp_path: Path) -> None:
    records = run(data, "knn", seeds=5, folds=3, corrupt="jpeg:1,blur:2", runs=tmp_path)
    groups = {record.group: record.corruption for record in records}
    assert sorted(map(str, groups.values())) == ["None", "blur:2", "jpeg:1"]
    assert len(records) == 9


def test_the_plan_says_which_corruptions_and_counts_their_images(data: Path, tmp_path: Path) -> None:
    alone, both = (
        make_plan("toy-vit", "knn", str(data), Options(seeds=1, runs=tmp_path, corrupt=words))
        for words in ((), "all:1")
    )
    said = list(job_lines(both))
    assert said[0].endswith("11 of 11 units to do")
    images = both.jobs[0].dataset.sizes["test"]
    assert said[1].startswith(f"  tested on its {images} test images in 10 corruptions: blur:1, defocus:1, noise:1")
    assert estimate(both, []).forwards == estimate(alone, []).forwards + 10 * images
