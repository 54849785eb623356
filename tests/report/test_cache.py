"""Intervals and p that were computed before, on files of SYNTHETIC scores."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pandas as pd
import pytest

from medbench import progress, stats
from medbench.records.groups import collect
from medbench.records.store import PREDICTIONS, read_all
from medbench.report import cache, inference
from medbench.report.tables.dataset_table import dataset_table
from medbench.storage import paths


def write(record, right: float, seed: int = 0) -> None:
    source = np.random.default_rng(seed)
    truth = np.arange(200) % 2
    guess = np.where(source.random(200) < right, truth, 1 - truth)
    frame = pd.DataFrame({"id": np.arange(200), "group": np.arange(200), "split": "test", "target": truth})
    for k in range(2):
        frame[f"score_{k}"] = np.where(guess == k, 0.8, 0.2)
    frame.to_parquet(record.path / PREDICTIONS)


@pytest.fixture
def runs(tmp_path, synthetic, save):
    for i, model in enumerate(("dino", "imagenet", "sam")):
        save(tmp_path, synthetic(model=model, values={"accuracy": [0.9 - 0.1 * i] * 2}, seeds=(0, 1)))
    for i, record in enumerate(read_all(tmp_path)):
        write(record, 0.9 - 0.1 * (i // 2), seed=i)
    return tmp_path


@pytest.fixture
def group(runs):
    return collect(read_all(runs))[0]


def files_of(home):
    return sorted((home / "inference").iterdir())


def forbidden(*_, **__):
    raise AssertionError("computed again")


def table(runs):
    return dataset_table("aptos", read_all(runs), intervals=True)


def test_nothing_is_computed_twice(runs, monkeypatch):
    first = table(runs)
    assert first.rows[0].cells[0].low is not None
    assert len(files_of(paths.home())) == 5, "three intervals, two comparisons with the best"
    for name in ("bootstrap", "paired"):
        monkeypatch.setattr(stats, name, forbidden)
    monkeypatch.setattr(inference, "predicted", forbidden)
    assert table(runs) == first


def test_the_numbers_are_those_of_the_first_time(group):
    found = inference.predicted(group)
    expected = stats.bootstrap("accuracy", found.scores, found.targets, draws=inference.DRAWS).interval()
    assert inference.interval_of(group, "accuracy") == expected
    assert inference.interval_of(group, "accuracy") == expected  # read
    assert isinstance(inference.interval_of(group, "accuracy").draws, int)


def test_changed_predictions_are_computed_anew(group):
    before = inference.interval_of(group, "accuracy")
    write(group.records[1], 0.5, seed=9)
    after = inference.interval_of(group, "accuracy")
    assert after.low < before.low
    assert inference.interval_of(group, "f1_macro") != after
    (group.records[1].path / PREDICTIONS).unlink()
    assert inference.interval_of(group, "accuracy") is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"values": {"low": 0}}', '{"values": 3}', '{"values": null}', "\x00" * 20,
     '{"values": {"low": "x", "high": 1, "se": 1, "draws": 1, "undefined": 0, "level": 0.95}}',
     '{"values": {"low": true, "high": 1, "se": 1, "draws": 1, "undefined": 0, "level": 0.95}}'],
)  # fmt: skip
def test_a_damaged_file_is_computed_again(group, content):
    expected = inference.interval_of(group, "accuracy")
    (file,) = files_of(paths.home())
    whole = file.read_bytes()
    file.write_text(content)
    assert inference.interval_of(group, "accuracy") == expected
    assert file.read_bytes() == whole


def test_undefined_is_null(group):
    values = {"p": float("nan")}
    args = ("paired", ("p",), "accuracy", 10, [group])
    assert np.isnan(cache.cached_numbers(*args, lambda: values)["p"])
    assert json.loads(files_of(paths.home())[0].read_text()) == {"values": {"p": None}}
    assert np.isnan(cache.cached_numbers(*args, forbidden)["p"])


def test_there_being_none_is_kept_and_the_infinite_is_not(group):
    assert cache.cached_numbers("paired", ("p",), "accuracy", 10, [group], dict) == {}
    assert cache.cached_numbers("paired", ("p",), "accuracy", 10, [group], forbidden) == {}
    assert cache.cached_numbers("paired", ("p",), "accuracy", 20, [group], lambda: {"p": float("inf")}) == {
        "p": float("inf")
    }
    assert len(files_of(paths.home())) == 1


def test_each_part_of_the_key_counts(runs, group, monkeypatch):
    other = collect(read_all(runs))[1]
    asked = [
        ("paired", "accuracy", 10, [group, other]),
        ("paired", "accuracy", 10, [other, group]),
        ("paired", "accuracy", 10, [group]),
        ("paired", "accuracy", 11, [group]),
        ("paired", "f1_macro", 10, [group]),
        ("other", "accuracy", 10, [group]),
    ]
    for version in (cache.STATISTICS, cache.STATISTICS + 1):
        monkeypatch.setattr(cache, "STATISTICS", version)
        for i, (what, metric, draws, groups) in enumerate(asked):
            value = {"p": float(i + 10 * version)}
            assert cache.cached_numbers(what, ("p",), metric, draws, groups, lambda value=value: value) == value


def test_a_home_that_cannot_be_written_changes_nothing(group, tmp_path, monkeypatch):
    expected = inference.interval_of(group, "accuracy")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "file"))
    assert inference.interval_of(group, "accuracy") == expected


def test_records_without_a_folder_are_computed(synthetic):
    (group,) = collect(synthetic())
    assert cache.cached_numbers("paired", ("p",), "accuracy", 10, [group], lambda: {"p": 0.5}) == {"p": 0.5}
    assert not (paths.home() / "inference").exists()


def test_a_bar_counts_what_is_computed_alone(runs, monkeypatch):
    shown = []

    @contextlib.contextmanager
    def bar(what, total, unit, done=0):
        shown.append([what, total, done])

        def advance(n=1, note=""):
            shown[-1][2] += n

        yield advance

    monkeypatch.setattr(progress, "bar", bar)
    table(runs)
    assert shown == [["aptos: intervals and ties", 6, 6]]
    table(runs)
    assert len(shown) == 1, "all is kept: no bar"


def test_fast_tables_print_nothing(runs, capsys):
    table(runs)
    assert capsys.readouterr() == ("", "")


def test_numbers_that_change_need_another_version():
    """Where this fails and the new numbers are right: raise `cache.STATISTICS`, or old ones will be shown."""
    source = np.random.default_rng(5)
    truth = np.arange(90) % 3
    scores = source.dirichlet(np.ones(3), (2, 2, 90)) + 0.5 * np.eye(3)[truth]
    groups = np.arange(90) // 2
    drawn = stats.paired("auroc_macro", scores[0], scores[1], truth, groups, draws=200)
    found = stats.bootstrap("recall_macro", scores[0], truth, groups, draws=200).interval()
    p = stats.permutation("recall_macro", scores[0], scores[1], truth, groups, permutations=200)
    assert cache.STATISTICS == 5
    assert [found.low, found.high, found.se, drawn.value, drawn.p(), p] == pytest.approx(PINNED, rel=1e-6)


PINNED = [0.6871892178558375, 0.822190635252103, 0.03473289363877128, 0.0017592592592592382, 0.7977472714936014,
          0.3034825870646766]  # fmt: skip
