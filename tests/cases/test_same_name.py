"""Data sets of one name and another content are never compared, and end no command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import medbench
from medbench.cli import main
from medbench.records import store
from medbench.storage import paths

pytestmark = pytest.mark.usefixtures("one_thread")


def run(model: str, labels: Path) -> None:
    medbench.run(model, "knn", str(labels), seeds=1, set={"k": 3}, device="cpu", weights="random")


def tables(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    """All tables of what was run, with intervals, as JSON."""
    found = []
    for name in sorted({record.unit.dataset for record in store.read_all(paths.runs_dir(None))}):
        capsys.readouterr()
        assert main(["table", f"dataset/{name}", "--intervals", "--random", "--format", "json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    return found


def test_other_images_under_the_same_file_names(shared, capsys) -> None:
    case = shared / "cases" / "other-data-compared"
    run("toy-cnn", case / "siteA" / "labels.csv")
    run("toy-vit", case / "siteB" / "labels.csv")
    sections = [(table["name"], row["section"]) for table in tables(capsys) for row in table["rows"]]
    assert len(set(sections)) == 2, "each stands in a part of its own"
    assert main(["compare", "toy-cnn", "toy-vit", "--random"]) != 0
    assert "nothing to compare" in capsys.readouterr().err


def test_images_written_anew_between_two_runs(shared, tmp_path, capsys) -> None:
    """One labels.csv, the same ids and targets, other pixels: the second run does not compare with the first."""
    case = shared / "cases" / "other-data-compared"
    place = tmp_path / "mine"
    shutil.copytree(case / "siteA", place)
    run("toy-cnn", place / "labels.csv")
    shutil.copytree(case / "siteB", place, dirs_exist_ok=True)
    run("toy-vit", place / "labels.csv")
    (table,) = tables(capsys)
    assert len({row["section"] for row in table["rows"]}) == 2
    assert "used 2 different data sets" in " ".join(table["notes"])
    assert main(["compare", "toy-cnn", "toy-vit", "--random"]) == 2
    assert "different data with the same name" in capsys.readouterr().err


def test_two_and_three_classes_under_one_name(shared, tmp_path, capsys) -> None:
    case = shared / "cases" / "two-tasks-one-name"
    place = tmp_path / "mine"
    for site in ("eye", "skin"):
        shutil.copytree(case / site, place)
        run("toy-cnn", place / "labels.csv")
        run("toy-vit", place / "labels.csv")
        shutil.rmtree(place)
    rows = [row for table in tables(capsys) for row in table["rows"]]
    known = [[name for name, cell in row["cells"].items() if cell["low"] is not None] for row in rows]
    assert len({row["section"] for row in rows}) == 2
    assert sorted(known) == [["auroc"], ["auroc"], ["recall_macro"], ["recall_macro"]]
    assert main(["report", "--to", str(tmp_path / "report.html")]) == 0
    assert main(["status"]) == 0
