"""The first screen: the sentences on each data set, against direct calls of the statistics."""

from __future__ import annotations

import re

from medbench import stats
from medbench.records import store
from medbench.records.groups import collect
from medbench.report.html.answers import answer
from medbench.report.inference import DRAWS, predicted
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.table import p_value, signed

from .conftest import put, targets_of


def answered(runs, dataset="ddsm"):
    records = [record for record in store.read_all(runs) if record.unit.dataset == dataset]
    return answer(dataset_table(dataset, records, True, True), collect(records))


def test_a_clear_winner_is_called_sure_with_the_paired_numbers(runs, groups):
    found = answered(runs)
    first, second = groups["dinov2"], groups["imagenet"]
    assert found.best == "dinov2 · linear-frozen"
    assert found.place == (*first.place[:3], first.first.group[:12])
    assert found.test == "120 test images"
    a, b = predicted(first), predicted(second)
    drawn = stats.paired("auroc", a.of("auroc"), b.of("auroc"), a.targets, a.groups, draws=DRAWS)
    ends = drawn.interval()
    assert f"The difference is {signed(drawn.value)} [{signed(ends.low)}, {signed(ends.high)}]" in found.lead
    assert found.lead.endswith(f"p (Holm) {p_value(drawn.p())}.")
    assert f"{first.summary('auroc')[0]:.3f} [" in found.score
    assert found.ties == "Clear: a paired test separates the best from the other run."


def test_what_is_no_result_is_left_out_and_told(runs):
    warnings = answered(runs).warnings
    assert "left out: 1 run with random weights" in warnings
    assert any(text.startswith("toy data") for text in warnings), "a row of the table is of toy data"


def test_close_runs_are_counted(tmp_path):
    for model, skill in (("dino", 1.5), ("sam", 1.5), ("blip", 1.45), ("clip", -1.0)):
        put(tmp_path, model, skill)
    found = answered(tmp_path)
    tied = stats_of(tmp_path)
    assert 1 <= tied < 3
    assert re.match(rf"Unclear which run is best: a paired test cannot separate {tied} of 3 other runs", found.ties)


def test_runs_on_other_images_are_counted_as_not_compared(tmp_path):
    for model, skill in (("dino", 2.5), ("sam", -1.0), ("blip", -1.5)):
        put(tmp_path, model, skill)
    put(tmp_path, "clip", 0.5, targets=1 - targets_of("binary"))
    found = answered(tmp_path).ties
    assert found.startswith("Clear: a paired test separates the best from 2 other runs.")
    assert found.endswith("1 run could not be compared with the best image by image.")


def stats_of(runs) -> int:
    """The number of runs that Holm's method leaves beside the best."""
    groups = sorted(collect(store.read_all(runs)), key=lambda g: -(g.summary("auroc")[0] or 0))
    best, *others = [predicted(group) for group in groups]
    p = [
        stats.paired("auroc", best.of("auroc"), other.of("auroc"), best.targets, best.groups, draws=DRAWS).p()
        for other in others
    ]
    return int((stats.holm(p) > 0.05).sum())


def test_one_run_has_nothing_to_compare_with(tmp_path):
    put(tmp_path, "dino", 1.5)
    found = answered(tmp_path)
    assert found.lead == "There is no second run for comparison."
    assert found.ties == ""


def test_random_weights_alone_are_no_answer(tmp_path):
    put(tmp_path, "dino", 1.5, weights="random")
    found = answered(tmp_path)
    assert found.best == ""
    assert found.warnings == ("no run with pre-trained weights that can be compared with others",)
