"""The repeats of a study: which draws they are, and what is not ranked; all records SYNTHETIC."""

from __future__ import annotations

import numpy as np
import pytest

from medbench import metrics, stats
from medbench.records.groups import collect
from medbench.records.store import read_all
from medbench.report.inference import DRAWS, predicted
from medbench.report.ranks import ranking
from medbench.report.ranks.ranking import Entry, ranking_of
from medbench.seeding import generator, seed_of
from medbench.stats.ranks import Repeats, ranks
from medbench.stats.resampling import design
from medbench.storage import files

from ..conftest import TRUTH
from .conftest import DATA

RIGHT = {"dino": (0.9, 0.7, 0.8), "dinov2": (0.85, 0.75, 0.78), "sam": (0.6, 0.5, 0.55)}


@pytest.fixture
def entries(put):
    """The cells of three models on three data sets, with predictions."""
    for model, shares in RIGHT.items():
        for dataset, share in zip(DATA, shares, strict=True):
            put(model, share, dataset=dataset, truth=TRUTH if dataset != "ddsm" else 1 - TRUTH)
    found = {(g.first.unit.model, g.first.unit.dataset): g for g in collect(read_all(put.runs))}
    return [[Entry(found[model, dataset], "accuracy") for dataset in DATA] for model in RIGHT]


def by_rows(group, draws: int) -> np.ndarray:
    """The metric on resampled rows and seeds, draw by draw."""
    own = predicted(group)
    plan, seed = design(own.targets, own.groups), seed_of("ranks", group.first.unit.dataset, files.digest(own.ids))
    counts = np.concatenate([part.T for part in plan.weights(DRAWS, seed)]).astype(int)[:draws]
    s = len(own.scores)
    times = generator("bootstrap", "seeds", seed, 0).multinomial(s, np.full(s, 1 / s), DRAWS)[:draws]
    values = []
    for line, weights in zip(counts, times, strict=True):
        rows = np.repeat(np.arange(len(line)), line)
        scored = [metrics.score("accuracy", one[rows], own.targets[rows]) for one in own.scores]
        values.append(float(np.dot(scored, weights) / s))
    return np.array(values)


def test_each_draw_is_the_metric_on_drawn_patients_and_seeds(entries) -> None:
    noise = ranking._noise("mine", [[row[j] for row in entries] for j in range(3)])
    assert noise.shape == (3, DRAWS, 3)
    for i, j in ((0, 0), (1, 2), (2, 1)):
        expected = by_rows(entries[i][j].group, 30)
        shown = noise[j, :30, i]
        ratio = (shown - shown.mean()) / (expected - expected.mean())
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
        own = predicted(entries[i][j].group)
        drawn = stats.bootstrap("accuracy", own.scores, own.targets, own.groups, draws=10)
        assert ratio[0] == pytest.approx(drawn.shape.spread), "the small-sample correction"
    np.testing.assert_allclose(noise.mean(axis=1), 0, atol=1e-12)


def test_numbers_are_those_of_the_repeats(entries) -> None:
    found, left = ranking_of("mine", entries)
    values = np.array([[row[j].group.summary("accuracy")[0] for row in entries] for j in range(3)])
    study = Repeats(values, ranking._noise("mine", [[row[j] for row in entries] for j in range(3)]))
    assert left == {}
    np.testing.assert_allclose(found.found, ranks(values))
    assert [(one.low, one.high) for one in found.repeats] == study.intervals()
    assert [one.first for one in found.repeats] == study.first.tolist()
    assert [one.alike for one in found.repeats] == study.alike().tolist()
    assert found.mean_ranks[2] == 3.0
    assert not found.repeats[2].alike, "a clear difference is found"
    assert sum(found.wins) == 3


def test_they_are_kept(entries, monkeypatch) -> None:
    first, _ = ranking_of("mine", entries)
    monkeypatch.setattr(ranking, "_noise", lambda *_: pytest.fail("computed again"))
    assert ranking_of("mine", entries)[0].repeats == first.repeats


def test_columns_of_one_test_set_have_the_same_draws(entries) -> None:
    twice = [entries[0][0], entries[1][0]]
    noise = ranking._noise("mine", [twice, twice])
    np.testing.assert_array_equal(noise[0], noise[1])


def test_an_undefined_draw_is_left_out_of_all_columns_of_its_test_images() -> None:
    """Else the draws that are left no longer match, and mean ranks look surer than they are."""
    source = np.random.default_rng(0)
    own, other = source.normal(size=(8, 2)), source.normal(size=(8, 2))
    noise = np.stack([own, own + 1, other])
    noise[0, 2, 1] = noise[1, 5, 0] = np.nan
    kept = ranking._defined(noise, ["a", "a", "b"])
    rows = [0, 1, 3, 4, 6, 7, 0, 1]
    np.testing.assert_array_equal(kept, [own[rows], own[rows] + 1, other])
    noise[0] = np.nan
    assert ranking._defined(noise, ["a", "a", "b"]) is None


def test_metrics_that_no_record_holds_are_ranked_by_their_values_and_draws(entries) -> None:
    """The Brier score of predictions of 0.8 and 0.2 is a function of accuracy: -1.2 accuracy + 1.28."""
    brier = [[Entry(cell.group, "brier") for cell in row] for row in entries]
    by_accuracy, found = ranking_of("mine", entries)[0], ranking_of("mine", brier)[0]
    np.testing.assert_array_equal(found.found, by_accuracy.found)
    columns = [[[row[j] for row in rows] for j in range(3)] for rows in (entries, brier)]
    one, two = (ranking._noise("mine", part) for part in columns)
    scale = two[0, 0, 0] / one[0, 0, 0]
    np.testing.assert_allclose(two, scale * one, atol=1e-5)
    assert scale == pytest.approx(0.6, abs=1e-4), "of class 1: 0.64 where it is wrong, 0.04 where it is right"


def test_data_sets_have_draws_of_their_own(entries, put) -> None:
    """Even where ids, targets and predictions are the same."""
    for dataset in DATA[:2]:
        put("blip", 0.8, dataset=dataset, truth=TRUTH)
    same = [g for g in collect(read_all(put.runs)) if g.first.unit.model == "blip"]
    noise = ranking._noise("mine", [[Entry(group, "accuracy")] for group in same])
    assert abs(np.corrcoef(noise[0, :, 0], noise[1, :, 0])[0, 1]) < 0.2


def test_a_metric_that_should_be_low_is_ranked_from_below(entries) -> None:
    low = [[Entry(cell.group, "log_loss") for cell in row] for row in entries]
    found, _ = ranking_of("mine", low)
    assert found.mean_ranks[2] == 3.0


def test_damaged_predictions_leave_the_ranks(entries) -> None:
    (entries[0][0].group.first.path / "predictions.parquet").write_bytes(b"nonsense")
    found, _ = ranking_of("mine", entries)
    assert found.repeats == ()
    assert len(found.mean_ranks) == 3


def test_incomplete_columns_and_idle_entrants_are_left_out(entries) -> None:
    none = Entry(None, "accuracy")
    rows = [entries[0], [*entries[1][:2], none], entries[2], [none] * 3]
    found, left = ranking_of("mine", rows)
    assert (found.entrants, found.columns, left) == ((0, 1, 2), (0, 1), {2: [1, 3]})
    found, left = ranking_of("mine", [entries[0], [none] * 3])
    assert (found, left) == (None, {})
    found, left = ranking_of("mine", [[none] * 3] * 2)
    assert (found, left) == (None, {0: [0, 1], 1: [0, 1], 2: [0, 1]})
