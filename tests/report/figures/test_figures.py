"""Papers' figures from SYNTHETIC records with known values, and from the published tables alone."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import shutil

import matplotlib
import numpy as np
import pytest

from medbench import cards
from medbench.errors import CardError
from medbench.records import store
from medbench.records.groups import SEEN_MARK
from medbench.report.figures import draw as figures
from medbench.report.figures.canvas import LINES, Page
from medbench.report.figures.draw import KINDS, draw, figure_data, paper_figure, write_figure
from medbench.report.figures.style import LOOKS, context
from medbench.report.tables.marks import RANDOM_MARK, SPLIT_MARK

from ..made import CURVE_SEEDS, DATASETS, FOUNDATIONS, METRIC, MODELS, SEEDS, UNITS, key, make_paper_records

NAMES = [f"wacv2024/figure{i}" for i in (1, 2, 3, 4, 5, 6, 7, 8, "A1")]
LABELS = dict(
    zip(MODELS, ["Dinov1", "ImNet-1k-Sup", "ResNet152", "Sam", "Seem", "OpenCLIP", "Dinov2", "BLIP"], strict=True)
)
# Recomputed from the published Table 2; the source of the formula prints them to two decimals.
PUBLISHED = {
    ("Linear", "Dinov1"): -2.10, ("DeiT-B", "Sam"): -2.02, ("Linear", "Sam"): -1.17, ("Linear", "BLIP"): -1.09,
    ("DeiT-B", "BLIP"): -0.78, ("DeiT-B", "Seem"): -0.75, ("Linear", "OpenCLIP"): -0.29,
    ("DeiT-B", "OpenCLIP"): -0.22, ("Linear", "ResNet152"): -0.01, ("Linear", "ImNet-1k-Sup"): 0.0,
    ("DeiT-B", "Dinov2"): 0.60, ("Linear", "Seem"): 0.60, ("Linear", "Dinov2"): 1.86,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run store for the whole paper, and what it holds."""
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


def test_listed():
    assert [name for name in figures.list_figures() if name.startswith("wacv2024/")] == NAMES


def test_gains_of_the_published_table_alone(tmp_path):
    data = figure_data("wacv2024/figure1", tmp_path, published=True)
    rows = [row for row in rows_of(data) if row["panel"] == "gain"]
    assert {(row["series"], row["x"]): round(row["published"], 2) + 0.0 for row in rows} == PUBLISHED
    assert [row["published"] for row in rows] == sorted(row["published"] for row in rows)
    assert all(row["mean"] is None and row["n"] == 0 for row in rows)
    assert "not run: all" in data.notes
    assert all(point.published is None for point in figure_data("wacv2024/figure1", tmp_path).of("gain"))


def test_sizes_of_pre_training_stand_in_the_order_of_the_bars(tmp_path):
    data = figure_data("wacv2024/figure1", tmp_path, published=True)
    assert [(p.series, p.x) for p in data.of("images")] == [(p.series, p.x) for p in data.of("gain")]
    sizes = {point.x: point.published for point in data.of("images")}
    assert sizes == {
        "Dinov1": 1.3e6, "ImNet-1k-Sup": 1.3e6, "ResNet152": 1.3e6, "Sam": 1e9, "Seem": 2e5, "OpenCLIP": 2e9,
        "Dinov2": 1.4e8, "BLIP": 1.3e8,
    }  # fmt: skip


def test_gains(made):
    runs, known = made
    rows = {
        k[1:]: r
        for k, r in by_place(figure_data("wacv2024/figure1", runs), "panel", "series", "x").items()
        if k[0] == "gain"
    }
    base = [np.mean(known["scores"][key("imagenet", "linear-unfrozen", d)]) for d in DATASETS]
    for group, protocol, models in (("Linear", "linear-unfrozen", MODELS), ("DeiT-B", "deit-unfrozen", FOUNDATIONS)):
        for model in models:
            scores = np.array([known["scores"][key(model, protocol, d)] for d in DATASETS])  # (data sets, seeds)
            row = rows[group, LABELS[model]]
            gain = np.mean([100 * (m / b - 1) for m, b in zip(scores.mean(axis=1), base, strict=True)])
            assert row["mean"] == pytest.approx(gain, abs=1e-9)
            each = 100 * ((scores / np.array(base)[:, None]).mean(axis=0) - 1)
            assert row["std"] == pytest.approx(each.std(ddof=1), abs=1e-9)
            assert row["n"] == SEEDS
            assert len(row["records"].split()) == len(DATASETS)
    means = [row["mean"] for row in rows.values()]
    assert means == sorted(means)
    assert rows["Linear", "ImNet-1k-Sup"]["mean"] == pytest.approx(0, abs=1e-9)


def test_no_gain_over_fewer_data_sets(made):
    records = [r for r in store.read_all(made[0]) if (r.unit.model, r.unit.dataset) != ("sam", "ddsm")]
    data = paper_figure(cards.find_paper("wacv2024"), "figure1", records)
    rows = {(p.series, p.x): p for p in data.of("gain")}
    assert rows["Linear", "Sam"].mean is None
    assert rows["Linear", "Seem"].mean is not None
    assert any("Linear Sam, DeiT-B Sam: no gain is shown" in note for note in data.notes)
    assert any(note.startswith("not run: 2 of 52 values (Linear Sam, DeiT-B Sam on ddsm)") for note in data.notes)
    assert "medbench figure wacv2024/figure1 --fill" in data.commands
    assert "medbench run --model sam --protocol linear-unfrozen --dataset ddsm" in data.commands


def test_knn_bars(made):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure2", runs), "panel", "x")
    assert len(rows) == 32
    for model in MODELS:
        for dataset in DATASETS:
            row = rows[dataset, LABELS[model]]
            assert row["mean"] == known["scores"][key(model, "knn", dataset)][0]
            assert (row["std"], row["n"], row["series"]) == (None, 1, LABELS[model])


@pytest.mark.parametrize("ref", ["same", "unfrozen"])
def test_times(made, ref):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure3", runs, ref=ref), "panel", "series", "x")
    assert len(rows) == 39
    for mode in ("unfrozen", "frozen"):
        base_mode = mode if ref == "same" else ref
        for group, models in (("Linear", MODELS), ("DeiT-B", FOUNDATIONS)):
            for model in models:
                protocol = f"{'linear' if group == 'Linear' else 'deit'}-{mode}"
                steps = np.array([known["steps"][key(model, protocol, d)] for d in DATASETS])
                base = [np.mean(known["steps"][key("imagenet", f"linear-{base_mode}", d)]) for d in DATASETS]
                ratio = np.mean([s / b for s, b in zip(steps.mean(axis=1), base, strict=True)])
                row = rows[mode, group, LABELS[model]]
                assert row["mean"] == pytest.approx(ratio, rel=1e-12)
                each = (steps / np.array(base)[:, None]).mean(axis=0)
                assert row["std"] == pytest.approx(each.std(ddof=1), rel=1e-9)
    for (model, classifier), ms in known["latency"].items():
        row = rows["inference", {"linear": "Linear", "deit": "DeiT-B"}[classifier], LABELS[model]]
        assert row["mean"] == pytest.approx(ms / known["latency"]["imagenet", "linear"], rel=1e-12)
        assert row["std"] is None


def test_a_reference_that_is_not_there(made):
    with pytest.raises(CardError, match="unknown reference 'unfrozne'"):
        figure_data("wacv2024/figure3", made[0], ref="unfrozne")
    with pytest.raises(CardError, match="unknown reference of wacv2024/figure4"):
        figure_data("wacv2024/figure4", made[0], ref="unfrozen")


def test_freezing(made):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure4", runs, published=True), "panel", "series", "x")
    assert len(rows) == 4 * sum(UNITS[m] + 1 for m in MODELS)
    for model in MODELS:
        for dataset in DATASETS:
            for x in range(UNITS[model] + 1):
                ends = {0: key(model, "linear-unfrozen", dataset), UNITS[model]: key(model, "linear-frozen", dataset)}
                scores = known["scores"][ends.get(x, key(model, "freeze", dataset, frozen=x))]
                row = rows[dataset, LABELS[model], str(x)]
                assert row["mean"] == pytest.approx(np.mean(scores), abs=1e-12)
                assert row["std"] == pytest.approx(np.std(scores, ddof=1), abs=1e-12)
                assert row["n"] == (SEEDS if x in ends else CURVE_SEEDS)
                assert (row["published"] is not None) == (x in ends)
    assert rows["aptos", "Dinov2", "0"]["published"] == 0.909
    assert rows["aptos", "Dinov2", "12"]["published"] == 0.881
    assert rows["isic2019", "Seem", "4"]["published"] == 0.527


def test_decapitation(made):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure5", runs, published=True), "panel", "series", "x")
    assert len(rows) == 4 * sum(UNITS[m] for m in FOUNDATIONS)
    for model in FOUNDATIONS:
        for dataset in ("aptos", "ddsm"):
            for mode in ("frozen", "unfrozen"):
                for kept in range(1, UNITS[model] + 1):
                    whole = kept == UNITS[model]
                    scores = known["scores"][
                        key(model, f"deit-{mode}", dataset)
                        if whole
                        else key(model, f"decapitate-{mode}", dataset, kept=kept)
                    ]
                    row = rows[f"{dataset} decapitate-{mode}", LABELS[model], str(kept - 1)]
                    assert row["mean"] == pytest.approx(np.mean(scores), abs=1e-12)
    assert rows["ddsm decapitate-unfrozen", "Dinov2", "11"]["published"] == 0.966
    assert rows["ddsm decapitate-frozen", "Seem", "3"]["published"] == 0.925


def test_sizes_relative_to_one(made):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure6", runs, published=True), "panel", "x")
    models = {"S": "dinov2-small", "B": "dinov2", "L": "dinov2-large", "g": "dinov2-giant"}
    for dataset in ("aptos", "ddsm", "isic2019"):
        base = np.mean(known["scores"][key("dinov2", "linear-unfrozen", dataset)])
        for label, model in models.items():
            scores = np.array(known["scores"][key(model, "linear-unfrozen", dataset)])
            assert rows[dataset, label]["mean"] == pytest.approx(100 * (scores.mean() / base - 1), abs=1e-9)
            assert rows[dataset, label]["std"] == pytest.approx((100 * scores / base).std(ddof=1), abs=1e-9)
    assert all(row["published"] is None for row in rows.values())  # the base alone is printed, which is 0 by definition


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


def hsic1(x, y):
    """HSIC_1 of Song et al. (2012) by its definition, from Gram matrices with zero diagonals."""
    k, l_ = (z.astype(np.float64) @ z.astype(np.float64).T for z in (x, y))
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l_, 0)
    n, one = len(k), np.ones(len(k))
    first = np.trace(k @ l_)
    second = (one @ k @ one) * (one @ l_ @ one) / ((n - 1) * (n - 2))
    return (first + second - 2 / (n - 2) * (one @ k @ l_ @ one)) / (n * (n - 3))


def test_models_with_each_other(made):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure8", runs), "panel", "series", "x")
    assert len(rows) == 4 * 64
    for dataset in DATASETS:
        for a in MODELS:
            for b in MODELS:
                x, y = known["features"][a, dataset], known["features"][b, dataset]
                expected = hsic1(x, y) / math.sqrt(hsic1(x, x) * hsic1(y, y))
                assert rows[dataset, LABELS[a], LABELS[b]]["mean"] == pytest.approx(expected, abs=1e-9)


def test_features_of_other_images_are_not_compared(made):
    runs, _ = made
    records = [r for r in store.read_all(runs, "aptos") if r.unit.protocol == "cka-models"]
    records = [r if r.unit.model != "blip" else _changed(r, chosen={"images": 24, "ids": "other"}) for r in records]
    data = paper_figure(cards.find_paper("wacv2024"), "figure8", records)
    rows = {(p.series, p.x): p for p in data.of("aptos")}
    assert rows["BLIP", "Sam"].mean is None
    assert rows["BLIP", "BLIP"].mean is None
    assert rows["Sam", "Seem"].mean is not None
    assert any(note.startswith("BLIP on aptos: features of other images") for note in data.notes)


def _changed(record, **changes):
    found = record.model_copy(update=changes)
    found._path = record.path
    return found


def test_missing_files_are_said_and_not_invented(made, tmp_path):
    runs, _ = made
    for protocol in ("cka", "cka-models"):
        shutil.copytree(runs / "aptos/sam" / protocol, tmp_path / "aptos/sam" / protocol)
    for file in [*tmp_path.rglob("cka.csv"), *tmp_path.rglob("features.npy")]:
        file.unlink()
    for name, file in (("figure7", "cka.csv"), ("figure8", "features.npy")):
        data = figure_data(f"wacv2024/{name}", tmp_path)
        assert all(point.mean is None for point in data.points)
        assert any(f"Sam on aptos: no {file}" in note for note in data.notes)


CELL = {"model": "dinov2", "protocol": "knn", "dataset": "aptos", "split": "paper", "seeds": (0,)}


def point_of(records, **how):
    data = paper_figure(cards.find_paper("wacv2024"), "figure2", records, **how)
    return next(p for p in data.of("aptos") if p.x == "Dinov2"), data


@pytest.mark.parametrize(
    "other",
    [{"preset": "fixed"}, {"options": {"k": 5}}, {"weights": "random"}, {"toy": True}, {"values": {"accuracy": [0.5]}}],
)
def test_what_is_not_the_papers_stays_out(synthetic, other):
    point, data = point_of(synthetic(**{**CELL, **other}))
    assert (point.mean, point.n) == (None, 0)
    said = any("Dinov2 on aptos: run otherwise" in note for note in data.notes)
    assert said == ("preset" in other or "options" in other)
    assert point_of(synthetic(**CELL))[0].mean == 0.8


def test_marks(synthetic):
    point, data = point_of(synthetic(**CELL | {"weights": "random"}), include_random=True)
    assert (point.mean, point.marks) == (0.8, RANDOM_MARK)
    assert any("sanity" in note for note in data.notes)
    point, _ = point_of(synthetic(**CELL | {"weights": "random"}) + synthetic(**CELL), include_random=True)
    assert point.marks == ""
    seen = synthetic(**CELL, warnings=["contamination: dinov2 was pre-trained on aptos"])
    assert point_of(seen)[0].marks == SEEN_MARK
    point, data = point_of(synthetic(**CELL | {"split": "grouped"}))
    assert point.marks == SPLIT_MARK
    assert "Dinov2 on aptos: split 'grouped', the paper's is 'paper'" in data.notes
    assert any("--split" not in c and "--protocol knn --dataset aptos" in c for c in data.commands)


def test_another_preset(synthetic):
    other = synthetic(**CELL | {"preset": "wacv-code"})
    point, data = point_of(other, preset="wacv-code")
    assert point.mean == 0.8
    assert data.notes[0].startswith("preset wacv-code (the paper: paper)")


def test_fewer_seeds_are_said(made):
    data = figure_data("wacv2024/figure5", made[0])
    assert data.notes[0].endswith("over 2 to 5 seeds (the paper: 5)")
    assert not any(note.startswith("not run") for note in data.notes)
    assert any("--protocol decapitate-frozen" in command and "--set" not in command for command in data.commands)


def test_synthetic_records_are_said_to_be(made):
    assert any(note.startswith("SYNTHETIC") for note in figure_data("wacv2024/figure2", made[0]).notes)


def test_the_same_records_give_the_same_data(made):
    card, records = cards.find_paper("wacv2024"), list(store.read_all(made[0]))
    for name in ("figure1", "figure3", "figure5"):
        assert paper_figure(card, name, records) == paper_figure(card, name, records[::-1])


def test_unknown_names_and_other_spellings(made):
    assert figure_data("wacv2024/fig6", made[0]).name == "wacv2024/figure6"
    assert figures.find("wacv2024/figA1")[1] == "figureA1"
    with pytest.raises(CardError, match="unknown figure") as error:
        figure_data("wacv2024/figur4", made[0])
    assert "wacv2024/figure4" in error.value.hint
    with pytest.raises(CardError, match="unknown format 'gif'"):
        draw(figure_data("wacv2024/figure6", made[0]), "gif")


@pytest.fixture
def stores(made, tmp_path):
    """How much of the paper was run -> a run store."""
    for dataset in ("aptos", "isic2019"):
        for model in ("dino", "imagenet", "sam", "dinov2"):
            shutil.copytree(made[0] / dataset / model, tmp_path / "part" / dataset / model)
    return {"all": made[0], "part": tmp_path / "part", "none": tmp_path / "none"}


def drawn(data):
    """The page after drawing, inside the style."""
    page = Page(data)
    KINDS[data.kind].draw(page, data)
    return page


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


def test_bars_are_as_high_as_the_data_say(made):
    data = figure_data("wacv2024/figure2", made[0])
    with context():
        page = drawn(data)
        for axes, panel in zip(page._axes, data.panels, strict=True):
            assert [bar.get_height() for bar in axes.patches] == [point.mean for point in data.of(panel.name)]
            assert axes.get_ylim()[0] == 0  # a bar that does not start at 0 misleads


def test_what_was_not_run_is_drawn_as_such(made):
    records = [r for r in store.read_all(made[0]) if r.unit.model != "sam" and r.unit.dataset != "ddsm"]
    data = paper_figure(cards.find_paper("wacv2024"), "figure2", records)
    with context():
        texts = [[t.get_text() for t in axes.texts] for axes in drawn(data)._axes]
    aptos, ddsm = texts[0], texts[1]
    assert aptos.count("not run") == 1
    assert len(aptos) == 8
    assert ddsm == ["not run"]


def test_lines_are_faint_where_values_are_missing(made):
    frozen = [r for r in store.read_all(made[0], "aptos") if r.unit.options.get("frozen") != 5]
    data = paper_figure(cards.find_paper("wacv2024"), "figure4", frozen)
    with context():
        axes = drawn(data)._axes[0]
    line, points = axes.lines[0], data.of("aptos", "Dinov1")
    assert math.isnan(line.get_ydata()[5])
    assert line.get_ydata()[4] == points[4].mean
    bridges = [one for one in axes.lines if one.get_alpha() is not None]
    assert len(bridges) == sum(UNITS[m] > 5 for m in MODELS), "one for each model that has a fifth unit to freeze"
    assert list(bridges[0].get_ydata()) == [points[4].mean, points[6].mean]
    assert "faint: across values that were not run" in data.notes
    whole = paper_figure(cards.find_paper("wacv2024"), "figure4", store.read_all(made[0]))
    assert not [note for note in whole.notes if "faint" in note]


def test_lines_stand_beside_each_other(made):
    data = figure_data("wacv2024/figure4", made[0])
    with context():
        axes = drawn(data)._axes[0]
    starts = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) > 4 or line.get_marker() not in "|_"]
    starts = sorted({round(float(x), 6) for x in starts if -0.5 < x < 0.5})
    assert len(starts) == len(MODELS)
    assert max(starts) == -min(starts) < 0.2, "still over their number of units"


def test_vector_files_are_the_same_each_time(made, tmp_path):
    for runs, form in ((made[0], "svg"), (tmp_path, "pdf")):
        data = figure_data("wacv2024/figure6", runs)
        assert draw(data, form) == draw(data, form)


def test_matplotlibs_settings_stay_as_they_were(made):
    matplotlib.rcParams["font.size"] = 13
    before = dict(matplotlib.rcParams)
    data = figure_data("wacv2024/figure6", made[0])
    one = draw(data, "svg")
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        assert draw(data, "svg") == one


def test_files(made, tmp_path):
    data = figure_data("wacv2024/figure6", made[0])
    written = write_figure(data, tmp_path, ("png", "svg"), dpi=30)
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "wacv2024/figure6.png", "wacv2024/figure6.svg", "wacv2024/figure6.csv",
    ]  # fmt: skip
    assert written[-1].read_text() == data.csv()
    assert written[0].read_bytes() == draw(data, "png", dpi=30)


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


def test_looks_differ_in_grey_print_too():
    for feature in ("colour", "marker"):
        assert len({getattr(look, feature) for look in LOOKS}) == len(LOOKS)
    assert len({(look.marker, look.dash) for look in LOOKS}) == len(LOOKS)


def test_models_look_alike_in_all_figures(made):
    looks = {}
    for name in ("figure2", "figure4", "figure5", "figure7"):
        for label, style in figure_data(f"wacv2024/{name}", made[0]).series.items():
            assert looks.setdefault(label, style) == style


def card_with(figure):
    """The paper's card with one figure changed, as a file would be read."""
    content = json.loads(cards.find_paper("wacv2024").model_dump_json())
    content["figures"] = {"figure": figure}
    return type(cards.find_paper("wacv2024")).model_validate(content)


GAINS = {
    "kind": "gains", "title": "t", "source": "s", "table": "table2", "reference": ["Linear", "Sam"], "images": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"table": "table9"}, "'table9' is no table of this paper"),
        ({"reference": ["Linear", "Nobody"]}, "table2 has no row"),
        ({"colour": "red"}, "colour"),
        ({"kind": "pie"}, "kind"),
    ],
)
def test_faults_in_a_card_are_named(change, said):
    assert card_with(GAINS).figures["figure"].kind == "gains"
    with pytest.raises(ValueError, match=said):
        card_with(GAINS | change)


def test_bars_need_their_reference():
    bars = {
        "kind": "bars", "title": "t", "source": "s", "relative_to": "X",
        "panels": [{"dataset": "aptos", "metric": "kappa_quadratic", "title": "t"}],
        "rows": [{"label": "Y", "model": "sam", "protocol": "knn"}],
    }  # fmt: skip
    with pytest.raises(ValueError, match="no row is called 'X'"):
        card_with(bars)
    ratios = {
        "kind": "ratios", "title": "t", "source": "s", "reference": ["Linear", "Sam"],
        "panels": [{"name": "p", "title": "t", "quantity": "step", "datasets": ["aptos"]}],
    }  # fmt: skip
    with pytest.raises(ValueError, match="either table or rows"):
        card_with(ratios)


BARS = {
    "kind": "bars", "title": "t", "source": "s", "seeds": 5, "columns": 3,
    "panels": [{"dataset": d, "metric": METRIC[d], "title": d} for d in ("aptos", "ddsm", "isic2019")],
    "rows": [
        {"label": label, "group": group, "model": model, "protocol": protocol}
        for group, protocol in (("Frozen", "linear-frozen"), ("Unfrozen", "linear-unfrozen"))
        for label, model in (("Sam", "sam"), ("Seem", "seem"), ("A model with quite a long name", "dinov2"))
    ],
}  # fmt: skip


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def test_bars_of_one_label_stand_side_by_side(made):
    runs, known = made
    data = paper_figure(card_with(BARS), "figure", store.read_all(runs))
    rows = by_place(data, "panel", "series", "x")
    assert len(rows) == 18
    for row in BARS["rows"]:
        for dataset in ("aptos", "ddsm", "isic2019"):
            scores = known["scores"][key(row["model"], row["protocol"], dataset)]
            assert rows[dataset, row["group"], row["label"]]["mean"] == pytest.approx(np.mean(scores), rel=1e-12)
    with context():
        page = drawn(data)
        axes = page._axes[0]
        assert [text.get_text() for text in page.figure.legends[0].get_texts()] == ["Frozen", "Unfrozen"]
    ends = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches)
    assert all(right <= left for (_, right), (left, _) in itertools.pairwise(ends)), "no bar hides another"
    assert [round(sum(end) / 2) for end in ends] == [0, 0, 1, 1, 2, 2]
    assert len({bar.get_facecolor() for bar in axes.patches}) == 2
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list(dict.fromkeys(r["label"] for r in BARS["rows"]))
    assert texts_of(axes) == [], "numbers would run into each other"


def test_bars_have_numbers_where_there_is_room(made):
    rows = [row for row in BARS["rows"] if row["group"] == "Frozen"]
    plain = [{**row, "group": ""} for row in rows]
    for found, shown in ((plain, 3), (plain * 3, 0)):
        card = card_with(BARS | {"rows": [{**row, "label": f"{row['label']} {i}"} for i, row in enumerate(found)]})
        with context():
            assert len(texts_of(drawn(paper_figure(card, "figure", store.read_all(made[0])))._axes[0])) == shown


@pytest.mark.parametrize("relative_to", [None, "A model with quite a long name"])
def test_long_names_are_not_cut_off(made, relative_to):
    rows = [{**row, "group": ""} for row in BARS["rows"] if row["group"] == "Frozen"]
    card = card_with(BARS | {"rows": rows, "relative_to": relative_to})
    data = paper_figure(card, "figure", store.read_all(made[0]))
    with context():
        page = drawn(data)
        page.save("png", page.figure.dpi)
        box = page.figure.get_tightbbox()
        heights = [axes.get_window_extent().height / page.figure.dpi for axes in page._axes]
        text = texts_of(page._axes[0])
    width, height = page.figure.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -0.01, f"{box} in {width} x {height}"
    assert min(heights) > 0.8, "inches are left for the bars"
    if relative_to:
        mean = data.of("aptos", "Sam")[0].mean
        assert text[0] == f"{mean:+.1f}".replace("-", "−")
        assert text[2] == "0"


def test_a_class_that_the_test_split_lacks_is_said_of_the_metric_shown(made):
    absent = {METRIC["aptos"]: ["severe"], "f1_macro": ["severe", "mild"]}
    records = [
        r.model_copy(update={"absent": absent}) if r.unit.dataset == "aptos" else r for r in store.read_all(made[0])
    ]
    card = cards.find_paper("wacv2024")
    said = [note for note in paper_figure(card, "figure2", records).notes if "absent" in note]
    assert said == [f"aptos: {METRIC['aptos']} leaves out severe (absent from test)"], "once, not for each model"
    steps = paper_figure(card, "figure3", records)  # iterations and times leave out no class
    assert not [note for note in steps.notes if "absent" in note]


def test_other_values_of_a_sweep_are_no_other_runs(made):
    """Whatever name the weights have: a file of the card's digest is the official one."""
    digest = cards.find_model("dinov2").weights.sha256
    records = [
        r.model_copy(
            update={
                "unit": r.unit.model_copy(update={"weights": "file"}),
                "material": {**r.material, "weights": digest},
            }
        )
        for r in store.read_all(made[0], "aptos")
        if r.unit.model == "dinov2" and r.unit.options.get("frozen") != 5
    ]
    data = paper_figure(cards.find_paper("wacv2024"), "figure4", records)
    assert sum(point.mean is not None for point in data.of("aptos", "Dinov2")) == 12
    assert not [note for note in data.notes if "run otherwise" in note]


def test_gains_of_nothing_are_an_empty_panel(made):
    data = paper_figure(cards.find_paper("wacv2024"), "figure1", [])
    with context():
        assert texts_of(drawn(data)._axes[0]) == ["not run"]


def test_metrics_are_those_of_the_tables():
    card = cards.find_paper("wacv2024")
    for figure in card.figures.values():
        for panel in getattr(figure, "panels", []):
            if metric := getattr(panel, "metric", ""):
                assert metric == METRIC[panel.dataset]
