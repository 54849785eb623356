"""The tabs of subgroups and of corruptions, against the tables of the commands; all records SYNTHETIC."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.records import store
from medbench.records.groups import collect
from medbench.report.html.content import collected
from medbench.report.html.data_tabs import data_tabs
from medbench.report.html.run_page import page_of
from medbench.report.subgroups.by import By
from medbench.report.subgroups.subgroup_table import subgroup_table

from ...records.made import save, synthetic
from ..subgroups.conftest import people
from ..subgroups.conftest import put as put_people  # noqa: F401 - a fixture
from .conftest import put


def test_subgroups_are_those_of_the_command(put_people, tmp_path):  # noqa: F811
    (group,) = collect(put_people(stored=True))
    (tab,) = data_tabs(group)
    age = people()["subgroup_age"]
    cut = f"{np.median(age[age != ''].astype(float)):g}"
    table = subgroup_table("aptos", group.records, By(f"sex,age:{cut},view", lambda _: pytest.fail("labels")))
    assert tab.title == "Subgroups"
    assert [row[:2] for row in tab.rows] == [row.heads[:2] for row in table.rows]
    assert {row[0] for row in tab.rows} == {"sex", "age", "view"}
    place = tab.heads.index("auroc")
    cells = [(row.cells[0].number + row.cells[0].rest(intervals=True)).strip() for row in table.rows]
    assert [row[place] for row in tab.rows] == [text or "–" for text in cells]
    assert tab.notes[0].startswith(f"as in medbench table dataset/aptos --by sex,age:{cut},view")
    assert any(note.startswith("site is left out: all test images have 'A'") for note in tab.notes)
    page = page_of(group, tmp_path / "runs", (None, None), None, 0)
    assert page.tabs[-1] == tab


def test_without_such_data_there_is_no_tab(put_people):  # noqa: F811
    (group,) = collect(put_people(stored=False))
    assert data_tabs(group) == ()


def test_corruptions_are_those_of_the_command(tmp_path):
    put(tmp_path, "dino", 1.5)
    put(tmp_path, "sam", 1.0)
    (base,) = [one for one in collect(store.read_all(tmp_path)) if one.first.unit.model == "dino"]
    for name, value in {"jpeg:1": 0.8, "jpeg:3": 0.7, "noise:1": 0.6}.items():
        about = {"in_domain": base.first.group}
        more = {"options": {"test_on": "ddsm", "corrupt": name}, "provenance": {"test_on": about}}
        values = {"auroc": [value, value]}
        save(tmp_path, synthetic("dino", dataset="ddsm", seeds=(0, 1), values=values, material={"on": name}, **more))
    content = collected(tmp_path, "*", False, None, 0)
    tabs = {page.unit.model: {tab.title: tab for tab in page.tabs} for page in content.pages}
    tab = tabs["dino"]["Corruptions"]
    assert [row[0] for row in tab.rows] == ["all", "jpeg", "noise"]
    clean = base.summary("auroc")[0]
    assert tab.rows[0][tab.heads.index("loss")] == f"{clean - 0.7:+.3f}"
    assert len(tab.pictures) == 1
    assert "loss over the least" not in tab.heads
    assert not any(note.startswith("loss over the least") for note in tab.notes)
    assert "Corruptions" not in tabs["sam"]


def test_records_without_those_on_the_clean_images_do_not_stop_a_report(tmp_path):
    put(tmp_path, "dino", 1.5)
    more = {"options": {"test_on": "aptos", "corrupt": "jpeg:1"}, "provenance": {"test_on": {"in_domain": "gone"}}}
    save(tmp_path, synthetic("dino", dataset="aptos", seeds=(0,), values={"auroc": [0.7]}, **more))
    content = collected(tmp_path, "*", False, None, 0)
    assert [table.name for table, _ in content.tables] == ["dataset/ddsm", "corruption/aptos"]
