"""A small data set of one's own, and the check that a command refused its input properly."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from PIL import Image

CARD = """task: multiclass
classes: [red, green, blue]
metric: recall_macro
layout: {kind: csv, tables: [{file: labels.csv}], image: "{image}", label: label}
splits: {default: s, rules: {s: {method: stratified, seed: 0}}}
"""
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Done(Protocol):
    status: int
    out: str
    err: str


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: 30 pictures of three colours, `labels.csv` and the card `own.yaml`."""
    (tmp_path / "images").mkdir()
    rows = ["image,label"]
    for at in range(30):
        name = ("red", "green", "blue")[at % 3]
        Image.new("RGB", (16, 16), tuple(8 * at if c == at % 3 else at for c in range(3))).save(
            tmp_path / f"images/{at}.png"
        )
        rows.append(f"images/{at}.png,{name}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "own.yaml").write_text(CARD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(medbench: Callable[..., Done], isolated: Path) -> Callable[..., str]:
    """Run a command that must refuse what it is given, and return its error line."""

    def run(*words: str | Path) -> str:
        done = medbench(*words)
        lines = done.err.splitlines()
        at = next(number for number, line in enumerate(lines) if line.startswith("error: "))
        assert done.status == 2, done.err
        assert lines[at + 1 :], "a hint says what to do"
        assert not STEERING.search(done.err.replace("\n", "") + done.out.replace("\n", ""))
        assert not list((isolated / "runs").rglob("record.json"))
        return "\n".join(lines[at:])

    return run


def knn(dataset: str | Path) -> tuple[str, ...]:
    """The words of a run on toy weights."""
    return ("run", "--model", "toy-cnn", "--protocol", "knn", "--dataset", str(dataset), "--set", "k=3", "--quiet")
