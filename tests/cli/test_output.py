"""Tables for terminals, pipes and scripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from medbench.cli import output

ROWS = [{"name": "a", "n": 12345, "share": 0.51234, "gated": True, "tags": ["x", "y"]}, {"name": "long[b]", "n": 7}]


def test_in_a_pipe_a_row_is_a_line_of_aligned_cells(capsys):
    output.write_rows(ROWS, ("name", "n", "share", "gated", "tags"), title="never shown")
    assert capsys.readouterr().out.splitlines() == [
        "name          n   share  gated  tags",
        "a        12,345  0.5123  yes    x, y",
        "long[b]       7",
    ]


def test_on_a_terminal_it_is_a_rich_table_and_brackets_stay(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.write_rows(ROWS, ("name", "n"), title="2 things")
    shown = capsys.readouterr().out
    assert "2 things" in shown
    assert "long[b]" in shown
    assert "────" in shown


def test_cells_with_line_breaks_stay_on_their_line(capsys):
    output.write_rows([{"title": "one\n two"}], ("title",))
    assert capsys.readouterr().out == "title\none two\n"


def test_no_rows_is_the_head_alone(capsys):
    output.write_rows([], ("a", "b"))
    assert capsys.readouterr().out == "a  b\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (False, ""),
        (True, "yes"),
        (0, "0"),
        (0.0, "0"),
        (1234567, "1,234,567"),
        (12345.6, "12,346"),
        (0.12345, "0.1235"),
    ],
)
def test_values_as_people_read_them(capsys, value, text):
    output.write_rows([{"v": value}], ("v",))
    assert capsys.readouterr().out.splitlines()[1].strip() == text


def test_json_holds_paths_and_signs(capsys):
    output.write_json({"path": Path("a/b"), "name": "κ"})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"path": "a/b", "name": "κ"}
    assert "κ" in shown
