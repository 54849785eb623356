"""The style of figures: series are told apart, and matplotlib's own settings are left alone."""

from __future__ import annotations

import matplotlib

from medbench.report.figures.draw import draw, figure_data
from medbench.report.figures.style import LOOKS


def test_matplotlibs_settings_stay_as_they_were(made):
    matplotlib.rcParams["font.size"] = 13
    before = dict(matplotlib.rcParams)
    data = figure_data("wacv2024/figure6", made[0])
    one = draw(data, "svg")
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        assert draw(data, "svg") == one


def test_looks_differ_in_grey_print_too():
    for feature in ("colour", "marker"):
        assert len({getattr(look, feature) for look in LOOKS}) == len(LOOKS)
    assert len({(look.marker, look.dash) for look in LOOKS}) == len(LOOKS)
