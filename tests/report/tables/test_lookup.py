"""Tables by name, from a run store of SYNTHETIC records."""

from __future__ import annotations

import json

import pytest

from medbench.errors import MedbenchError
from medbench.report.figures.predictions.runs import Selection
from medbench.report.subgroups.by import By
from medbench.report.tables.lookup import list_tables, table


def test_by_name(synthetic, save, tmp_path, shipped):
    runs = tmp_path / "runs"
    save(runs, synthetic())
    (runs / "empty" / "m").mkdir(parents=True)
    names = list_tables(runs)
    assert {"flair/transfer", "retfiner/gains", "wacv2024/table1", "medmnistplus2025/knn"} <= set(names)
    papers = [name.partition("/")[0] for name in names if not name.startswith(("dataset/", "ranks/"))]
    assert [name.partition("/")[0] for name in names[: len(papers)]] == sorted(papers), "papers come first"
    assert [name for name in names if name.startswith("dataset/")] == ["dataset/aptos"]
    assert table("dataset/aptos", runs).rows[0].heads[0] == "dinov2"
    for wrong in ("dataset/aptoss", "wacv2024/tabel1", "wacv2024", "dataset/../aptos", "dataset/*"):
        with pytest.raises(MedbenchError, match="unknown table"):
            table(wrong, runs)
    with pytest.raises(MedbenchError) as caught:
        table("wacv2024/tabel1", runs)
    assert "wacv2024/table1" in caught.value.hint


def test_nothing_run_says_how(tmp_path, shipped):
    with pytest.raises(MedbenchError, match="nothing has been run on 'toy'") as caught:
        table("dataset/toy", tmp_path / "none")
    assert "medbench run" in caught.value.hint


def test_broken_record_is_passed_over(synthetic, save, tmp_path):
    save(tmp_path, synthetic(seeds=(0, 1)))
    bad = next(tmp_path.glob("*/*/*/*/record.json"))
    bad.write_text(json.dumps({"schema_version": 99}))
    assert table("dataset/aptos", tmp_path).rows[0].heads[-1] == "1"


def test_by_name_from_the_store(synthetic, save, tmp_path, shipped):
    save(tmp_path / "runs", synthetic() + synthetic(dataset="other"))
    made = table("wacv2024/table1", tmp_path / "runs", published=True)
    frame = made.frame()
    assert frame.shape == (13, 4 + 4 * 8)
    row = frame[(frame["model"] == "dinov2") & (frame["protocol"] == "linear-frozen")].iloc[0]
    assert row["aptos_kappa_quadratic_mean"] == pytest.approx(0.82)
    assert row["aptos_kappa_quadratic_published"] == 0.881


def test_only_data_sets_have_subgroups(synthetic, save, tmp_path, shipped):
    save(tmp_path, synthetic())
    by = By("sex", lambda columns: None)
    for name in ("wacv2024/table1", "shift/aptos"):
        with pytest.raises(MedbenchError, match="has no table of subgroups"):
            table(name, tmp_path, by=by)
    with pytest.raises(MedbenchError, match="--by and --per-class cannot be combined") as caught:
        table("dataset/aptos", tmp_path, per_class=True, by=by)
    assert caught.value.hint == "remove one of them"


@pytest.mark.parametrize("per_class", [False, True])
def test_models_and_protocols_choose_rows_of_a_data_set(synthetic, save, tmp_path, per_class):
    for model, protocol in (("dino", "knn"), ("dino", "linear-frozen"), ("sam", "knn")):
        save(tmp_path, synthetic(model=model, protocol=protocol, seeds=(0,)))

    def rows(*words: str) -> set[tuple[str, str]]:
        found = table("dataset/aptos", tmp_path, per_class=per_class, selection=Selection(*words))
        return {(row.about["model"], row.about["protocol"]) for row in found.rows}

    assert rows("dino") == {("dino", "knn"), ("dino", "linear-frozen")}
    assert rows("", "k*") == {("dino", "knn"), ("sam", "knn")}
    assert rows("dino/knn,sam") == {("dino", "knn"), ("sam", "knn")}
    with pytest.raises(MedbenchError, match="unknown model"):
        rows("blip")
    with pytest.raises(MedbenchError, match="--model and --protocol have no effect"):
        table("wacv2024/table1", tmp_path, selection=Selection("dino"))
