"""Paper cards: what their tables and figures refer to must be there."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from medbench import cards
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


def test_published_numbers_may_be_listed_in_the_order_of_the_columns() -> None:
    columns = [*TABLE["columns"], {"dataset": "ddsm", "metric": "auroc", "title": "D"}]
    row = {**ROWS[0], "published": [[0.8, 0.1], [0.9]], "suffix": "_64"}
    found = card("plain", columns=columns, rows=[row, ROWS[1]], read_off=0.001).tables["plain"]
    assert found.rows[0].published == {"aptos": [0.8, 0.1], "ddsm": [0.9]}
    assert found.rows[1].published == {}
    with pytest.raises(ValidationError, match=r"lists 1 numbers for 2 columns"):
        card("plain", columns=columns, rows=[{**row, "published": [[0.8]]}, ROWS[1]])
    with pytest.raises(ValidationError, match=r"lists 2 numbers for 2 columns"):
        card("plain", columns=[columns[0]] * 2, rows=[row, ROWS[1]])


SCHEMES = {"end-to-end": "endToEnd", "linear-probing": "linearProbing", "knn": "kNN"}


def test_medmnistplus_has_each_number_of_the_papers_tables(shared: Path) -> None:
    """3,120 printed cells in 13 tables, 520 of them dashes: k-NN has no area under the curve."""
    theirs = yaml.safe_load((shared / "published" / "medmnistplus2025.yaml").read_text())["tables"]
    paper, found, printed = cards.find_paper("medmnistplus2025"), {}, {}
    for name, table in paper.tables.items():
        scheme, metric = SCHEMES[name.removesuffix("-auc")], "auc" if name.endswith("-auc") else "acc"
        for row in table.rows:
            place = scheme, row.labels[0], f"{metric}_{row.suffix[1:] or 28}"
            assert row.section == f"{row.suffix[1:] or 28} pixels"
            for dataset, values in row.published.items():
                found[(dataset.removeprefix("medmnist--"), *place)] = values
            found[("average", *place)] = [value for value in (row.average, row.average_std) if value is not None]
    for dataset, schemes in theirs.items():
        for scheme, rows in schemes.items():
            for row in rows:
                for column, values in row.items():
                    if column != "model":
                        printed[dataset, scheme, row["model"], column] = [round(value / 100, 4) for value in values]
    assert found == printed
    assert len(printed) == 3120 - 520


def test_mansoori_has_the_numbers_that_were_read_off_the_figure(shared: Path) -> None:
    theirs = yaml.safe_load((shared / "published" / "mansoori2025.yaml").read_text())["figure_model_size"]
    rows = cards.find_paper("mansoori2025").tables["models"].rows
    names = {"APTOS2019": "aptos", "DDSM": "ddsm", "ISIC2019": "isic2019", "CheXpert": "chexpert"}
    assert [(*row.labels, row.published) for row in rows] == [
        (one["model"], str(one["parameters"]), {ours: [one[name]] for name, ours in names.items()}) for one in theirs
    ]
    figure = cards.find_paper("mansoori2025").figures["model-size"]
    assert [row.label for row in figure.rows] == [one["model"] for one in theirs]  # type: ignore[union-attr]
