"""The runs of a paper to compare; all SYNTHETIC."""

from __future__ import annotations

import json

import pytest

from medbench.report.tables.render import render

from ..made import make_paper_records

DRAWS = 200


@pytest.fixture(scope="session")
def paper(tmp_path_factory):
    runs = tmp_path_factory.mktemp("paper") / "runs"
    return runs, make_paper_records(runs, predictions=True, datasets=["aptos", "ddsm", "isic2019"])


def rows_of(made):
    """The rows of the rendered JSON: what each stands for, with its cells."""
    return [row["about"] | {"cells": row["cells"]} for row in json.loads(render(made, "json"))["rows"]]


def names(made):
    return [row["options_a"] + " | " + row["options_b"] for row in rows_of(made) if "options_a" in row]
