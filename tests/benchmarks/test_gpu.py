"""The run of `make bench-gpu`, on the CPU: order, limits in time, and a table that a cut run leaves."""

from __future__ import annotations

import importlib
import time
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu import PARTS, Part, measure

MADE = """
import time
from benchmarks.row import Row

def quick(folder, device):
    return [Row(f"quick {k}", "1 s", device, 1.0, "-", True) for k in range(2)]

def slow(folder, device):
    yield Row("slow 0", "1 s", device, 1.0, "-", True)
    time.sleep(600)

def broken(folder, device):
    raise ValueError("no | such kernel")
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "made_parts.py").write_text(MADE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[1]}")
    monkeypatch.setattr(gpu, "LAST_SECONDS", 0.0)
    return tmp_path


def part(function: str, seconds: float = 60.0) -> Part:
    return Part(function, f"made_parts:{function}", seconds)


def test_a_slow_or_broken_part_costs_its_own_rows_alone(made: Path) -> None:
    began, table = time.monotonic(), made / "table.md"
    rows = measure([part("slow", 4.0), part("broken"), part("quick")], made, "cpu", 300.0, table)
    assert time.monotonic() - began < 60
    assert [(row.what, row.met) for row in rows] == [
        ("slow 0", True),
        ("slow", False),
        ("broken", False),
        ("quick 0", True),
        ("quick 1", True),
    ]
    assert rows[1].ours == "not finished in 4 s"
    assert rows[2].ours == "failed: ValueError: no / such kernel"
    lines = table.read_text().split("\n")
    assert [row.cells() for row in rows] == lines[lines.index("|---|---|---|---|---|---|") + 1 : -1]


def test_the_table_is_there_after_each_part(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = gpu.bounded

    def cut(one: Part, *args) -> list:
        if one.name == "broken":
            raise KeyboardInterrupt
        return plain(one, *args)

    monkeypatch.setattr(gpu, "bounded", cut)
    with pytest.raises(KeyboardInterrupt):
        measure([part("quick"), part("broken")], made, "cpu", 300.0, made / "table.md")
    assert "| quick 1 | 1 s |" in (made / "table.md").read_text()


def test_no_part_starts_when_the_time_is_used_up(made: Path) -> None:
    rows = measure([part("quick"), part("quick")], made, "cpu", 0.0, None)
    assert [row.ours for row in rows] == ["no time left"] * 2


def test_the_parts_exist_and_fit_into_eight_minutes() -> None:
    assert sum(one.seconds for one in PARTS) + gpu.LAST_SECONDS <= 8 * 60
    for one in PARTS:
        module, name = one.function.split(":")
        assert callable(getattr(importlib.import_module(module), name))
