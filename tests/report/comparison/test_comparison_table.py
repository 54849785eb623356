"""The table of a comparison: its rows, means, signed-rank tests and notes."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from medbench.records.groups import SEEN, collect
from medbench.report.comparison.compare import compare
from medbench.report.comparison.comparison_table import Line, compared_table
from medbench.report.comparison.selectors import Side
from medbench.report.tables.marks import SEEN_MARK
from medbench.report.tables.render import FORMATS, render

from ..conftest import N
from .conftest import DRAWS, rows_of


def test_the_signed_rank_test_is_scipys(paper):
    runs, known = paper
    made = compare("dinov2/linear-frozen", "imagenet/linear-frozen", draws=DRAWS, runs=runs)
    gaps = [
        known["scores"]["dinov2", "linear-frozen", d, "{}"][s]
        - known["scores"]["imagenet", "linear-frozen", d, "{}"][s]
        for d in ("aptos", "ddsm", "isic2019")
        for s in range(5)
    ]
    expected = wilcoxon(np.round(gaps, 12))
    mean = rows_of(made)[-1]
    assert (mean["wilcoxon_n"], mean["wilcoxon_p"]) == (15, pytest.approx(expected.pvalue, rel=1e-12))
    assert mean["wilcoxon_statistic"] == expected.statistic
    assert f"over 15 (data set, seed) pairs: p {expected.pvalue:.3f}" in made.notes[0]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format(paper, form):
    made = compare("dinov2/linear-unfrozen", "dinov2/linear-frozen", "ddsm,isic*", draws=DRAWS, runs=paper[0])
    text = render(made, form)
    assert text == render(made, form)
    *rows, _ = rows_of(made)
    if form == "csv":
        read = list(csv.DictReader(io.StringIO(text)))
        assert [float(line["difference"]) for line in read[:2]] == [r["cells"]["difference"]["value"] for r in rows]
        assert read[0]["protocol_b"] == "linear-frozen"
    elif form != "json":
        for row in rows:
            gap = row["cells"]["difference"]
            assert f"+{gap['value']:.3f}" in text
            assert f"+{gap['low']:.3f}, +{gap['high']:.3f}" in text


def test_few_pairs_say_that_they_could_never_be_enough(put):
    put("dino", 0.9)
    put("sam", 0.7)
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert "over 3 (data set, seed) pairs: not made, because with fewer than 6 pairs that differ" in made.notes[0]
    assert len(made.rows) == 1, "no mean of one"


def test_toy_data_contamination_and_lower_is_better_are_said(put):
    for dataset in ("aptos", "toy"):
        put("dino", 0.9, dataset=dataset, toy=dataset == "toy", metric="log_loss")
        put("sam", 0.7, dataset=dataset, toy=dataset == "toy", metric="log_loss", warnings=["contamination: seen"])
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    notes = "\n".join(made.notes)
    assert "log_loss: lower is better, so a negative difference favours A" in notes
    assert "toy: toy data: generated images" in notes
    assert SEEN in notes
    assert [row.cells[1].mark for row in made.rows] == [SEEN_MARK, SEEN_MARK, ""]
    assert made.rows[0].cells[0].mark == ""
    assert made.rows[-1].cells[2].value < 0
    made = compare("dino", "sam", metric="accuracy", draws=DRAWS, runs=put.runs)
    assert made.rows[-1].cells[2].value > 0
    assert "lower is better" not in "\n".join(made.notes)
    assert "by accuracy" in made.title


def test_metrics_of_two_directions_have_no_mean(put):
    for dataset, metric in (("aptos", "log_loss"), ("ddsm", "accuracy")):
        put("dino", 0.9, dataset=dataset, metric=metric)
        put("sam", 0.7, dataset=dataset, metric=metric)
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert [row.heads[:2] for row in made.rows] == [("aptos", "log_loss"), ("ddsm", "accuracy")]
    assert "not made, because lower is better in only some of them" in made.notes[0]


def test_an_undefined_number_is_a_dash(put):
    one_class = np.zeros(N, int)
    put("dino", 0.9, truth=one_class)
    put("sam", 0.7, truth=one_class)
    for file in put.runs.glob("*/*/*/*/record.json"):
        record = json.loads(file.read_text())
        record["metrics"]["auroc"] = None
        file.write_text(json.dumps(record))
    made = compare("dino", "sam", metric="auroc", draws=DRAWS, runs=put.runs)
    assert [cell.text for cell in made.rows[0].cells] == ["–"] * 7
    assert "over 0 (data set, seed) pairs" in made.notes[0]
    assert "nan" not in render(made, "csv")


def test_a_data_set_counts_once_in_a_mean_and_a_signed_rank_test(put):
    """One data set under two settings: each settings have a mean and a test of their own."""
    for dataset, presets in (("aptos", ("paper", "fixed")), ("ddsm", ("paper",)), ("fives", ("paper",))):
        for preset in presets:
            put("dino", 0.9, dataset=dataset, preset=preset)
            put("sam", 0.8, dataset=dataset, preset=preset)
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    *rows, mean = rows_of(made)
    assert [(row["dataset"], row["preset_a"]) for row in rows] == [
        ("aptos", "fixed"), ("aptos", "paper"), ("ddsm", "paper"), ("fives", "paper"),
    ]  # fmt: skip
    assert (mean["dataset"], made.rows[-1].heads[:2]) == ("mean of 3", ("mean of 3", "paper"))
    values = [row["cells"]["difference"]["value"] for row in rows if row["preset_a"] == "paper"]
    assert mean["cells"]["difference"]["value"] == pytest.approx(np.mean(values))
    assert sum("over 9 (data set, seed) pairs" in note for note in made.notes) == 1
    assert mean["wilcoxon_n"] + mean["wilcoxon_zeros"] == 9


def line_of(synthetic, dataset, a, b, seeds_a=(0, 1, 2), seeds_b=(0, 1, 2)) -> Line:
    """Two groups with the given kappas, one for each seed; the test's numbers are made up."""
    groups = [
        collect(synthetic(model=model, dataset=dataset, seeds=seeds, values={"kappa_quadratic": values}))[0]
        for model, seeds, values in (("dino", seeds_a, a), ("sam", seeds_b, b))
    ]
    numbers = {"difference": 0.25, "low": 0.125, "high": 0.375, "se": 0.0625, "detectable": 0.2, "p": 0.01}
    return Line(*groups, "kappa_quadratic", images=549, patients=None, permutation=math.nan, **numbers)


def test_differences_are_those_of_the_seeds_that_both_have(synthetic):
    line = line_of(synthetic, "aptos", [0.9, 0.8, None], [0.5, 0.25, 0.125], (0, 1, 2), (1, 2, 3))
    assert line.differences() == [pytest.approx(0.3)], "seed 2 is undefined for A; seeds 0 and 3 are on one side alone"
    assert line.seeds == ("0 1 2", "1 2 3")
    assert (line.dataset, line.protocols) == ("aptos", ("linear-frozen", "linear-frozen"))


def test_the_last_row_is_the_mean_over_the_data_sets(synthetic):
    first = line_of(synthetic, "aptos", [0.9, 0.8, 0.7], [0.5, 0.5, 0.5])
    second = dataclasses.replace(line_of(synthetic, "ddsm", [0.6, 0.6, 0.6], [0.2, 0.3, 0.1]), difference=0.75)
    made = compared_table(Side("dino"), Side("sam"), [first, second], ["a note", "a note"], 100)
    assert [row.heads[0] for row in made.rows] == ["aptos", "ddsm", "mean of 2"]
    assert [cell.value for cell in made.rows[-1].cells[:3]] == pytest.approx([0.7, 0.35, 0.5])
    assert [cell.text for cell in made.rows[0].cells] == [
        "0.800 ± 0.100", "0.500 ± 0.000", "+0.250", "0.010", "–", "–", "0.200",
    ]  # fmt: skip
    assert made.notes.count("a note") == 1
    assert "A = dino · linear-frozen against B = sam · linear-frozen" in made.title
    single = compared_table(Side("dino"), Side("sam"), [first], [], 100)
    assert [row.heads[0] for row in single.rows] == ["aptos"], "one data set has no mean"
