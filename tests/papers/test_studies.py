"""Studies are run and filled as papers are."""

from __future__ import annotations

import pytest

from medbench.cards import StudyCard
from medbench.errors import CardError
from medbench.papers.cells import wanted_of
from medbench.papers.studies import paper_of, placed, under


def study(*data: dict[str, str], name: str = "mine") -> StudyCard:
    return StudyCard.model_validate(
        {"name": name, "protocol": "knn", "entrants": [{"model": "dino"}, {"model": "sam"}], "data": list(data)}
    )


def test_cells_are_those_of_a_papers_table() -> None:
    paper = paper_of(study({"dataset": "aptos"}, {"dataset": "ddsm", "metric": "ap"}))
    found = [(one.model, one.protocol, one.dataset, one.metric, one.places) for one in wanted_of(paper)]
    assert found == [
        ("dino", "knn", "aptos", "kappa_quadratic", ("mine",)),
        ("dino", "knn", "ddsm", "ap", ("mine",)),
        ("sam", "knn", "aptos", "kappa_quadratic", ("mine",)),
        ("sam", "knn", "ddsm", "ap", ("mine",)),
    ]


def test_a_column_has_one_model_for_all_settings() -> None:
    card = StudyCard.model_validate(
        {
            "name": "k",
            "protocol": "knn",
            "entrants": [{"label": "few", "set": {"k": 5}}, {"label": "many", "set": {"k": 20}}],
            "data": [{"dataset": "aptos", "model": "dino"}, {"dataset": "aptos", "model": "sam"}],
        }
    )
    found = [(one.model, one.set, one.dataset) for one in wanted_of(paper_of(card))]
    assert found == [
        ("dino", {"k": 5}, "aptos"),
        ("sam", {"k": 5}, "aptos"),
        ("dino", {"k": 20}, "aptos"),
        ("sam", {"k": 20}, "aptos"),
    ]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"dataset": "ddsm", "metric": "aurok"}, "study mine: ddsm: unknown metric 'aurok'"),
        ({"dataset": "chexpert", "metric": "kappa_quadratic"}, "not for multilabel tasks"),
        ({"dataset": "ddms"}, "unknown dataset 'ddms'"),
    ],
)
def test_metrics_must_fit_their_data_sets(column: dict[str, str], message: str) -> None:
    with pytest.raises(CardError, match=message):
        paper_of(study({"dataset": "aptos"}, column))


def test_other_metrics_are_spelled_as_the_task_of_each_data_set_has_them() -> None:
    twice = {"dataset": "aptos", "metric": "kappa", "title": "again"}
    card = under(study({"dataset": "aptos"}, twice, {"dataset": "ddsm"}), ["auroc"])
    assert [(one.dataset, one.metric) for one in card.data] == [("aptos", "auroc_macro"), ("ddsm", "auroc")]
    columns = paper_of(under(card, ["sensitivity@specificity=0.9"])).tables["mine"].columns
    assert [one.metric for one in columns] == ["sensitivity_macro@specificity=0.9", "sensitivity@specificity=0.9"]
    assert under(card, []) is card


def test_data_without_a_card_need_a_metric_alone() -> None:
    paper = paper_of(study({"dataset": "aptos"}, {"dataset": "my-clinic", "metric": "auroc"}))
    assert [column.metric for column in paper.tables["mine"].columns] == ["kappa_quadratic", "auroc"]


def test_a_table_is_a_papers_or_a_studys() -> None:
    card, place = placed("ranks/losses")
    assert (card.name, place) == ("ranks", "losses")
    card, place = placed("wacv2024/table1")
    assert (card.name, place) == ("wacv2024", "table1")
    for name in ("ranks/none", "wacv2024/table99", "none/table1"):
        with pytest.raises(CardError, match="unknown"):
            placed(name)


def test_a_study_may_have_the_name_of_a_paper() -> None:
    assert list(paper_of(study({"dataset": "aptos"}, {"dataset": "ddsm"}, name="wacv2024")).tables) == ["wacv2024"]
