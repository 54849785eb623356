"""The file: what it holds, that it is safe, and that it is the same each time."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from medbench.errors import MedbenchError
from medbench.records import store
from medbench.report import dataset_table
from medbench.report.html import write_report

from .conftest import EVIL


def test_every_part_is_there(report, groups):
    text = report.read_text(encoding="ascii")
    assert report.name == "report.html"
    for part in ("tables", "papers", "runs", "missing", "provenance"):
        assert f'<section id="{part}">' in text
    for group in groups.values():
        assert f'id="run-{group.first.group[:12]}"' in text
    assert "medbench table wacv2024/table1 --fill" in text


def test_numbers_of_a_table_are_the_tables(report, runs):
    table = dataset_table("ddsm", store.read_all(runs), include_random=True)
    cut = report.read_text().split("dataset/ddsm</h3>")[1].split("</table>")[0]
    values = [float(v) for v in re.findall(r'data-value="([^"]+)"', cut)]
    assert values == [cell.value for _, rows in table.sections() for row in rows for cell in row.cells]


def test_names_and_errors_are_escaped(report):
    text = report.read_text()
    assert EVIL not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3  # a warning, an option, an error
    assert "<b>ill</b>" not in text


def test_nothing_is_loaded_from_anywhere(report):
    text = report.read_text()
    addresses = re.findall(r'(?:src|href)="([^"]{1,40})', text)
    assert addresses
    assert all(address.startswith(("#", "data:image/")) for address in addresses)
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_names_the_script(report):
    text = report.read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text).group(1)
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy


def test_links_lead_somewhere(report):
    text = report.read_text()
    ids = set(re.findall(r' id="([^"]+)"', text))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= ids


def test_the_same_records_give_the_same_bytes(report, runs, tmp_path):
    assert write_report(runs, tmp_path / "again.html").read_bytes() == report.read_bytes()


def test_only_some_data_sets(runs, tmp_path):
    text = write_report(runs, tmp_path / "r.html", dataset="che*").read_text()
    assert "dataset/chexpert" in text
    assert "dataset/ddsm" not in text
    assert "out of memory" not in text, "a failure on another data set"


def test_thumbnails_come_with_a_word_on_licences(runs, tmp_path):
    text = write_report(runs, tmp_path / "r.html", "ddsm", False, lambda _, ids: {ids[0]: b"\xff"}, 2).read_text()
    assert "This file holds small copies of test images" in text
    assert "data:image/jpeg;base64,/w==" in text
    assert "no picture at hand" in text


def test_an_empty_store_is_told(tmp_path):
    with pytest.raises(MedbenchError, match="nothing has been run in"):
        write_report(tmp_path, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_a_filter_that_leaves_nothing_is_told(runs, tmp_path):
    with pytest.raises(MedbenchError, match="on data sets called 'nosuch'"):
        write_report(runs, tmp_path / "r.html", dataset="nosuch")
