"""The notebook runs cell by cell, as a reader runs it, in a folder of its own."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorials" / "first-steps.ipynb"


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return found


def run(code: str, names: dict[str, Any]) -> object:
    """Run a cell and return what Jupyter would show: the value of its last line if that is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK.name, "exec"), names)
    return eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names) if last is not None else None


def test_every_cell_runs_and_shows_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDBENCH_RUNS", raising=False)
    monkeypatch.setattr(plt, "show", lambda: print("drawn" if plt.get_fignums() else ""))
    names: dict[str, Any] = {}
    for cell in cells():
        if cell["cell_type"] == "code":
            shown = run("".join(cell["source"]), names)
            printed = capsys.readouterr().out.strip()
            assert printed if shown is None else len(shown), cell["source"]  # type: ignore[arg-type]
    bars = [bar.get_width() for bar in names["axes"].patches]
    plt.close("all")
    table: pd.DataFrame = names["table"]
    # the cells agree with each other: bars with the table, the table with the records
    assert bars == list(table["recall_macro_mean"])
    assert sorted(bars) == pytest.approx(sorted(record.metrics["recall_macro"] for record in names["records"]))
    assert Path(names["best"].path).resolve().is_relative_to(tmp_path / "results" / "runs")


def test_the_notebook_is_stored_without_outputs() -> None:
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
