"""The records behind all figures of a paper, and how tests read a figure's data and picture."""

from __future__ import annotations

import csv
import io
import json

import pytest

from medbench import cards
from medbench.report.figures.canvas import Page
from medbench.report.figures.draw import KINDS

from ..made import MODELS, make_paper_records

LABELS = dict(
    zip(MODELS, ["Dinov1", "ImNet-1k-Sup", "ResNet152", "Sam", "Seem", "OpenCLIP", "Dinov2", "BLIP"], strict=True)
)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A run store of all that the paper shows, and the numbers in it."""
    runs = tmp_path_factory.mktemp("made") / "runs"
    return runs, make_paper_records(runs)


@pytest.fixture(autouse=True)
def _shipped(shipped):
    """Only the cards of the checkout."""


def rows_of(data):
    """The CSV's rows, numbers read back."""
    rows = list(csv.DictReader(io.StringIO(data.csv())))
    for row in rows:
        for name in ("mean", "std", "published"):
            row[name] = float(row[name]) if row[name] else None
        row["n"] = int(row["n"])
    return rows


def by_place(data, *names):
    """(values of the named columns) -> row; they must tell rows apart."""
    rows = rows_of(data)
    found = {tuple(row[name] for name in names): row for row in rows}
    assert len(found) == len(rows)
    return found


def drawn(data):
    """The page after drawing, inside the style."""
    page = Page(data)
    KINDS[data.kind].draw(page, data)
    return page


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def card_with(figure):
    """The paper's card with one figure changed, as a file would be read."""
    content = json.loads(cards.find_paper("wacv2024").model_dump_json())
    content["figures"] = {"figure": figure}
    return type(cards.find_paper("wacv2024")).model_validate(content)
