"""A metric against depth and against the share of the training images, from SYNTHETIC records."""

from __future__ import annotations

import pytest

from medbench.errors import MedbenchError
from medbench.records import SplitCount
from medbench.report.figures.draw import draw
from medbench.report.figures.predictions.runs import Selection
from medbench.report.figures.predictions.sweeps import DEPTHS, EFFICIENCY, depths, efficiency

EVERY = Selection()


def made(synthetic, protocol, value, model="dinov2", **options):
    return synthetic(model, protocol, values={"kappa_quadratic": [value, value + 0.02]}, seeds=(0, 1), options=options)


def test_depths_with_the_ends_of_other_protocols(synthetic):
    records = [
        *made(synthetic, "freeze", 0.5, frozen=6),
        *made(synthetic, "freeze", 0.6, frozen=2),
        *made(synthetic, "linear-unfrozen", 0.7),
        *made(synthetic, "linear-frozen", 0.4),
        *made(synthetic, "linear-frozen", 0.1, epochs=3),
        *made(synthetic, "knn", 0.2),
        *made(synthetic, "decapitate-frozen", 0.3, kept=4),
    ]
    data = depths("aptos", records, False, EVERY)
    line = [(point.x, point.mean) for point in data.of("freeze")]
    assert line == [
        (0, pytest.approx(0.71)),
        (2, pytest.approx(0.61)),
        (6, pytest.approx(0.51)),
        (12, pytest.approx(0.41)),
    ]
    assert [(point.x, point.mean) for point in data.of("decapitate-frozen")] == [(4, pytest.approx(0.31))]
    assert {panel.name: panel.x_title for panel in data.panels} == {
        "freeze": "frozen units",
        "decapitate-frozen": "kept units",
    }
    assert data.kind == DEPTHS
    assert any(note.startswith("ends of lines: linear-unfrozen, linear-frozen,") for note in data.notes)
    assert "one sample standard deviation" in data.notes[0]
    assert draw(data, dpi=40).startswith(b"\x89PNG")


def test_a_model_without_a_card_has_no_last_depth(synthetic):
    records = [*made(synthetic, "freeze", 0.5, "mine", frozen=1), *made(synthetic, "linear-frozen", 0.4, "mine")]
    assert [point.x for point in depths("aptos", records, False, EVERY).points] == [1]


def test_shares_of_the_training_part_and_all_of_it(synthetic):
    n = {"train": SplitCount(images=400, classes={}), "test": SplitCount(images=99, classes={})}
    records = [
        *made(synthetic, "knn", 0.4, split="fraction-0.1@{seed}"),
        *made(synthetic, "knn", 0.5, split="fraction-0.5@{seed}"),
        *synthetic("dinov2", "knn", values={"kappa_quadratic": [0.6]}, seeds=(0,), n=n),
        *made(synthetic, "knn", 0.3, split="other"),
        *made(synthetic, "knn", 0.2, split="other+fraction-0.25@3"),
        *made(synthetic, "linear-frozen", 0.9),
    ]
    data = efficiency("aptos", records, False, EVERY)
    lines = {name: [(p.x, round(p.mean, 3)) for p in data.of("", name)] for name in data.series}
    assert lines == {
        "dinov2 · paper": [(0.1, 0.41), (0.5, 0.51), (1, 0.6)],
        "dinov2 · paper; split=other": [(0.25, 0.21), (1, 0.31)],
    }
    assert data.panels[0].x_title == "share of the training images (all: 400 images)"
    assert data.kind == EFFICIENCY
    assert draw(data, dpi=40).startswith(b"\x89PNG")


def test_runs_are_selected(synthetic):
    records = [r for m in ("a", "b") for r in made(synthetic, "knn", 0.4, m, split="fraction-0.1")]
    assert list(efficiency("aptos", records, False, Selection(models="b")).series) == ["b"]


@pytest.mark.parametrize(("figure", "option"), [(depths, "frozen"), (efficiency, "split=fraction-0.1@{seed}")])
def test_without_such_runs_it_says_what_to_run(synthetic, figure, option):
    with pytest.raises(MedbenchError, match="nothing has been run on 'aptos' with") as error:
        figure("aptos", synthetic(), False, EVERY)
    assert option in error.value.hint
