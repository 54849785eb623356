"""Which runs a figure of predictions shows, from SYNTHETIC records."""

from __future__ import annotations

import pytest

from medbench.errors import CardError, MedbenchError
from medbench.records import store
from medbench.report.figures.predictions import runs as module
from medbench.report.figures.predictions.runs import Selection, records_of, shown

from .conftest import put


def names(found) -> list[str]:
    return [run.name for run in found.runs]


def test_of_each_model_the_best_on_validation(show):
    found = show()
    assert names(found) == ["good · linear-frozen", "poor · knn"], "without validation it cannot be the best"
    assert (
        "shown: for each model, the run with the best auroc on validation; to show others: --model, --protocol"
        in found.notes
    )
    assert found.title == "binary"


def test_models_protocols_and_settings_are_selected(show):
    assert names(show(models="poor")) == ["poor"]
    assert names(show(protocols="linear-*")) == ["good", "poor"]
    assert names(show(protocols="knn,linear-frozen")) == ["good · linear-frozen", "poor · knn", "poor · linear-frozen"]
    assert names(show(models="poor/knn,g*")) == ["good · linear-frozen", "poor · knn"]
    assert [run.group.first.unit.protocol for run in show(models="poor/linear-frozen/paper").runs] == ["linear-frozen"]


@pytest.mark.parametrize(
    ("selection", "match"),
    [({"models": "god"}, "unknown model 'god'"), ({"models": "x*"}, "unknown model"),
     ({"protocols": "kn"}, "unknown protocol 'kn'"), ({"models": "good/knn"}, "unknown protocol of good"),
     ({"models": "poor/knn/k=5"}, "unknown setting of poor")],
)  # fmt: skip
def test_what_was_not_run_is_refused(show, selection, match):
    with pytest.raises(CardError, match=match):
        show(**selection)


def test_nothing_is_left(show):
    with pytest.raises(CardError, match="no run matches"):
        show(models="good", protocols="knn")


def test_random_weights_only_on_demand_and_marked(show):
    assert names(show(random=True))[-1] == "random · linear-frozen†"
    assert any(note.startswith("† random weights") for note in show(random=True).notes)


def test_classes_by_name(show):
    assert show().class_of("ILL") == 1
    assert show().class_of("") is None
    with pytest.raises(CardError, match="unknown class of binary 'sick'"):
        show().class_of("sick")


def test_too_many_runs_say_what_to_select(runs, show):
    with pytest.raises(MedbenchError, match="would show 2 runs, more than 1") as error:
        shown("binary", store.read_all(runs), False, Selection(), most=1)
    assert "--model" in error.value.hint


def test_without_predictions_it_says_what_to_do(synthetic):
    with pytest.raises(MedbenchError, match="no predictions are stored with the runs on 'aptos'") as error:
        shown("aptos", synthetic(), False, Selection())
    assert "--overwrite always" in error.value.hint


def test_random_weights_alone(tmp_path):
    put(tmp_path, "toy", 1.0, weights="random", seeds=(0,))
    with pytest.raises(MedbenchError, match="all runs on 'binary' have random weights"):
        shown("binary", store.read_all(tmp_path), False, Selection())


def test_one_test_split_and_marks_of_faults(tmp_path):
    put(tmp_path, "a", 1.0, seeds=(0,), warnings=["leak: 1 group is in two splits"])
    put(tmp_path, "b", 1.0, seeds=(0,), warnings=["contamination: seen"])
    put(tmp_path, "c", 1.0, seeds=(0,), material={"data": "f" * 64})
    found = shown("binary", store.read_all(tmp_path), False, Selection())
    assert names(found) == ["a¶", "b‡"]
    assert list(found.series) == ["a¶", "b‡"]
    assert any("tested on other images: c · linear-frozen" in note for note in found.notes)
    assert sum(note[0] in "¶‡" for note in found.notes) == 2


def test_few_shots_do_not_stand_for_a_model(tmp_path):
    put(tmp_path, "a", 1.0, seeds=(0,), val=0.1)
    put(tmp_path, "a", 2.0, seeds=(0,), val=0.9, protocol="few-shot", options={"shots": 5})
    (run,) = shown("binary", store.read_all(tmp_path), False, Selection()).runs
    assert run.group.shots is None
    (run,) = shown("binary", store.read_all(tmp_path), False, Selection(protocols="few-shot")).runs
    assert run.group.shots == 5


def test_lower_is_better(tmp_path, monkeypatch):
    for protocol, loss in (("knn", 0.5), ("linear-frozen", 0.2)):
        put(tmp_path, "a", 1.0, protocol=protocol, seeds=(0,), val=loss)
    records = [record.model_copy(update={"metric": "log_loss"}) for record in store.read_all(tmp_path)]
    for record, source in zip(records, store.read_all(tmp_path), strict=True):
        record.metrics_val = {"log_loss": source.metrics_val["auroc"]}
        record._folder = source._folder
    (run,) = shown("binary", records, False, Selection()).runs
    assert run.group.first.unit.protocol == "linear-frozen"


def test_records_of_a_selection(runs):
    records = list(store.read_all(runs))
    assert len(records_of("binary", records, Selection())) == 7
    assert {r.unit.protocol for r in records_of("binary", records, Selection(protocols="knn"))} == {"knn"}
    assert module.MOST == 10
