"""Comparisons of two rows, from files of SYNTHETIC predictions."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, wilcoxon

import medbench
from medbench import stats
from medbench.errors import MedbenchError
from medbench.records.groups import SEEN
from medbench.records.store import PREDICTIONS, read_all
from medbench.report.comparison.compare import compare
from medbench.report.tables.marks import RANDOM_MARK, SEEN_MARK
from medbench.report.tables.render import FORMATS, render

from ..made import METRIC, make_paper_records

DRAWS = 200
N = 160
TRUTH = np.arange(N) % 2


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    runs = tmp_path_factory.mktemp("paper") / "runs"
    return runs, make_paper_records(runs, predictions=True, datasets=["aptos", "ddsm", "isic2019"])


@pytest.fixture
def put(tmp_path, synthetic, save):
    """Write records of a model that is right on a share of the images, drawn by the model's name and the seed."""
    place = tmp_path / "runs"

    def write(model, right, seeds=(0, 1, 2), *, ids=None, truth=TRUTH, shuffled=False, metric="accuracy", **how):
        ids = np.arange(len(truth)) if ids is None else ids
        guesses = []
        for seed in seeds:
            source = np.random.default_rng([*model.encode(), seed])
            guesses.append(np.where(source.random(len(truth)) < right, truth, 1 - truth))
        value = {"accuracy": [float((g == truth).mean()) for g in guesses]}
        value["log_loss"] = [float(-np.log(np.where(g == truth, 0.8, 0.2)).mean()) for g in guesses]
        value = {metric: value.pop(metric), **value}
        records = synthetic(model=model, seeds=tuple(seeds), values=value, images=len(truth), **how)
        save(place, records)
        written = {record.key: record.path for record in read_all(place)}
        for record, guess in zip(records, guesses, strict=True):
            frame = pd.DataFrame({"id": ids, "group": ids, "split": "test", "target": truth})
            for k in range(2):
                frame[f"score_{k}"] = np.where(guess == k, 0.8, 0.2)
            order = np.random.default_rng(0).permutation(len(frame)) if shuffled else np.arange(len(frame))
            frame.iloc[order].to_parquet(written[record.key] / PREDICTIONS)
        return value

    write.runs = place
    return write


def rows_of(made):
    """The rows of the rendered JSON: what each stands for, with its cells."""
    return [row["about"] | {"cells": row["cells"]} for row in json.loads(render(made, "json"))["rows"]]


def scores_of(runs, model, protocol, dataset):
    """Scores (s, n, c), targets and groups of all seeds, read without the package's reader."""
    frames = {}
    for folder in (runs / dataset / model / protocol).iterdir():
        record = json.loads((folder / "record.json").read_text())
        if not record["unit"]["options"]:
            frame = pd.read_parquet(folder / PREDICTIONS)
            frames[record["unit"]["seed"]] = frame[frame["split"] == "test"]
    first = frames[0]
    targets = first[[name for name in first.columns if name.startswith("target")]].to_numpy()
    scores = np.stack([frames[s].filter(like="score_").to_numpy(np.float64) for s in sorted(frames)])
    return scores, targets[:, 0] if targets.shape[1] == 1 else targets, first["group"].to_numpy()


def test_every_number_is_that_of_a_direct_call(paper):
    runs, known = paper
    made = compare("dinov2/linear-frozen", "imagenet", draws=DRAWS, runs=runs)
    *rows, mean = rows_of(made)
    assert [row["dataset"] for row in rows] == ["aptos", "ddsm", "isic2019"]
    p = []
    for row in rows:
        dataset, cells, metric = row["dataset"], row["cells"], METRIC[row["dataset"]]
        (a, truth, groups), (b, _, _) = (scores_of(runs, m, "linear-frozen", dataset) for m in ("dinov2", "imagenet"))
        drawn = stats.paired(metric, a, b, truth, groups, draws=DRAWS)
        found = drawn.interval()
        gap = cells["difference"]
        assert (gap["value"], gap["low"], gap["high"]) == (drawn.value, found.low, found.high)
        assert cells["p"]["value"] == drawn.p()
        assert cells["p_permutation"]["value"] == stats.permutation(metric, a, b, truth, groups, permutations=DRAWS)
        reach = sum(t.ppf(share, drawn.shape.freedom) for share in (0.975, 0.8))
        assert cells["detectable"]["value"] == pytest.approx(reach * found.se, rel=1e-6)
        for side, model in (("a", "dinov2"), ("b", "imagenet")):
            values = known["scores"][model, "linear-frozen", dataset, "{}"]
            assert cells[side]["value"] == pytest.approx(np.mean(values), abs=1e-12)
            assert cells[side]["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
        assert gap["value"] == pytest.approx(cells["a"]["value"] - cells["b"]["value"], abs=1e-6)
        assert (row["images"], row["patients"], row["seeds_a"], row["metric"]) == (120, 60, "0 1 2 3 4", metric)
        p.append(drawn.p())
    first, second, third = sorted(range(3), key=lambda i: p[i])
    adjusted = [row["cells"]["p_holm"]["value"] for row in rows]
    assert adjusted[first] == min(1, 3 * p[first])
    assert adjusted[second] == min(1, max(3 * p[first], 2 * p[second]))
    assert adjusted[third] == min(1, max(adjusted[second], p[third]))
    assert mean["cells"]["difference"]["value"] == pytest.approx(
        np.mean([r["cells"]["difference"]["value"] for r in rows])
    )
    assert mean["cells"]["a"]["value"] == pytest.approx(np.mean([r["cells"]["a"]["value"] for r in rows]))


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


def test_a_wide_difference_is_found(put):
    put("dino", 0.95)
    put("sam", 0.6)
    (row,) = rows_of(compare("dino/linear-frozen", "sam", draws=DRAWS, runs=put.runs))
    cells = row["cells"]
    assert cells["difference"]["low"] > 0.2
    assert cells["p"]["value"] < 0.01
    assert cells["p_permutation"]["value"] == 1 / (DRAWS + 1)
    assert cells["difference"]["value"] > cells["detectable"]["value"]
    (back,) = rows_of(compare("sam", "dino", draws=DRAWS, runs=put.runs))
    assert back["cells"]["difference"]["value"] == -cells["difference"]["value"]


def test_equal_predictions_do_not_differ(put):
    put("dino", 0.8)
    put("sam", 0.8)
    places = {(r.unit.model, r.unit.seed): r.path / PREDICTIONS for r in read_all(put.runs)}
    for seed in range(3):
        places["sam", seed].write_bytes(places["dino", seed].read_bytes())
    (row,) = rows_of(compare("dino", "sam", draws=DRAWS, runs=put.runs))
    cells = row["cells"]
    assert [cells[name]["value"] for name in ("difference", "p", "p_holm", "p_permutation", "detectable")] == [
        0, 1, 1, 1, 0
    ]  # fmt: skip


def test_few_pairs_say_that_they_could_never_be_enough(put):
    put("dino", 0.9)
    put("sam", 0.7)
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert "over 3 (data set, seed) pairs: not made, for with fewer than 6 pairs that differ" in made.notes[0]
    assert len(made.rows) == 1, "no mean of one"


def test_order_of_the_images_does_not_matter(put):
    put("dino", 0.9)
    put("sam", 0.7)
    one = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    put("sam", 0.7, shuffled=True)
    assert rows_of(compare("dino", "sam", draws=DRAWS, runs=put.runs)) == rows_of(one)


def test_seeds_are_paired_where_both_have_the_same(put):
    put("dino", 0.9, seeds=(0, 1, 2))
    put("sam", 0.8, seeds=(1, 2, 3, 4))
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    (row,) = rows_of(made)
    (a, b) = (stacked(put.runs, model) for model in ("dino", "sam"))
    drawn = stats.paired("accuracy", a, b, TRUTH, draws=DRAWS, same_seeds=False)
    assert row["cells"]["p"]["value"] == drawn.p()
    common = stats.permutation("accuracy", a[1:], b[:2], TRUTH, permutations=DRAWS)
    assert row["cells"]["p_permutation"]["value"] == common
    assert made.rows[0].heads[-1] == "3 | 4"
    assert any("aptos: other seeds on the two sides" in note for note in made.notes)
    assert "over 2 (data set, seed) pairs" in made.notes[0]


def test_seeds_without_any_in_common(put):
    put("dino", 0.9, seeds=(0, 1))
    put("sam", 0.8, seeds=(5, 6, 7))
    put("blip", 0.8, seeds=(9,))
    (row,) = rows_of(compare("dino", "sam", draws=DRAWS, runs=put.runs))
    assert row["cells"]["p_permutation"]["value"] is None
    assert row["cells"]["p"]["value"] is not None
    (row,) = rows_of(compare("dino", "blip", draws=DRAWS, runs=put.runs))
    assert row["cells"]["p_permutation"]["value"] is not None, "one stands against each"


def stacked(runs, model):
    found = sorted((r.unit.seed, r.path) for r in read_all(runs) if r.unit.model == model)
    return np.stack([pd.read_parquet(path / PREDICTIONS).filter(like="score_").to_numpy() for _, path in found])


def test_what_cannot_be_compared_says_why(put):
    for dataset in ("aptos", "ddsm", "idrid", "fives", "refuge", "messidor2", "toy"):
        put("dino", 0.9, dataset=dataset)
    put("sam", 0.7)
    put("sam", 0.7, dataset="ddsm", ids=np.arange(N) + 100)
    put("sam", 0.7, dataset="idrid", truth=1 - TRUTH)
    put("sam", 0.7, dataset="fives", split="other")
    put("sam", 0.7, dataset="messidor2")
    put("sam", 0.7, dataset="isic2019")
    put("sam", 0.7, dataset="toy", weights="random")
    next(put.runs.glob("messidor2/sam/*/*/predictions.parquet")).unlink()
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert [row["dataset"] for row in rows_of(made)] == ["aptos", "fives", "mean of 2"]
    notes = "\n".join(made.notes)
    for line in (
        "not compared: ddsm (other test images: A 160, B 160, 60 of them the same)",
        "not compared: idrid (other labels of the same test images)",
        "not compared: refuge (only A was run)",
        "not compared: isic2019 (only B was run)",
        "not compared: messidor2 (no stored predictions of B)",
        "not compared: toy (B was run with random weights alone, which --random lets in)",
        "fives: the two were trained on other splits of the data",
    ):
        assert line in notes
    assert "aptos:" not in notes


def test_seeds_tested_on_other_images(put):
    put("dino", 0.9)
    put("sam", 0.7)
    file = next(put.runs.glob("aptos/sam/*/*/predictions.parquet"))
    frame = pd.read_parquet(file)
    frame["id"] += 1
    frame.to_parquet(file)
    with pytest.raises(MedbenchError, match="nothing to compare between dino and sam") as caught:
        compare("dino", "sam", runs=put.runs)
    why = "the predictions of B are damaged, or its seeds were tested on different images"
    assert caught.value.hint == f"not compared: aptos ({why})"


def test_random_weights_are_left_out_unless_asked_for(put):
    put("dino", 0.9)
    put("sam", 0.5, weights="random")
    with pytest.raises(MedbenchError) as caught:
        compare("dino", "sam", runs=put.runs)
    assert "--random" in caught.value.hint
    made = compare("dino", "sam", include_random=True, draws=DRAWS, runs=put.runs)
    assert made.rows[0].cells[1].mark == RANDOM_MARK
    assert any(note.startswith(f"{RANDOM_MARK} random weights") for note in made.notes)
    put("sam", 0.7)
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert any("aptos: runs of B with random weights left out" in note for note in made.notes)
    again = compare("dino", "sam", include_random=True, draws=DRAWS, runs=put.runs)
    assert rows_of(again) == rows_of(made), "real weights come first"


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
    assert "not made, for lower is better in some of them alone" in made.notes[0]


def test_a_metric_that_a_side_lacks(put):
    put("dino", 0.9)
    put("sam", 0.7)
    with pytest.raises(MedbenchError) as caught:
        compare("dino", "sam", metric="kappa", runs=put.runs)
    assert "kappa is not a metric of both" in caught.value.hint


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


# settings and protocols


def names(made):
    return [row["options_a"] + " | " + row["options_b"] for row in rows_of(made) if "options_a" in row]


def test_the_same_settings_stand_against_each_other(put):
    for options in ({}, {"k": 5}, {"k": 9}):
        put("dino", 0.9, options=options)
    for options in ({}, {"k": 5}, {"k": 7}):
        put("sam", 0.7, options=options)
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert names(made) == [" | ", "k=5 | k=5"]
    assert [row.heads[1] for row in made.rows[:2]] == ["paper", "paper; k=5"]
    notes = "\n".join(made.notes)
    assert "aptos: A was run under paper; k=9, too, and B was not" in notes
    assert "aptos: B was run under paper; k=7, too, and A was not" in notes
    assert names(compare("dino/linear-frozen/k=9", "sam/linear-frozen/ k = 7", draws=DRAWS, runs=put.runs)) == [
        "k=9 | k=7"
    ]


def test_where_no_settings_are_shared_the_most_seeds_stand_for_a_side(put):
    put("dino", 0.9, options={"k": 5})
    put("dino", 0.9, seeds=(0, 1, 2, 3), options={"k": 9})
    put("sam", 0.7, preset="fixed")
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert names(made) == ["k=9 | "]
    assert made.rows[0].heads[1] == "paper; k=9 | fixed"
    assert any("A was run under paper; k=5 | paper; k=9, none of them the other's" in note for note in made.notes)
    assert any(note.endswith("then the newest: paper; k=9") for note in made.notes)


def test_presets_and_options_of_one_row(put):
    put("dino", 0.9)
    put("dino", 0.7, preset="fixed", options={"rates": [0.001, 0.1]})
    for a in ("fixed", "rates=[1e-3, 0.1]", "fixed, rates=[0.001,0.1]"):
        made = compare(f"dino/linear-frozen/{a}", "dino/linear-frozen/paper", draws=DRAWS, runs=put.runs)
        assert names(made) == ["rates=[0.001,0.1] | "]
    made = compare("dino/linear-frozen/fixed", "dino/linear-frozen", draws=DRAWS, runs=put.runs)
    assert names(made) == ["rates=[0.001,0.1] | "], "what the other side has besides"
    put("sam", 0.6, preset="fixed")
    assert rows_of(compare("sam", "dino", preset="fixed", draws=DRAWS, runs=put.runs))[0]["preset_b"] == "fixed"


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


def test_all_protocols_that_both_have(put):
    for dataset in ("aptos", "ddsm", "fives"):
        for protocol, right in (("linear-frozen", 0.9), ("knn", 0.8)):
            put("dino", right, dataset=dataset, protocol=protocol)
            put("sam", right - 0.1, dataset=dataset, protocol=protocol)
    put("dino", 0.9, protocol="lp-ft")
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    shown = [row.heads[:2] for row in made.rows]
    assert shown[:2] == [("aptos", "knn"), ("aptos", "linear-frozen")]
    assert shown[6:] == [("mean of 3", "knn"), ("mean of 3", "linear-frozen")]
    p = [row["wilcoxon_p"] for row in rows_of(made)[6:]]
    assert min(row["wilcoxon_p_holm"] for row in rows_of(made)[6:]) == pytest.approx(2 * min(p))
    (only,) = compare("dino/lp-ft", "sam/knn", draws=DRAWS, runs=put.runs).rows
    assert only.about["protocol_a"] == "lp-ft"
    with pytest.raises(MedbenchError, match="unknown protocol of sam 'lp-ft'"):
        compare("dino/lp-ft", "sam", runs=put.runs)


def test_models_of_libraries_may_have_slashes(put):
    put("timm--resnet18.a1_in1k", 0.9)
    put("open_clip--RN50--openai", 0.7)
    made = compare("timm/resnet18.a1_in1k/linear-frozen", "open_clip/RN50/openai", draws=DRAWS, runs=put.runs)
    assert "A = timm--resnet18.a1_in1k · linear-frozen against B = open_clip--RN50--openai" in made.title


@pytest.mark.parametrize(
    ("a", "b", "how", "error", "hint"),
    [
        ("dinno", "sam", {}, "unknown model 'dinno'", "dino"),
        ("", "sam", {}, "unknown model ''", "dino, sam"),
        ("dino/linear", "sam", {}, "unknown protocol of dino 'linear'", "linear-frozen"),
        ("dino", "sam/knn", {}, "unknown protocol of dino 'knn'", "linear-frozen"),
        ("blip", "dino", {}, "blip and dino were run with no protocol in common", "blip: knn; dino: linear-frozen"),
        ("dino", "dino", {}, "dino and dino are the same", "another"),
        ("dino/linear-frozen", "dino", {}, "are the same", "another"),
        ("dino/linear-frozen/papr", "sam", {}, "unknown setting of dino 'papr'", "paper"),
        ("dino/linear-frozen/k=6", "sam", {}, "unknown setting of dino 'k=6'", "k=5"),
        ("dino/linear-frozen/fixed,k=5", "sam", {}, "no run of dino has all of fixed, k=5", "fixed | paper; k=5"),
        ("dino", "sam", {"dataset": "aptoss"}, "unknown data set 'aptoss'", "aptos"),
        ("dino", "sam", {"dataset": "zz*"}, "unknown data set 'zz\\*'", "aptos"),
        ("dino", "sam", {"dataset": "ddsm"}, "nothing to compare", "ddsm (neither was run)"),
        ("dino", "sam", {"metric": "acuracy"}, "unknown metric 'acuracy'", "accuracy"),
        ("dino", "sam", {"preset": "fixd"}, "unknown preset 'fixd'", "fixed"),
        ("dino", "sam", {"dataset": " ,"}, "names no data set", "ls runs"),
        ("dino", "sam", {"draws": 99}, "--draws 99: too few", "100 to"),
        ("dino", "sam", {"draws": 1_000_001}, "--draws 1000001: too many", "1,000,000"),
    ],
)
def test_mistakes(put, a, b, how, error, hint):
    put("dino", 0.9, options={"k": 5})
    put("dino", 0.9, preset="fixed")
    put("sam", 0.7, protocol="linear-frozen")
    put("sam", 0.7, protocol="knn")
    put("blip", 0.7, protocol="knn", dataset="ddsm")
    with pytest.raises(MedbenchError, match=error) as caught:
        compare(a, b, runs=put.runs, **how)
    assert hint in caught.value.hint


def test_nothing_run(tmp_path):
    with pytest.raises(MedbenchError, match="nothing has been run yet") as caught:
        compare("dino", "sam", runs=tmp_path / "none")
    assert "medbench run" in caught.value.hint


def test_from_python(put):
    for dataset in ("aptos", "ddsm"):
        put("dino", 0.9, dataset=dataset)
        put("sam", 0.7, dataset=dataset)
    frame = medbench.compare("dino", "sam", runs=put.runs, draws=DRAWS)
    made = compare("dino", "sam", runs=put.runs, draws=DRAWS)
    assert frame["dataset"].tolist() == ["aptos", "ddsm", "mean of 2"]
    assert frame["difference"].tolist() == [row.cells[2].value for row in made.rows]
    assert frame["p_holm"][0] == made.rows[0].cells[4].value
    assert math.isnan(frame["p"][2])
