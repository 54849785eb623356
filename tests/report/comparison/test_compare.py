"""Comparisons of two rows, from files of SYNTHETIC predictions."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

import medbench
from medbench import stats
from medbench.errors import MedbenchError
from medbench.records.store import PREDICTIONS, read_all
from medbench.report.comparison.compare import compare
from medbench.report.tables.marks import RANDOM_MARK

from ..conftest import TRUTH, N
from ..made import METRIC
from .conftest import DRAWS, rows_of


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
    assert any("aptos: A and B have different seeds" in note for note in made.notes)
    assert "over 2 (data set, seed) pairs" in made.notes[0]


def test_seeds_without_any_in_common(put):
    put("dino", 0.9, seeds=(0, 1))
    put("sam", 0.8, seeds=(5, 6, 7))
    put("blip", 0.8, seeds=(9,))
    (row,) = rows_of(compare("dino", "sam", draws=DRAWS, runs=put.runs))
    assert row["cells"]["p_permutation"]["value"] is None
    assert row["cells"]["p"]["value"] is not None
    (row,) = rows_of(compare("dino", "blip", draws=DRAWS, runs=put.runs))
    assert row["cells"]["p_permutation"]["value"] is not None, "the one seed is compared with each"


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
        "not compared: ddsm (different test images: A 160, B 160, 60 in both)",
        "not compared: idrid (the same test images have different labels)",
        "not compared: refuge (only A was run)",
        "not compared: isic2019 (only B was run)",
        "not compared: messidor2 (no stored predictions of B)",
        "not compared: toy (B was run only with random weights; to compare it: --random)",
        "fives: A and B were trained on different splits of the data",
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
    assert any("aptos: runs of B with random weights are not compared" in note for note in made.notes)
    again = compare("dino", "sam", include_random=True, draws=DRAWS, runs=put.runs)
    assert rows_of(again) == rows_of(made), "real weights come first"


def test_a_metric_that_a_side_lacks(put):
    put("dino", 0.9)
    put("sam", 0.7)
    with pytest.raises(MedbenchError) as caught:
        compare("dino", "sam", metric="kappa", runs=put.runs)
    assert "kappa is not a metric of both A and B" in caught.value.hint


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
