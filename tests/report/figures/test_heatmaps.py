"""Heat maps of layers' similarity, from SYNTHETIC records."""

from __future__ import annotations

import shutil

from medbench.report.figures.draw import figure_data

from ..made import DATASETS, FOUNDATIONS
from .conftest import LABELS, by_place


def test_layers(made):
    runs, known = made
    for name, places in (
        ("figure7", [(m, d, "linear-unfrozen", d) for m in ("imagenet", *FOUNDATIONS) for d in DATASETS]),
        ("figureA1", [(m, "aptos", t, f"aptos {t}") for m in FOUNDATIONS for t in ("deit-frozen", "deit-unfrozen")]),
    ):
        rows = by_place(figure_data(f"wacv2024/{name}", runs), "panel", "series", "x", "y")
        assert len(rows) == 144 * len(places)
        for model, dataset, tuned, panel in places:
            values = known["cka"][model, dataset, tuned]  # (after, before)
            for before, after in ((0, 0), (2, 9), (9, 2), (11, 11)):
                assert rows[panel, LABELS[model], str(before), str(after)]["mean"] == values[after, before]


def test_missing_files_are_said_and_not_invented(made, tmp_path):
    folder = tmp_path / "aptos/sam/cka"
    shutil.copytree(made[0] / "aptos/sam/cka", folder)
    for file in folder.rglob("cka.csv"):
        file.unlink()
    data = figure_data("wacv2024/figure7", tmp_path)
    assert all(point.mean is None for point in data.points)
    assert any("Sam on aptos: no cka.csv" in note for note in data.notes)
