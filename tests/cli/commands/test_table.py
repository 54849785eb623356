"""`medbench table` as a shell sees it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from medbench.report.tables.render import FORMATS

TABLES = ["wacv2024/table1", "wacv2024/table2", "wacv2024/table3", "wacv2024/tableB1", "wacv2024/tableB2"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", [*TABLES, "flair/transfer"])
def test_every_table_of_a_paper_in_every_format_with_nothing_run(medbench, name, form):
    done = medbench("table", name, "--published", "--format", form)
    assert (done.status, done.err) == (0, "")
    assert done.out == medbench("table", name, "--published", "--format", form).out
    if name == "wacv2024/table3":
        assert "0.984" in done.out
        assert "3.4" in done.out, "the printed gain"


def test_tables_are_listed_with_their_titles(medbench):
    rows = json.loads(medbench("table", "--format", "json").out)
    assert {*TABLES, "flair/transfer"} <= {row["name"] for row in rows}
    assert all(row["title"] for row in rows)


def test_csv_carries_intervals_and_gains_by_name(medbench):
    rows = list(csv.DictReader(io.StringIO(medbench("table", "wacv2024/table3", "--published", "--format", "csv").out)))
    for part in ("mean", "std", "n", "low", "high", "gain", "published", "published_gain", "difference"):
        assert f"ddsm_auroc_{part}" in rows[0]
    assert rows[0]["ddsm_auroc_published_gain"] == "3.4"


def test_another_preset_says_so(medbench):
    done = medbench("table", "wacv2024/table1", "--preset", "fixed")
    assert "preset fixed (the paper's table is preset paper)" in done.out


def test_a_papers_table_imports_nothing_heavy(isolated):
    code = (
        "import sys, medbench.cli\n"
        "status = medbench.cli.main(['table', 'wacv2024/table1', '--published'])\n"
        "heavy = [n for n in ('torch', 'pandas', 'scipy', 'sklearn', 'matplotlib') if n in sys.modules]\n"
        "sys.exit(str(heavy) if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
