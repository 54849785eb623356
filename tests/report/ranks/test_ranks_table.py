"""The table of a study from SYNTHETIC records."""

from __future__ import annotations

import json

import pytest

import medbench
from medbench.errors import CardError
from medbench.records.store import read_all
from medbench.report.figures.draw import figure_data
from medbench.report.ranks.ranks_table import ranked, ranked_study
from medbench.report.tables.choose import chosen
from medbench.report.tables.lookup import list_tables, table
from medbench.report.tables.render import FORMATS, render

from ..conftest import TRUTH
from .conftest import DATA, study


def results(synthetic, model, *values, **how):
    """Records of a model with an accuracy on each of `DATA`, None for none."""
    return [
        record
        for dataset, value in zip(DATA, values, strict=True)
        if value is not None
        for record in synthetic(
            model, dataset=dataset, values={"accuracy": [value - 0.01, value + 0.01]}, seeds=(0, 1), **how
        )
    ]


def shown(found) -> dict[str, list[str]]:
    return {row.heads[0]: [cell.text for cell in row.cells] for row in found.table.rows}


@pytest.fixture
def records(synthetic):
    return (
        results(synthetic, "dino", 0.7, 0.6, 0.8)
        + results(synthetic, "dinov2", 0.9, 0.7, 0.7)
        + results(synthetic, "sam", 0.8, 0.7, 0.6)
    )


def test_ranks_wins_and_order(records) -> None:
    found = ranked(study(), records)
    assert [row.heads[0] for row in found.table.rows] == ["dinov2", "sam", "dino"]
    cells = shown(found)
    assert cells["dinov2"][:3] == ["1.500", "1.5", "–"]
    assert cells["dino"][:3] == ["2.333", "1", "–"]
    assert found.table.title == "study mine: A study"
    assert found.table.rows[0].about["protocol"] == "linear-frozen"
    notes = "\n".join(found.table.notes)
    assert "no intervals: not all cells have stored predictions" in notes
    assert "Friedman test over 3 columns, p = " in notes


def test_too_few_columns_are_said_to_tell_nothing(records) -> None:
    few = study({"dataset": "aptos", "metric": "accuracy"}, {"dataset": "ddsm", "metric": "accuracy"})
    assert any(
        note.startswith("with so few columns this test cannot separate entrants")
        for note in ranked(few, records).table.notes
    )


def test_columns_of_one_data_set_are_told(synthetic) -> None:
    records = [r for m in ("dino", "sam") for k in (5, 20) for r in synthetic(m, options={"k": k})]
    data = [{"dataset": "aptos", "metric": "kappa_quadratic", "model": m} for m in ("dino", "sam")]
    entrants = [{"label": str(k), "set": {"k": k}} for k in (5, 20)]
    found = ranked(study(*data, entrants=entrants), records)
    assert any("share its test images" in note for note in found.table.notes)
    assert {row.about["model"] for row in found.table.rows} == {None}
    assert [row.about["options"] for row in found.table.rows] == ["k=5", "k=20"]
    assert [cell.text for cell in found.table.rows[0].cells[:2]] == ["1.500", "1"]


def test_what_is_missing_is_said_and_can_be_filled(synthetic, records) -> None:
    found = ranked(study(models=("dino", "dinov2", "sam", "blip")), records[:-2])
    notes = "\n".join(found.table.notes)
    assert "isic2019 is not ranked: no comparable number of sam" in notes
    assert "not ranked, because no number is comparable: blip" in notes
    assert found.ranking.columns == (0, 1)
    assert found.table.rows[-1].heads == ("blip",)
    assert found.table.commands[0] == "medbench table ranks/mine --fill"


def test_nothing_run() -> None:
    found = ranked(study(), [])
    assert found.ranking is None
    assert {cell.text for row in found.table.rows for cell in row.cells} == {"–"}
    assert found.table.notes[0].startswith("no ranks yet")


def test_other_settings_stay_out(synthetic, records) -> None:
    other = records[:-2] + results(synthetic, "sam", None, None, 0.6, options={"views": 4})
    found = ranked(study(), other)
    assert found.ranking.columns == (0, 1)
    assert any("run with other settings than these cells need" in note for note in found.table.notes)
    everything = ranked(study(set={"views": 4}), other)
    assert everything.ranking is None


def test_random_weights_and_seen_data_are_shown_but_not_ranked(synthetic, records) -> None:
    other = records[:-6] + results(synthetic, "sam", 0.99, 0.99, 0.99, weights="random")
    found = ranked(study(), other, include_random=True)
    assert shown(found)["sam"][:4] == ["–", "–", "–", "0.990 ± 0.014†"]
    seen = results(synthetic, "sam", None, None, 0.99, warnings=["contamination: seen"])
    found = ranked(study(), records[:-2] + seen)
    assert found.ranking.columns == (0, 1)


def test_other_test_images_are_not_ranked(synthetic, records) -> None:
    found = ranked(study(), records[:-2] + results(synthetic, "sam", None, None, 0.6, images=100))
    assert found.ranking.columns == (0, 1)
    assert "isic2019 is not ranked: the test images of the entrants differ" in found.table.notes


@pytest.fixture
def stored(put, tmp_path, monkeypatch):
    """A project with a study, whose records have predictions."""
    for model, share in (("dino", 0.9), ("dinov2", 0.88), ("sam", 0.6)):
        for dataset in DATA:
            put(model, share, dataset=dataset, truth=TRUTH)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/studies").mkdir(parents=True)
    (tmp_path / "results/studies/mine.yaml").write_text(
        "{name: mine, title: A study, protocol: linear-frozen,"
        " entrants: [{model: dino}, {model: dinov2}, {model: sam}],"
        " data: [{dataset: aptos, metric: accuracy}, {dataset: ddsm, metric: accuracy}]}"
    )
    return put.runs


def test_intervals_and_ties_from_stored_predictions(stored) -> None:
    made = table("ranks/mine", stored)
    rank, _, first = made.rows[0].cells[:3]
    assert rank.low <= rank.value <= rank.high
    assert rank.rank == "best"
    assert 0 < first.value <= 1
    rows = {row.heads[0]: row for row in made.rows}
    assert not rows["sam"].cells[0].tied
    assert any("not distinguishable from the best (≈, and the best itself): 2 of 3" in note for note in made.notes)
    for form in FORMATS:
        assert render(made, form)
    header = render(made, "csv").splitlines()[0]
    assert header.startswith("entrant,model,protocol,preset,options,mean_rank,mean_rank_low,mean_rank_high,wins,first,")


def test_it_is_ranked_by_other_metrics_on_request(stored) -> None:
    """One of records, and one that no record holds: each on each data set; lower is better for both."""
    made = table("ranks/mine", stored, metrics=["log_loss", "brier"])
    assert [column.title for column in made.columns[3:]] == [
        f"{dataset} {metric}" for dataset in ("aptos", "ddsm") for metric in ("log_loss", "brier")
    ]
    assert [row.heads[0] for row in made.rows] == [row.heads[0] for row in table("ranks/mine", stored).rows]
    values = [row.cells[-1].value for row in made.rows]
    assert values == sorted(values)
    assert made.rows[0].cells[0].low is not None, "intervals, from the stored predictions"
    frame = medbench.table("ranks/mine", runs=stored, metrics=["brier"])
    assert list(frame["mean_rank"]) == sorted(frame["mean_rank"])
    assert {"aptos_brier_mean", "ddsm_brier_mean"} < {*frame.columns}
    data = figure_data("ranks/mine", stored, metric="brier,log_loss")
    assert {point.n for point in data.of("ranks")} == {4}
    for metric, told in (("aurok", "unknown metric 'aurok'"), ("calibration_slope", "has no best value")):
        with pytest.raises(CardError, match=told):
            table("ranks/mine", stored, metrics=[metric])


def test_a_study_may_name_a_metric_that_no_record_holds(put) -> None:
    for model, share in (("dino", 0.9), ("dinov2", 0.88), ("sam", 0.6)):
        for dataset in DATA[:2]:
            put(model, share, dataset=dataset, truth=TRUTH)
    card = study(*({"dataset": dataset, "metric": "brier"} for dataset in DATA[:2]), seeds=3)
    records = list(read_all(put.runs))
    found = ranked(card, records)
    assert found.ranking.repeats
    assert found.ranking.mean_ranks[2] == 3
    assert not found.table.commands, "nothing is missing"
    for file in put.runs.rglob("predictions.parquet"):
        file.unlink()
    notes = ranked(card, records).table.notes
    assert any(note.startswith("brier: no number for dino · linear-frozen") for note in notes)


def test_a_study_is_found_and_listed(stored) -> None:
    assert "ranks/mine" in list_tables(stored)
    assert ranked_study("mine", stored).ranking is not None
    with pytest.raises(CardError, match="unknown table 'ranks/none'"):
        table("ranks/none", stored)
    with pytest.raises(CardError, match="has no table of classes"):
        table("ranks/mine", stored, per_class=True)


def test_sorted_by_mean_rank_the_best_is_first(records) -> None:
    made = ranked(study(), records).table
    best = made.rows[0].heads
    assert chosen(made, sort="mean rank").rows[0].heads == best
    assert chosen(made, sort="-mean rank").rows[-1].heads == best
    assert chosen(made, sort="wins").rows[0].heads == best


def test_columns_of_one_data_set_have_ids_of_their_own(synthetic) -> None:
    """Else JSON keeps one of them, and CSV has two columns of the same name."""
    columns = [{"dataset": "aptos", "metric": "accuracy", "model": name} for name in ("dino", "sam")]
    entrants = [{"label": str(k), "protocol": "knn", "set": {"k": k}} for k in (1, 5)]
    found = ranked(study(*columns, entrants=entrants), [])
    ids = ["aptos_accuracy_dino", "aptos_accuracy_sam"]
    assert [column.id for column in found.table.columns[3:]] == ids
    assert list(json.loads(render(found.table, "json"))["rows"][0]["cells"])[3:] == ids
