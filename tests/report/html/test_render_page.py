"""The page from its content: escaped, in ASCII, with links to the runs' pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from medbench.records.groups import Group
from medbench.report.html.content import Content, Failure
from medbench.report.html.render_page import rendered
from medbench.report.html.run_page import anchor, page_of
from medbench.report.tables.table import Cell, Column, Row, Table

from .conftest import EVIL


def content_of(table: Table, groups: Iterable[Group] = (), runs: Path = Path(), failure: str = "failed") -> Content:
    return Content(
        records=1,
        answers=(),
        tables=((table, None),),
        papers=(),
        figures=(),
        pages=tuple(page_of(group, runs, (None, None), None, 0) for group in groups),
        failures=(Failure("aptos/sam/knn/0", failure),),
        unrun=(),
        software=(),
        weights=(),
        data=(),
        licences=(),
    )


def table_of(*rows: Row, dataset: str = "aptos") -> Table:
    return Table("dataset/aptos", "A title — é", ("Model",), (Column("c", "kappa", "kappa", dataset),), rows)


def test_names_and_errors_are_escaped_and_the_page_is_ascii() -> None:
    text = rendered(content_of(table_of(Row((EVIL,), (Cell(0.5, 0.125, 3),), {})), failure=f"odd {EVIL}"))
    assert text.isascii()
    assert EVIL not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2
    assert "A title &#8212; &#233;" in text
    assert text.startswith("<!DOCTYPE html>")


def test_a_row_leads_to_the_page_of_its_run(groups: dict[str, Group], runs: Path) -> None:
    group = groups["toy-vit"]
    known, unknown = (
        Row((name,), (Cell(0.5),), {"model": name, "protocol": "linear-frozen", "group": digest})
        for name, digest in (("toy-vit", group.first.group[:12]), ("elsewhere", "0" * 12))
    )
    text = rendered(content_of(table_of(known, unknown, dataset="ddsm"), [group], runs))
    address = anchor(group)
    cut = text.split("dataset/aptos</h3>")[1].split("</table>")[0]
    assert re.findall(r'href="#([^"]+)"', cut) == [address]
    assert f'id="{address}"' in text
