"""The two sides of a comparison: read from words, and which groups are compared with each other."""

from __future__ import annotations

import pytest

from medbench.errors import MedbenchError
from medbench.report.comparison import selectors
from medbench.report.comparison.compare import compare
from medbench.report.comparison.selectors import Side

from .conftest import DRAWS, names, rows_of


def test_the_same_settings_are_compared(put):
    for options in ({}, {"k": 5}, {"k": 9}):
        put("dino", 0.9, options=options)
    for options in ({}, {"k": 5}, {"k": 7}):
        put("sam", 0.7, options=options)
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert names(made) == [" | ", "k=5 | k=5"]
    assert [row.heads[1] for row in made.rows[:2]] == ["paper", "paper; k=5"]
    notes = "\n".join(made.notes)
    assert "aptos: A was also run under paper; k=9, but B was not" in notes
    assert "aptos: B was also run under paper; k=7, but A was not" in notes
    assert names(compare("dino/linear-frozen/k=9", "sam/linear-frozen/ k = 7", draws=DRAWS, runs=put.runs)) == [
        "k=9 | k=7"
    ]


def test_without_shared_settings_the_row_with_most_seeds_is_compared(put):
    put("dino", 0.9, options={"k": 5})
    put("dino", 0.9, seeds=(0, 1, 2, 3), options={"k": 9})
    put("sam", 0.7, preset="fixed")
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert names(made) == ["k=9 | "]
    assert made.rows[0].heads[1] == "paper; k=9 | fixed"
    assert any(
        "A was run under paper; k=5 | paper; k=9, and the other under none of these" in note for note in made.notes
    )
    assert any(note.endswith("then the newest: paper; k=9") for note in made.notes)


def test_what_is_typed_in_full_comes_before_what_has_more(put):
    """A newer row on another split, with more seeds, does not stand for the row that was named."""
    put("dino", 0.9, options={"k": 5})
    put("dino", 0.6, seeds=(0, 1, 2, 3), options={"k": 5, "split": "drawn"}, split="drawn", material={"split": "d"})
    put("sam", 0.7, options={"k": 9})
    made = compare("dino/linear-frozen/k=5", "sam", draws=DRAWS, runs=put.runs)
    assert names(made) == ["k=5 | k=9"]
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert names(made) == ["k=5 | k=9"], "the same test images come before more seeds"
    made = compare("dino/linear-frozen/split=drawn", "dino/linear-frozen/k=5", draws=DRAWS, runs=put.runs)
    assert names(made) == ["k=5, split=drawn | k=5"]


def test_data_of_another_content_are_not_compared(put):
    """The ids are the same, the pixels are not: only what was run on one copy is compared."""
    put("dino", 0.9, material={"data": "a" * 64})
    put("sam", 0.7, material={"data": "b" * 64})
    with pytest.raises(MedbenchError, match="nothing to compare") as error:
        compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert "aptos (different data with the same name: A aaaaaaaa, B bbbbbbbb" in str(error.value.hint)
    put("dino", 0.8, seeds=(0, 1), material={"data": "b" * 64})
    (row,) = rows_of(compare("dino", "sam", draws=DRAWS, runs=put.runs))
    assert row["seeds_a"] == "0 1"


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


def test_settings_come_in_the_order_of_their_numbers(put):
    for shots in (16, 1, 4):
        for model in ("dino", "sam"):
            put(model, 0.8, protocol="few-shot", options={"shots": shots})
    made = compare("dino", "sam", draws=DRAWS, runs=put.runs)
    assert [name.partition("shots=")[2].split()[0] for name in names(made)] == ["1", "4", "16"]


def test_two_cards_of_one_network_can_be_compared(put):
    for model in ("dino", "copy"):
        put(model, 0.8, group="a" * 64)
    assert len(rows_of(compare("dino", "copy", draws=DRAWS, runs=put.runs))) > 0


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
        ("blip", "dino", {}, "blip and dino have no protocol in common", "blip: knn; dino: linear-frozen"),
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
        ("dino", "sam", {"dataset": " ,"}, "matches no data set", "ls runs"),
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


RAN = [
    ("aptos", "dino", "knn"),
    ("ddsm", "dino", "linear-frozen"),
    ("ddsm", "sam", "knn"),
    ("isic2019", "open_clip--RN50--openai", "knn"),
]


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("dino", Side("dino")),
        ("dino/", Side("dino")),
        (" dino / knn ", Side("dino", "knn")),
        ("dino/knn/fixed, k=5", Side("dino", "knn", ("fixed", "k=5"))),
        ("dino/knn/rates=[1,2];fixed", Side("dino", "knn", ("rates=[1,2]", "fixed"))),
        ("open_clip/RN50/openai/knn", Side("open_clip--RN50--openai", "knn")),
        ("open_clip--RN50--openai", Side("open_clip--RN50--openai")),
    ],
)
def test_a_side_is_read_from_its_words(text, side):
    assert selectors.parse(text, RAN) == side


def test_protocols_are_those_named_or_all_that_both_have():
    dino, sam = Side("dino"), Side("sam")
    assert selectors.protocols(dino, sam, RAN) == [("knn", "knn")]
    assert selectors.protocols(Side("dino", "linear-frozen"), Side("sam", "knn"), RAN) == [("linear-frozen", "knn")]
    assert selectors.protocols(dino, Side("sam", "knn"), RAN) == [("knn", "knn")]
    with pytest.raises(MedbenchError, match="unknown protocol of sam 'linear-frozen'"):
        selectors.protocols(Side("dino", "linear-frozen"), sam, RAN)


def test_data_sets_are_names_and_globs_each_once():
    assert selectors.datasets(None, RAN) == ["aptos", "ddsm", "isic2019"]
    assert selectors.datasets("isic*, aptos,a*", RAN) == ["isic2019", "aptos"]
    with pytest.raises(MedbenchError, match="unknown data set 'idrid'"):
        selectors.datasets("aptos,idrid", RAN)
