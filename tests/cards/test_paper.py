"""Paper cards: what their tables and figures refer to must be there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from medbench.cards.paper import PaperCard

ROWS = [
    {"labels": ["linear", "sam"], "model": "sam", "protocol": "linear-frozen", "published": {"aptos": [0.8, 0.1]}},
    {"labels": ["knn", "sam"], "model": "sam", "protocol": "knn"},
]
TABLE = {
    "title": "t",
    "source": "Table 1",
    "heads": ["Classifier", "Model"],
    "columns": [{"dataset": "aptos", "metric": "kappa_quadratic", "title": "A"}],
    "rows": ROWS,
}
CARD: dict[str, Any] = {"name": "mini", "tables": {"plain": TABLE, "other": {**TABLE, "gain_over": "plain"}}}
ONE = {"title": "t", "source": "Figure 1"}
BAR = {"label": "sam", "model": "sam", "protocol": "knn"}


def card(table: str = "", **changes: Any) -> PaperCard:
    """Return the card with fields of one of its tables, or its figures, changed."""
    content = copy.deepcopy(CARD)
    if table:
        content["tables"][table] |= changes
    else:
        content["figures"] = changes
    return PaperCard.model_validate(content)


def test_gains_are_over_the_row_of_the_same_model_and_protocol() -> None:
    found = card("other", rows=[{**ROWS[1], "labels": ["k", "other words"]}])
    reference = found.reference("other", found.tables["other"].rows[0])
    assert reference is found.tables["plain"].rows[1]
    assert found.reference("plain", found.tables["plain"].rows[0]) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gain_over": "none"}, "'none' is no table of this paper"),
        ({"rows": [{**ROWS[0], "model": "dino"}]}, "plain has no row of dino with linear-frozen"),
        ({"rows": [{**ROWS[0], "labels": ["linear"]}]}, "has 1 labels for 2 heads"),
        ({"rows": [{**ROWS[0], "published": {"ddsm": [0.5]}}]}, "publishes ddsm, which no column shows"),
        ({"rows": [{**ROWS[0], "average": 0.5}]}, "the table has no such column"),
        ({"gain_over": None, "rows": [{**ROWS[0], "gains": {"aptos": 1.0}}]}, "gain_over names no table"),
        ({"rows": []}, "at least 1 item"),
    ],
)
def test_tables_that_do_not_fit_are_refused(changes: dict[str, Any], words: str) -> None:
    card("other")
    with pytest.raises(ValidationError, match=words):
        card("other", **changes)


@pytest.mark.parametrize("model", ["sam", "resnet152@dino-pretrain"])
def test_a_row_names_a_model_or_what_a_protocol_made_of_it(model: str) -> None:
    assert card("plain", rows=[*ROWS, {**ROWS[0], "model": model}]).tables["plain"].rows[2].model == model
    for bad in (f"{model}@x@y", f"@{model}", f"{model}@"):
        with pytest.raises(ValidationError, match="pattern"):
            card("plain", rows=[*ROWS, {**ROWS[0], "model": bad}])


def test_figures_refer_to_rows_that_are_there() -> None:
    gains = {**ONE, "kind": "gains", "table": "plain", "reference": ["knn", "sam"], "images": {}}
    panel = {"name": "p", "title": "t", "quantity": "step", "datasets": ["aptos"]}
    ratios = {**ONE, "kind": "ratios", "panels": [{**panel, "table": "plain"}], "reference": ["knn", "sam"]}
    bars = {**ONE, "kind": "bars", "panels": [{"dataset": "aptos", "title": "A"}], "rows": [BAR]}
    assert card(a=gains, b=ratios, c=bars).figures["b"].kind == "ratios"
    for figure, words in (
        ({**gains, "table": "none"}, "'none' is no table of this paper"),
        ({**gains, "reference": ["knn", "dino"]}, r"plain has no row \['knn', 'dino'\]"),
        ({**ratios, "reference": ["svm", "sam"]}, r"plain has no row \['svm', 'sam'\]"),
        ({**ratios, "panels": [panel]}, "panel p needs either table or rows"),
        ({**ratios, "panels": [{**panel, "table": "plain", "rows": [BAR]}]}, "panel p needs either table or rows"),
        ({**bars, "relative_to": "dino"}, "no row is called 'dino'"),
        ({**bars, "kind": "pie"}, "kind"),
    ):
        with pytest.raises(ValidationError, match=words):
            card(figure=figure)
