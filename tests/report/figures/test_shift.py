from __future__ import annotations

import pytest

from medbench.errors import MedbenchError
from medbench.report.figures.draw import draw
from medbench.report.figures.shift import of_shift
from medbench.report.tables.table import Cell, Column, Row, Table


def row(on: str, model: str, protocol: str, here: float, away: float) -> Row:
    about = {
        "test_on": on,
        "model": model,
        "protocol": protocol,
        "preset": "paper",
        "options": "",
        "weights": "official",
    }
    about |= {"metric": "auroc", "group": f"{on}{model}{protocol}"}
    cells = (Cell(here, n=1, low=here - 0.1, high=here + 0.05), Cell(away, n=1), Cell(here - away, form="difference"))
    return Row((on, model), cells, about)


def made(*rows: Row) -> Table:
    columns = tuple(Column(name, name, "auroc", "aptos") for name in ("in_domain", "shifted", "drop"))
    return Table("shift/aptos", "trained on aptos", ("tested on", "model"), columns, rows, ("a note",))


def test_each_row_is_a_pair_of_bars_in_the_panel_of_the_other_set() -> None:
    data = of_shift(
        made(row("b", "one", "knn", 0.9, 0.7), row("b", "two", "knn", 0.8, 0.75), row("c", "one", "knn", 0.9, 0.5))
    )
    assert [(p.panel, p.series, p.x, p.mean) for p in data.points] == [
        ("b", "in domain", "one", 0.9),
        ("b", "shifted", "one", 0.7),
        ("b", "in domain", "two", 0.8),
        ("b", "shifted", "two", 0.75),
        ("c", "in domain", "one", 0.9),
        ("c", "shifted", "one", 0.5),
    ]
    assert [(panel.name, panel.y_title) for panel in data.panels] == [("b", "auroc"), ("c", "auroc")]
    assert data.points[0].low == 0.9 - 0.1
    assert "a note" in data.notes
    assert draw(data, "svg").startswith(b"<?xml")


def test_labels_name_the_protocol_where_models_repeat() -> None:
    data = of_shift(made(row("b", "one", "knn", 0.9, 0.7), row("b", "one", "probe", 0.8, 0.75)))
    assert [p.x for p in data.points[::2]] == ["one · knn", "one · probe"]


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(MedbenchError, match=r"shift/aptos: there is nothing to draw \(a note\)"):
        of_shift(made())
