"""The file: what it holds, that it is safe, and that it is the same each time."""

from __future__ import annotations

import base64
import hashlib
import re

import numpy as np
import pandas as pd
import pytest

from medbench.errors import MedbenchError
from medbench.records import store
from medbench.report.html.report import write_report
from medbench.report.html.run_page import anchor
from medbench.report.tables.dataset_table import dataset_table

from ..conftest import synthetic
from .conftest import EVIL, put


def test_every_part_is_there(report, groups):
    text = report.read_text(encoding="ascii")
    assert report.name == "report.html"
    for part in ("tables", "papers", "runs", "missing", "provenance"):
        assert f'<section id="{part}">' in text
    for group in groups.values():
        assert f'id="{anchor(group)}"' in text
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


def test_only_some_data_sets_and_a_folder_is_a_place_for_the_file(runs, tmp_path):
    file = write_report(runs, tmp_path, dataset="che*")
    assert file == tmp_path / "report.html"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    text = file.read_text()
    assert "dataset/chexpert" in text
    assert "dataset/ddsm" not in text
    assert "out of memory" not in text, "a failure on another data set"


def test_thumbnails_come_with_a_word_on_licences(runs, tmp_path):
    text = write_report(
        runs, tmp_path / "r.html", "ddsm", pictures=lambda _, truth: {next(iter(truth)): b"\xff"}, thumbnails=2
    ).read_text()
    assert "This file contains small copies of test images" in text
    assert "data:image/jpeg;base64,/w==" in text
    assert "image not available" in text


def test_signs_that_turn_or_end_a_text_are_replaced(tmp_path):
    signs = {"first": "\x00", "second": "\u202e", "third": "\x85"}
    options = {name: f"{name} a{sign}b" for name, sign in signs.items()}
    put(tmp_path, "dino", 1.0, seeds=(0,), options=options, warnings=[f"c{sign}d" for sign in signs.values()])
    text = write_report(tmp_path, tmp_path / "r.html").read_text(encoding="ascii")
    for name, sign in signs.items():
        assert sign not in text
        assert f"&#{ord(sign)};" not in text
        assert f"{name} a&#65533;b" in text


def test_what_is_damaged_takes_nothing_else_with_it(tmp_path, caplog):
    """Broken notes, histories and predictions leave a page with what there is, and a word in the log."""
    put(tmp_path, "dino", 1.0, seeds=(0, 1))
    put(tmp_path, "sam", 1.0, seeds=(0,))
    one, two = (record.path for record in store.read_all(tmp_path) if record.unit.model == "dino")
    (one / store.HISTORY).write_text("candidate,epoch,val\n0.1,zero,oops\n0.1,1,0.5\n0.1,2,0.6\n")
    (two / store.HISTORY).write_text("")
    frame = pd.read_parquet(two / store.PREDICTIONS)
    frame.assign(score_healthy=np.nan).to_parquet(two / store.PREDICTIONS)
    broken = store.folder_of(tmp_path, synthetic(model="blip")[0].unit, "f" * 64)
    broken.mkdir(parents=True)
    (broken / store.FAILURE).write_text("[]")
    text = write_report(tmp_path, tmp_path / "r.html").read_text()
    assert text.count('class="page"') == 2
    assert "failure.json is damaged" in caplog.text
    assert f"{two / store.PREDICTIONS} is damaged" in caplog.text
    assert text.count("ROC curves: each class") == 2, "alt text and caption, of the undamaged one alone"


def test_a_metric_that_this_version_does_not_know_has_no_interval(tmp_path):
    put(tmp_path, "dino", 1.0, seeds=(0,))
    file = next(tmp_path.rglob("record.json"))
    file.write_text(file.read_text().replace('"auroc"', '"of_tomorrow"'))
    text = write_report(tmp_path, tmp_path / "r.html").read_text()
    assert "of_tomorrow" in text


def test_an_empty_store_is_told(tmp_path):
    with pytest.raises(MedbenchError, match="nothing has been run in"):
        write_report(tmp_path, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_a_filter_that_leaves_nothing_is_told(runs, tmp_path):
    with pytest.raises(MedbenchError, match="on data sets called 'nosuch'"):
        write_report(runs, tmp_path / "r.html", dataset="nosuch")
