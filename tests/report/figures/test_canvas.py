"""The page that figures are drawn on: nothing is cut off, and the small print fits."""

from __future__ import annotations

import shutil

import pytest

from medbench.report.figures.canvas import LINES
from medbench.report.figures.draw import figure_data
from medbench.report.figures.style import context

from .conftest import drawn


@pytest.fixture(scope="module")
def stores(made, tmp_path_factory):
    """How much of the paper was run -> a run store."""
    place = tmp_path_factory.mktemp("stores")
    for dataset in ("aptos", "isic2019"):
        for model in ("dino", "imagenet", "sam", "dinov2"):
            shutil.copytree(made[0] / dataset / model, place / "part" / dataset / model)
    return {"all": made[0], "part": place / "part", "none": place / "none"}


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("figure1", "all none"),
        ("figure2", "part"),
        ("figure3", "part"),
        ("figure4", "part"),
        ("figure5", "all"),
        ("figure6", "all"),
        ("figure8", "part"),
        ("figureA1", "all"),
    ],
)
def test_nothing_of_a_picture_is_cut_off(stores, name, states):
    for state in states.split():
        data = figure_data(f"wacv2024/{name}", stores[state], published=True)
        with context():
            page = drawn(data)
            assert page.save("png", page.figure.dpi).startswith(b"\x89PNG")
            box = page.figure.get_tightbbox()  # inches, of all that is drawn
        width, height = page.figure.get_size_inches()
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -0.01, f"{state}: {box} in {width} x {height}"


def test_much_small_print_is_cut_and_said_to_be(made):
    import dataclasses

    data = figure_data("wacv2024/figure6", made[0])
    long = dataclasses.replace(data, notes=tuple(f"note {i} " + "$x_1$ word " * 30 for i in range(20)))
    with context():
        page = drawn(long)
        page.save("png", 40)
        texts = [t.get_text() for t in page.figure.texts]
    assert len(texts) == LINES + 1
    assert texts[-1] == "… more: medbench figure wacv2024/figure6"
