"""Metrics on demand in a comparison, against `stats.paired` and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_curve

from medbench import stats
from medbench.errors import MedbenchError
from medbench.metrics.measures import measure
from medbench.records import store
from medbench.records.groups import Group, collect
from medbench.report.comparison.compare import compare
from medbench.report.comparison.on_demand import measured_difference
from medbench.report.inference import predicted
from medbench.report.measured import load_predictions

from ..test_measured import frame

DRAWS = 200


@pytest.fixture
def pair(tmp_path, synthetic, save) -> tuple[Group, Group]:
    """Two models with two seeds each, the validation predictions with them."""
    from medbench.records import SplitCount

    counts = {name: SplitCount(images=150, classes={"healthy": 75, "ill": 75}) for name in ("val", "test")}
    import pandas as pd

    for model, shift in (("dino", 0), ("sam", 7)):
        records = synthetic(model=model, seeds=(0, 1), n=counts, material={"dataset": {"task": "binary"}})
        save(tmp_path, records)
        for record in store.read_all(tmp_path):
            if record.unit.model == model:
                both = [frame(record.unit.seed + shift, split) for split in ("val", "test")]
                pd.concat(both).to_parquet(record.path / store.PREDICTIONS)
    groups = {group.first.unit.model: group for group in collect(store.read_all(tmp_path))}
    return groups["dino"], groups["sam"]


def sensitivity(group: Group) -> list[float]:
    """Of each seed, at the threshold with the highest sensitivity + specificity on validation."""
    found = load_predictions(group)
    assert found is not None
    values = []
    for test, validation in found.seeds:
        assert validation is not None
        false, true, limits = roc_curve(validation.targets, validation.log_odds[:, 1], drop_intermediate=False)
        called = test.log_odds[:, 1] >= limits[np.argmax(true - false)]
        values.append(recall_score(test.targets, called))
    return values


def test_auroc_is_that_of_a_paired_bootstrap(pair):
    a, b = (predicted(group) for group in pair)
    drawn = stats.paired("auroc", a.of("auroc"), b.of("auroc"), a.targets, a.groups, draws=DRAWS)
    found = measured_difference(pair, a.ids, measure("auroc", "binary"), DRAWS, same_seeds=True)
    ends = drawn.interval()
    expected = (drawn.value, ends.low, ends.high, ends.se, drawn.p())
    assert [found[name] for name in ("difference", "low", "high", "se", "p")] == pytest.approx(expected, abs=1e-9)


def test_each_seed_of_each_side_has_its_own_threshold(pair, tmp_path):
    one, two = map(sensitivity, pair)
    made = compare("dino", "sam", metric="sensitivity,ece", draws=DRAWS, runs=tmp_path)
    first, second = made.rows[:2]
    assert [row.about["metric"] for row in (first, second)] == ["sensitivity@youden", "ece"]
    assert [cell.value for cell in first.cells[:3]] == pytest.approx(
        [np.mean(one), np.mean(two), np.mean(one) - np.mean(two)], abs=1e-12
    )
    assert first.cells[0].std == pytest.approx(np.std(one, ddof=1), abs=1e-12)
    assert first.cells[2].low < first.cells[2].value < first.cells[2].high
    assert first.cells[5].value is None, "swapping predictions would mix thresholds"
    assert first.cells[4].value == pytest.approx(stats.holm([first.cells[3].value, second.cells[3].value])[0])
    assert any("no p (permutation)" in note for note in made.notes)


def test_a_metric_of_another_task_is_refused(pair, tmp_path):
    with pytest.raises(Exception, match="nothing to compare") as error:
        compare("dino", "sam", metric="mae", draws=DRAWS, runs=tmp_path)
    assert "mae is not a metric of both A and B" in str(vars(error.value))


@pytest.mark.parametrize("fault", ["damaged", "missing"])
def test_a_fault_of_validation_predictions_is_told(pair, tmp_path, fault):
    import pandas as pd

    file = pair[1].records[0].path / store.PREDICTIONS
    found = pd.read_parquet(file)
    held = found["split"] == "val"
    if fault == "damaged":
        found.loc[held, [name for name in found.columns if name.startswith(("score_", "log_odds_"))]] = np.nan
    else:
        found = found[~held]
    found.to_parquet(file)
    with pytest.raises(MedbenchError, match="nothing to compare") as error:
        compare("dino", "sam", metric="sensitivity", draws=DRAWS, runs=tmp_path)
    assert "the validation predictions of A or B are damaged or missing" in str(error.value.hint)
