"""Study cards: what competes is complete, and has a name of its own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from medbench.cards import StudyCard

MODELS = {
    "name": "mine",
    "protocol": "knn",
    "entrants": [{"model": "dino"}, {"model": "sam", "protocol": "linear-probe", "preset": "fixed"}],
    "data": [{"dataset": "aptos"}, {"dataset": "ddsm", "metric": "ap", "title": "D"}],
}
SETTINGS = {
    "name": "k",
    "protocol": "knn",
    "set": {"split": "grouped", "k": 1},
    "entrants": [{"label": "5", "set": {"k": 5}}, {"label": "20", "set": {"k": 20}}],
    "data": [{"dataset": "aptos", "model": "dino"}, {"dataset": "aptos", "model": "sam"}],
}


def card(base: dict[str, Any], **changes: Any) -> StudyCard:
    return StudyCard.model_validate({**base, **changes})


def test_models_compete() -> None:
    table = card(MODELS, seeds=3).as_paper({"aptos": "kappa_quadratic", "D": "ap"}).tables["mine"]
    assert [(row.labels, row.model, row.protocol, row.preset) for row in table.rows] == [
        (["dino"], "dino", "knn", None),
        (["sam"], "sam", "linear-probe", "fixed"),
    ]
    assert [(c.dataset, c.metric, c.title) for c in table.columns] == [
        ("aptos", "kappa_quadratic", "aptos"),
        ("ddsm", "ap", "D"),
    ]
    assert (table.seeds, table.preset) == (3, "paper")


def test_settings_compete_on_the_models_of_the_columns() -> None:
    table = card(SETTINGS).as_paper({"aptos · dino": "kappa", "aptos · sam": "kappa"}).tables["k"]
    assert [row.set for row in table.rows] == [{"split": "grouped", "k": 5}, {"split": "grouped", "k": 20}]
    assert [column.model for column in table.columns] == ["dino", "sam"]


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (MODELS, {"entrants": MODELS["entrants"][:1]}, "at least 2 items"),  # type: ignore[index]
        (MODELS, {"data": MODELS["data"][:1]}, "at least 2 items"),  # type: ignore[index]
        (MODELS, {"protocol": None}, "entrant 'dino' names no protocol"),
        (MODELS, {"entrants": [{"model": "dino"}, {"model": "dino"}]}, "two have the name 'dino'.*another label"),
        (MODELS, {"data": [{"dataset": "aptos"}, {"dataset": "aptos"}]}, "two have the name 'aptos'.*another title"),
        (MODELS, {"entrants": [{"model": "dino"}, {}]}, "without a model needs a label"),
        (SETTINGS, {"data": [*SETTINGS["data"], {"dataset": "ddsm"}]}, "neither does the column ddsm"),  # type: ignore[misc]
        (SETTINGS, {"entrants": [*SETTINGS["entrants"], {"model": "sam"}]}, "'sam' and the column .* both name"),  # type: ignore[misc]
        (MODELS, {"metrik": "x"}, "Extra inputs"),
    ],
)  # fmt: skip
def test_what_is_incomplete_is_refused(base: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        card(base, **changes)
