"""The figure over shots from SYNTHETIC records: its points, names, looks and places."""

from __future__ import annotations

import math

import pytest

from medbench.errors import MedbenchError
from medbench.report.figures.canvas import Page
from medbench.report.figures.shots import of_records, places
from medbench.report.figures.style import LOOKS, context

from .conftest import by_place, drawn


def few(synthetic, model="a", shots=(1, 2, "all"), protocol="few-shot", seeds=(0, 1), **more):
    options = more.pop("options", {})
    return [
        record
        for k in shots
        for record in synthetic(
            model,
            protocol,
            seeds=seeds,
            values={"kappa_quadratic": [0.1 * (len(str(model)) + place(k)) + 0.02 * s for s in seeds]},
            options={"shots": k, **options},
            **more,
        )
    ]


def place(k):
    return 3 if k == "all" else math.log2(k)


def figure(records, **how):
    return of_records("aptos", records, **how)


def test_points_are_the_tables_rows(synthetic):
    zero = synthetic("a", "zero-shot", values={"kappa_quadratic": [0.05]}, seeds=(0,))
    other = synthetic("c", "zero-shot", values={"kappa_quadratic": [0.07]}, seeds=(0,))
    probe = synthetic("a", "linear-probe", values={"kappa_quadratic": [0.9]}, seeds=(0,))
    data = figure(few(synthetic) + few(synthetic, "bb") + zero + other + probe)
    rows = by_place(data, "series", "x")
    line = {x: rows["a · few-shot", x] for x in ("1", "2", "all")}
    assert [row["mean"] for row in line.values()] == pytest.approx([0.11, 0.21, 0.41])
    assert [row["std"] for row in line.values()] == pytest.approx([0.02 / 2**0.5] * 3)
    assert rows["a · zero-shot", "0"]["mean"] == 0.05
    assert len(rows) == 7, "no point for a model without shots, nor for a protocol without"
    assert data.name == "dataset/aptos/few-shot"
    assert data.panels[0].y_title == "kappa_quadratic"
    assert "one sample standard deviation" in data.notes[0]
    assert "settings: few-shot (paper), zero-shot (paper)" in data.notes


def test_names_say_what_tells_lines_apart(synthetic):
    assert set(figure(few(synthetic) + few(synthetic, "bb")).series) == {"a", "bb"}
    both = few(synthetic) + few(synthetic, options={"val": "none"})
    assert set(figure(both).series) == {"a · paper", "a · paper; val=none"}
    both = few(synthetic) + few(synthetic, weights="random")
    assert set(figure(both).series) == {"a"}
    shown = figure(both, include_random=True)
    assert set(shown.series) == {"a · official weights", "a · random weights†"}
    assert any(note.startswith("† random weights") for note in shown.notes)


def test_models_have_a_colour_and_protocols_a_marker(synthetic):
    two = (
        few(synthetic) + few(synthetic, protocol="clap") + few(synthetic, "bb") + few(synthetic, "bb", protocol="clap")
    )
    looks = {name: Page.look(style) for name, style in figure(two).series.items()}
    assert len({(look.colour, look.marker, look.dash) for look in looks.values()}) == 4
    assert looks["a · clap"].colour == looks["a · few-shot"].colour != looks["bb · clap"].colour
    one = figure(few(synthetic) + few(synthetic, protocol="clap"))
    assert len({Page.look(style).colour for style in one.series.values()}) == 2
    assert [Page.look(i) for i in range(8)] == list(LOOKS), "papers' figures look as they did"


def test_places_grow_by_doublings():
    at = places([1, 0, "all", 4, 16])
    assert [at[x] for x in (1, 4, 16)] == [0, 2, 4]
    assert at[0] < at[1]
    assert at["all"] > at[16]
    assert places(["all"])["all"] > 0


def test_lines_and_bands_are_where_the_data_say(synthetic):
    data = figure(few(synthetic, shots=(1, 4, "all")) + few(synthetic, "bb", shots=(4,)))
    with context():
        (axes,) = drawn(data)._axes
    line = next(line for line in axes.lines if len(line.get_xdata()) == 3)
    assert list(line.get_xdata()[:2]) == [0, 2]
    assert list(line.get_ydata()) == [p.mean for p in data.of("", "a")]
    (band,) = axes.collections
    ends = band.get_paths()[0].vertices[:, 1]
    assert {round(y, 9) for y in ends} >= {round(p.mean + p.std, 9) for p in data.of("", "a")}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "4", "all"]


@pytest.mark.parametrize("lines", [3, 9])
def test_a_legend_of_long_names_stays_on_the_page(synthetic, lines):
    models = [f"a-model-with-quite-a-long-name-{i}" for i in range(lines)]
    with context():
        page = drawn(figure([r for model in models for r in few(synthetic, model)]))
        page.save("png", page.figure.dpi)
        (legend,) = page.figure.legends
        box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= page.figure.bbox.x1
    assert {text.get_text() for text in legend.get_texts()} == set(models)


def test_marks_stand_once_at_the_end_of_a_line(synthetic):
    data = figure(few(synthetic, warnings=["contamination: seen"]))
    with context():
        (axes,) = drawn(data)._axes
    assert [text.get_text() for text in axes.texts] == ["‡"]


def test_patients_are_named(synthetic):
    data = figure(few(synthetic, options={"unit": "group"}))
    assert "patients" in data.panels[0].x_title
    assert "patients" not in figure(few(synthetic)).panels[0].x_title


def test_two_data_sets_of_one_name_have_a_panel_each(synthetic):
    data = figure([r for d in "ef" for r in few(synthetic, material={"data": d * 64})])
    assert [panel.title for panel in data.panels] == ["data eeeeeeee", "data ffffffff"]
    with context():
        assert len(drawn(data)._axes) == 2


def test_without_shots_it_says_what_to_run(synthetic):
    with pytest.raises(MedbenchError, match="yet") as error:
        figure(synthetic())
    assert error.value.hint == "medbench run --model MODEL --protocol few-shot --dataset aptos"
    with pytest.raises(MedbenchError, match="except with random weights") as error:
        figure(few(synthetic, weights="random"))
    assert error.value.hint == "to show them, marked: --random"
