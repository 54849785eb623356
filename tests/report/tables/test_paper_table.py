"""Papers' tables: the transcription against its source, and SYNTHETIC records in the cells."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import re
import types
from pathlib import Path

import pytest
import yaml

from medbench import cards
from medbench.cards import PaperCard
from medbench.papers.matching import paper_records
from medbench.records.groups import SEEN, SEEN_MARK, collect
from medbench.records.store import read_all
from medbench.report.inference import best_of
from medbench.report.measured import measured
from medbench.report.tables.choose import chosen
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.marks import RANDOM_MARK, SPLIT_MARK
from medbench.report.tables.paper_table import paper_table
from medbench.report.tables.render import render

from ..made import METRIC, SPLIT, key, make_paper_records

SHARED = Path(__file__).parents[3].parent / "shared/published/wacv2024.yaml"
DATASETS = {"APTOS2019": "aptos", "DDSM": "ddsm", "ISIC2019": "isic2019", "CheXpert": "chexpert"}
TABLES = {"table1": "table_1", "table2": "table_2", "table3": "table_3", "tableB1": "table_B1", "tableB2": "table_B2"}
PROTOCOLS = {("Linear", True): "linear-frozen", ("Linear", False): "linear-unfrozen"}
PROTOCOLS |= {("DeiT-B", True): "deit-frozen", ("DeiT-B", False): "deit-unfrozen"}


@pytest.fixture
def card(shipped) -> PaperCard:
    return cards.find_paper("wacv2024")


@pytest.mark.skipif(not SHARED.is_file(), reason="the transcription to compare it with is missing")
@pytest.mark.parametrize("name", TABLES)
def test_every_cell_is_the_papers(card, name):
    source = yaml.safe_load(SHARED.read_text(encoding="utf-8"))["paper_tables"][TABLES[name]]
    rows = card.tables[name].rows
    assert len(rows) == len(source)
    for row, printed in zip(rows, source, strict=True):
        expected = {ours: printed[theirs] for theirs, ours in DATASETS.items()}
        assert row.published == ({d: v[:1] for d, v in expected.items()} if name == "table3" else expected)
        assert row.gains == ({d: v[1] for d, v in expected.items()} if name == "table3" else {})
        assert row.labels[-1] == printed["model"].replace("– ", ", ")
        if name != "table3":
            assert row.protocol == PROTOCOLS[printed["classifier"], printed["foundation_frozen"]]


def test_columns_and_models(card):
    for content in card.tables.values():
        assert [(c.dataset, c.metric) for c in content.columns] == [
            ("aptos", "kappa_quadratic"),
            ("ddsm", "auroc"),
            ("isic2019", "recall_macro"),
            ("chexpert", "auroc_macro"),
        ]
    models = {row.labels[1]: row.model for row in card.tables["table1"].rows}
    assert list(models.values()) == ["dino", "imagenet", "resnet152", "sam", "seem", "openclip", "dinov2", "blip"]
    assert {row.labels[0]: row.set["image_size"] for row in card.tables["table3"].rows} == {
        "Sam": 1024,
        "Seem": 1024,
        "OpenCLIP": 1024,
        "Dinov2": 1022,  # 73 patches of 14
        "BLIP": 1024,
    }


def cell(made, model, dataset, protocol="linear-frozen"):
    row = next(r for r in made.rows if (r.about["model"], r.about["protocol"]) == (model, protocol))
    return row.cells[[c.dataset for c in made.columns].index(dataset)]


def test_nothing_run(card):
    made = paper_table(card, "table1", [])
    assert {c.text for row in made.rows for c in row.cells} == {"–"}
    made = paper_table(card, "table1", [], published=True)
    assert cell(made, "dinov2", "aptos").text == "(0.881 ± 0.002)"
    assert cell(made, "dinov2", "chexpert").text == "(0.722 ± 0.000)"
    made3 = paper_table(card, "table3", [], published=True)
    assert cell(made3, "sam", "ddsm", "linear-unfrozen").text == "(0.984 +3.4 pt)"
    out = render(made, "csv")
    printed = [f"{v[0]:.3f}" for row in card.tables["table1"].rows for v in row.published.values()]
    assert len(printed) == 52
    rows = list(csv.DictReader(io.StringIO(out)))
    columns = [f"{c.id}_published" for c in made.columns]
    assert [row[c] for row in rows for c in columns] == printed


def test_run_cells_show_ours_published_and_the_difference(card, synthetic):
    records = synthetic() + synthetic(model="dino", seeds=(0, 1, 2))
    made = paper_table(card, "table1", records)
    assert cell(made, "dinov2", "aptos").text == "0.820 ± 0.016 n=5"
    assert cell(made, "dino", "aptos").text == "0.810 ± 0.010 n=3"
    assert cell(made, "dinov2", "ddsm").text == "–"
    assert any("1 cell with fewer than the paper's 5 seeds" in note for note in made.notes)
    made = paper_table(card, "table1", records, published=True)
    assert cell(made, "dinov2", "aptos").text == "0.820 ± 0.016 n=5 (0.881 ± 0.002, -0.061)"
    assert cell(made, "dinov2", "aptos").difference == pytest.approx(-0.061)


@pytest.mark.parametrize(
    "other",
    [
        {"preset": "fixed"},
        {"options": {"views": 100}},
        {"weights": "file"},
        {"weights": "random"},
        {"toy": True},
        {"protocol": "knn"},
        {"values": {"accuracy": [0.5] * 5}},
    ],
)
def test_what_is_not_the_papers_cell_stays_out(card, synthetic, other):
    made = paper_table(card, "table1", synthetic(**other))
    assert cell(made, "dinov2", "aptos").value is None
    said = any(note.startswith("run with other settings than these cells") for note in made.notes)
    assert said == (other.get("weights") != "random" and "protocol" not in other)


def test_settings_of_the_row_must_be_those_of_the_record(card, synthetic):
    sized = synthetic(model="sam", protocol="linear-unfrozen", options={"image_size": 1024})
    plain = synthetic(model="sam", protocol="linear-unfrozen")
    for name, fitting, other in (("table3", sized, plain), ("table2", plain, sized)):
        assert cell(paper_table(card, name, fitting), "sam", "aptos", "linear-unfrozen").n == 5
        assert cell(paper_table(card, name, other), "sam", "aptos", "linear-unfrozen").n == 0


def test_random_weights_only_if_asked_and_never_before_real_ones(card, synthetic):
    random = synthetic(weights="random", seeds=range(9))
    made = paper_table(card, "table1", random, include_random=True)
    assert cell(made, "dinov2", "aptos").text.startswith(f"0.840 ± 0.027{RANDOM_MARK}")
    assert any("sanity" in note for note in made.notes)
    made = paper_table(card, "table1", random + synthetic(), include_random=True)
    assert cell(made, "dinov2", "aptos").text == "0.820 ± 0.016"


MODEL = """
arch: vit_tiny_patch16_224
weights: {url: "https://example.org/w.pth", sha256: "%s"}
"""


def own_cards(folder: Path, monkeypatch) -> None:
    """A project with cards named like some of the paper's."""
    for kind, names in (
        ("model_zoo", ["dinov2", "dino"]),
        ("protocols", ["linear-frozen"]),
        ("datasets", ["aptos", "ddsm"]),
    ):
        for name in names:
            path = folder / kind / f"{name}.yaml"
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(MODEL % ("ab" * 8))
    real = cards.names
    monkeypatch.setattr(
        cards, "names", lambda kind: [p.stem for p in folder.glob(f"{FOLDERS[kind]}/*.yaml")] or real(kind)
    )


FOLDERS = {"models": "model_zoo", "protocols": "protocols", "datasets": "datasets", "papers": "none"}


def test_official_weights_given_as_a_file_count(card, synthetic, tmp_path, monkeypatch):
    own_cards(tmp_path, monkeypatch)
    same, other = (synthetic(weights="file", material={"weights": digest}) for digest in ("ab" * 32, "cd" * 32))
    assert cell(paper_table(card, "table1", same), "dinov2", "aptos").n == 5
    assert cell(paper_table(card, "table1", other), "dinov2", "aptos").n == 0


def test_commands_fill_what_is_missing_and_say_what_cannot(card, synthetic, tmp_path, monkeypatch):
    own_cards(tmp_path, monkeypatch)
    made = paper_table(card, "table1", synthetic() + synthetic(model="dino", seeds=(0,)))
    assert made.commands == (
        "medbench table wacv2024/table1 --fill",
        "medbench run --model dino,dinov2 --protocol linear-frozen --dataset aptos,ddsm",
    )
    assert cell(made, "dinov2", "ddsm").command == "medbench run --model dinov2 --protocol linear-frozen --dataset ddsm"
    assert cell(made, "sam", "ddsm").command is None
    (note,) = [note for note in made.notes if "not in this version" in note]
    assert "models imagenet, resnet152, sam, seem, openclip, blip" in note
    assert "protocols deit-frozen" in note
    assert "datasets isic2019, chexpert" in note
    assert paper_table(card, "table3", []).commands == ()


def test_a_protocol_without_seeds_is_complete_with_one_unit(card, synthetic):
    """A row of five seeds is not short of four where its protocol has one unit."""
    row = card.tables["table1"].rows[0].model_copy(update={"model": "dinov2", "protocol": "knn"})
    told = card.model_copy(update={"tables": {"t": card.tables["table1"].model_copy(update={"rows": [row]})}})
    about = {"protocol": "knn", "seeds": (0,)}
    records = []
    for dataset, metric in METRIC.items():
        records += synthetic(dataset=dataset, values={metric: [0.5]}, split=SPLIT[dataset], **about)
    made = paper_table(told, "t", records)
    assert made.commands == ()
    assert not any("fewer" in note for note in made.notes)
    trained = row.model_copy(update={"protocol": "linear-frozen"})
    told = card.model_copy(update={"tables": {"t": told.tables["t"].model_copy(update={"rows": [trained]})}})
    assert paper_table(told, "t", synthetic(seeds=(0,))).commands


def test_what_several_cells_share_is_said_once(card, synthetic):
    """A class that test does not hold is told per data set, a warning with all that carry it."""
    about = {"warnings": ["a warning"], "absent": {"kappa_quadratic": ["severe"], "recall_macro": ["severe"]}}
    notes = paper_table(card, "table1", synthetic(**about) + synthetic(model="sam", **about), published=True).notes
    assert [note for note in notes if "absent" in note] == [
        "aptos: kappa_quadratic is computed without severe (absent from test)"
    ]
    (said,) = [note for note in notes if "a warning" in note]
    assert sorted(said.removesuffix(": a warning").split("; ")) == [
        "dinov2 · linear-frozen · aptos", "sam · linear-frozen · aptos",
    ]  # fmt: skip


def test_split_and_warnings_are_footnotes(card, synthetic):
    content = card.tables["table1"].model_copy(update={"splits": {"aptos": "wacv2024"}})
    told = card.model_copy(update={"tables": {"table1": content}})
    made = paper_table(told, "table1", synthetic(split="grouped", options={"split": "grouped"}, warnings=["edge"]))
    assert cell(made, "dinov2", "aptos").n == 5
    assert "dinov2 · linear-frozen · aptos: split 'grouped', the paper's is 'wacv2024'" in made.notes
    assert "dinov2 · linear-frozen · aptos: edge" in made.notes
    assert cell(made, "dinov2", "aptos").mark == SPLIT_MARK
    assert not any("split '" in note for note in paper_table(told, "table1", synthetic(split="wacv2024")).notes)


def test_a_cell_of_a_model_that_has_seen_the_data_is_marked(card, synthetic):
    seen = synthetic(warnings=["contamination: dinov2 was pre-trained on aptos"])
    made = paper_table(card, "table1", seen)
    assert [cell.mark for row in made.rows for cell in row.cells if cell.value is not None] == [SEEN_MARK]
    assert SEEN in made.notes
    assert SEEN not in paper_table(card, "table1", synthetic()).notes


def printed_numbers(card: PaperCard, name: str) -> list[str]:
    """What the paper prints in a table, row by row: numbers, deviations, gains and averages."""
    found = []
    for row in card.tables[name].rows:
        for column in card.tables[name].columns:
            mean, *std = row.published[column.dataset]
            text = f"{mean:.3f}" + "".join(f" ± {value:.3f}" for value in std)
            found.append(text + (f" {row.gains[column.dataset]:+.1f} pt" if row.gains else ""))
        found += [f"{row.average:.3f}"] if row.average is not None else []
    return found


PAPERS = [("wacv2024", name) for name in TABLES] + [("flair", "transfer")]


@pytest.mark.parametrize("form", ["text", "md", "latex", "html"])
@pytest.mark.parametrize(("paper", "name"), PAPERS)
def test_every_format_has_every_published_number_in_order(shipped, paper, name, form):
    card = cards.find_paper(paper)
    out = render(paper_table(card, name, [], published=True), form)
    out = html.unescape(out).replace("$\\pm$", "±").replace("$-$", "-").replace("\\", "")
    assert re.findall(r"\((\d\.\d{3}(?: ± \d\.\d{3})?(?: [+-]\d+\.\d pt)?)\)", out) == printed_numbers(card, name)


@pytest.mark.parametrize(("paper", "name"), PAPERS)
def test_csv_and_json_have_every_published_number(shipped, paper, name):
    card = cards.find_paper(paper)
    made = paper_table(card, name, [], published=True)
    rows = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    cells = [row["cells"] for row in json.loads(render(made, "json"))["rows"]]
    for row, line, values in zip(card.tables[name].rows, rows, cells, strict=True):
        for column in made.columns[: len(card.tables[name].columns)]:
            mean, *std = row.published[column.dataset]
            assert line[f"{column.id}_published"] == f"{mean:.3f}"
            assert line[f"{column.id}_published_std"] == (f"{std[0]:.3f}" if std else "")
            assert values[column.id]["published"] == mean
            if row.gains:
                assert line[f"{column.id}_published_gain"] == f"{row.gains[column.dataset]:.1f}"
                assert values[column.id]["published_gain"] == row.gains[column.dataset]
        if row.average is not None:
            assert line["average_published"] == f"{row.average:.3f}"


FLAIR = SHARED.with_name("flair_slides.yaml")
FLAIR_SETS = ("messidor2", "fives-flair", "refuge", "jsiec-20x3", "odir-200x3", "mmac-a")
FLAIR_MODELS = {
    "ImageNet": "resnet50",
    "CLIP": "clip",
    "BiomedCLIP": "biomedclip",
    "RETFound": "retfound",
    "FLAIR": "flair",
}


@pytest.mark.skipif(not FLAIR.is_file(), reason="the transcription to compare it with is missing")
def test_every_cell_is_the_slides(shipped):
    source = yaml.safe_load(FLAIR.read_text(encoding="utf-8"))["seed_table"]
    content = cards.find_paper("flair").tables["transfer"]
    assert [(c.dataset, c.metric) for c in content.columns] == [(name, "recall_macro") for name in FLAIR_SETS]
    for kind, protocol in (("zero_shot", "zero-shot"), ("linear_probing", "linear-probe")):
        rows = [row for row in content.rows if row.protocol == protocol]
        assert [(row.model, row.labels) for row in rows] == [
            (FLAIR_MODELS[printed["model"]], [printed["model"], printed["backbone"]]) for printed in source[kind]
        ]
        for row, printed in zip(rows, source[kind], strict=True):
            assert row.published == {name: [v] for name, v in zip(FLAIR_SETS, printed["values"], strict=True)}
            assert row.average == printed["avg"]


RETFINER = SHARED.with_name("other_papers.yaml")


@pytest.mark.skipif(not RETFINER.is_file(), reason="the transcription to compare it with is missing")
def test_retfiners_mean_gains_are_the_readmes(shipped):
    printed = yaml.safe_load(RETFINER.read_text(encoding="utf-8"))["retfiner_2506.22149"]["numbers_in_prose"]
    rows = cards.find_paper("retfiner").tables["gains"].rows
    assert [(row.over[0], row.average_gain) for row in rows if row.over] == [
        (one["what"].split("over ")[1].split(",")[0], one["README"]) for one in printed
    ]
    noted = next(row.note for row in rows if row.model == "retfiner-r")
    assert str(printed[0]["abstract"]) in noted, "where README and abstract differ, the card says so"
    assert all(one["README"] == one["abstract"] for one in printed[1:])
    assert not any(row.published for row in rows), "no cell of the paper's table was had"


def test_a_rows_mean_is_compared_with_that_of_another_row(shipped):
    shown = paper_table(cards.find_paper("retfiner"), "gains", [], published=True)
    text = {row.heads[0]: row.cells[-1].rest() for row in shown.rows}
    assert text["RetFiner-R"] == " (+5.7 pt)"
    assert text["RETFound"] == ""


def test_flairs_splits_are_those_of_its_data_sets_and_averages_are_looked_at(shipped):
    content = cards.find_paper("flair").tables["transfer"]
    for name, split in content.splits.items():
        rule, _, seed = split.partition("@")
        assert (cards.find_dataset(name).splits.rules[rule].method, seed) == ("holdout", "{seed}")
    for row in content.rows:  # a printed average that is not the row's rounded mean has a footnote
        mean = sum(v[0] for v in row.published.values()) / 6
        assert (abs(mean - row.average) > 0.0005 - 1e-9) == bool(row.note), row.labels


def test_printed_gains_are_points_over_table_2(card):
    odd = []
    for row in card.tables["table3"].rows:
        start = card.reference("table3", row)
        for dataset, gain in row.gains.items():
            if round(100 * (row.published[dataset][0] - start.published[dataset][0]), 1) != gain:
                odd.append((row.model, dataset))
    assert odd == [("seem", "ddsm")]
    assert "0.9" in next(row for row in card.tables["table3"].rows if row.model == "seem").note


@pytest.fixture(scope="module")
def made_store(tmp_path_factory):
    runs = tmp_path_factory.mktemp("made") / "runs"
    return runs, make_paper_records(runs)


@pytest.mark.parametrize("name", TABLES)
def test_all_tables_from_a_store(card, made_store, name):
    runs, known = made_store
    made = paper_table(card, name, paper_records(card, runs, [name]), published=True)
    for row, line in zip(card.tables[name].rows, made.rows, strict=True):
        for column, shown in zip(made.columns, line.cells, strict=True):
            dataset = column.dataset
            values = known["scores"][key(row.model, row.protocol, dataset, **row.set)]
            mean = sum(values) / 5
            assert shown.value == pytest.approx(mean, abs=1e-12)
            assert shown.std == pytest.approx((sum((v - mean) ** 2 for v in values) / 4) ** 0.5, abs=1e-12)
            assert (shown.n, shown.published) == (5, row.published[dataset][0])
            if name == "table3":
                start = known["scores"][key(row.model, row.protocol, dataset)]
                assert shown.gain == pytest.approx(100 * (mean - sum(start) / 5), abs=1e-9)
    for i, column in enumerate(made.columns):
        means = {line.heads: round(line.cells[i].value, 3) for line in made.rows}
        best = {heads for heads, mean in means.items() if mean == max(means.values())}
        assert {line.heads for line in made.rows if line.cells[i].rank == "best"} == best
        assert METRIC[column.dataset] == column.metric
    assert made.commands == ()
    assert not any("not in this version" in note for note in made.notes)
    assert "over 5 seeds" in made.notes[0]


def test_same_records_same_bytes_in_any_order(card, made_store):
    runs, _ = made_store
    records = paper_records(card, runs, ["table3"])
    for form in ("text", "md", "csv", "latex", "html", "json"):
        one, two = (render(paper_table(card, "table3", r, published=True), form) for r in (records, records[::-1]))
        assert one == two


def test_gains_are_part_of_the_texts(card, synthetic):
    records = synthetic(model="sam", protocol="linear-unfrozen", options={"image_size": 1024}, seeds=(0, 1))
    made = paper_table(card, "table3", records)
    assert cell(made, "sam", "aptos", "linear-unfrozen").text == "0.805 ± 0.007", "without table 2's row no gain"
    start = synthetic(model="sam", protocol="linear-unfrozen", values={"kappa_quadratic": [0.79]}, seeds=(0,))
    made = paper_table(card, "table3", records + start)
    assert cell(made, "sam", "aptos", "linear-unfrozen").text == "0.805 ± 0.007 +1.5 pt"
    made = paper_table(card, "table3", records + start, published=True)
    assert cell(made, "sam", "aptos", "linear-unfrozen").text == "0.805 ± 0.007 +1.5 pt (0.908 +1.4 pt, -0.103)"
    assert any("gain in points (hundredths) over the same row of table 2" in note for note in made.notes)


def on_folds(records):
    """Give each seed's record the split of that seed."""
    for record in records:
        record.provenance = {"synthetic": True, "data": {"split": f"flair-holdout@{record.unit.seed}"}}
    return records


def test_the_average_is_the_unweighted_mean_of_the_row(shipped, synthetic):
    card = cards.find_paper("flair")
    rows = {name: [0.5 + 0.1 * i, 0.52 + 0.1 * i] for i, name in enumerate(FLAIR_SETS[:5])} | {"mmac-a": [0.2, 0.4]}
    records = []
    for name, values in rows.items():
        made = synthetic(
            model="flair",
            protocol="linear-probe",
            dataset=name,
            values={"recall_macro": values},
            seeds=(0, 1),
            options={"transform": "native", "split": "flair-holdout@{seed}"},
        )
        records += on_folds(made)
    made = paper_table(card, "transfer", records, published=True)
    shown = next(row for row in made.rows if row.about["protocol"] == "linear-probe" and row.about["model"] == "flair")
    first, second = (sum(values[i] for values in rows.values()) / 6 for i in (0, 1))
    assert shown.cells[-1].value == pytest.approx((first + second) / 2)
    assert shown.cells[-1].std == pytest.approx(abs(first - second) / 2**0.5)
    assert shown.cells[-1].published == 0.852
    assert not any(SPLIT_MARK in cell.mark for cell in shown.cells)
    records[-1].provenance["data"]["split"] = "flair-holdout@0"  # of seed 1
    other = paper_table(card, "transfer", records)
    assert [SPLIT_MARK in cell.mark for cell in other.rows[-1].cells] == [False] * 5 + [True] * 2
    missing = paper_table(card, "transfer", [r for r in records if r.unit.dataset != "refuge"])
    assert missing.rows[-1].cells[-1].value is None, "no mean of a part"


def test_best_is_of_a_block_where_the_table_has_blocks(shipped, synthetic):
    card = cards.find_paper("flair")
    native = {"options": {"transform": "native"}, "split": "flair-holdout@0"}
    records = []
    for protocol, models, more in (
        ("zero-shot", {"clip": 0.4, "flair": 0.9}, {"preset": "flair", "split": "whole"}),
        ("linear-probe", {"clip": 0.7, "flair": 0.8}, native),
    ):
        for model, value in models.items():
            made = synthetic(
                model=model, protocol=protocol, dataset="refuge", values={"recall_macro": [value]}, seeds=(0,), **more
            )
            records += made
    made = paper_table(card, "transfer", records)
    best = [(row.section, row.heads[0]) for row in made.rows if row.cells[2].rank == "best"]
    assert best == [("Zero-shot", "FLAIR"), ("Linear probing", "FLAIR")]
    assert "its block" in made.ranking
    assert made.notes[0].startswith("preset paper, flair for Zero-shot; ")
    assert not any(SPLIT_MARK in row.cells[2].mark for row in made.rows[:3]), "all images are the paper's split there"


def test_the_spread_over_texts_stands_in_a_note(shipped, synthetic):
    (record,) = synthetic(
        model="flair",
        protocol="zero-shot",
        dataset="refuge",
        values={"recall_macro": [0.9]},
        seeds=(0,),
        preset="flair",
        split="whole",
    )
    record.metric = "recall_macro"
    record.spread, record.chosen = {"names": 0.7, "card": 0.95}, {"prompts": "flair-expert"}
    made = paper_table(cards.find_paper("flair"), "transfer", [record])
    said = "flair · zero-shot · refuge: recall_macro is 0.700 (names) to 0.950 (card) over 3 sets of texts"
    assert said in made.notes
    assert any(said.partition(": ")[2] in note for note in dataset_table("refuge", [record]).notes)


def test_the_papers_split_comes_before_more_seeds(card, synthetic):
    other = synthetic(split="stratified", options={"split": "stratified"}, seeds=range(7))
    made = paper_table(card, "table1", other + synthetic(seeds=(0, 1)))
    assert cell(made, "dinov2", "aptos").n == 2
    made = paper_table(card, "table1", other)
    assert cell(made, "dinov2", "aptos").mark == SPLIT_MARK
    assert any(SPLIT_MARK in note for note in made.notes)


def test_views_of_a_bank_are_a_footnote(card, synthetic):
    def notes(**recipe):
        made = paper_table(card, "table1", synthetic(material={"protocol": {"epochs": 100, **recipe}}))
        return [note for note in made.notes if "makes new ones" in note]

    assert "16 augmented views" in notes(views=16)[0]
    assert notes(views=100) == notes(views=None) == notes(views=0) == []


def test_another_preset_on_request(card, synthetic):
    fixed = synthetic(preset="fixed")
    assert cell(paper_table(card, "table1", fixed), "dinov2", "aptos").n == 0
    made = paper_table(card, "table1", fixed, preset="fixed")
    assert cell(made, "dinov2", "aptos").n == 5
    assert made.notes[0].startswith("preset fixed (the paper's table is preset paper)")


def test_number_of_seeds_shows_where_it_differs(card, synthetic):
    made = paper_table(card, "table1", synthetic() + synthetic(model="dino", seeds=(0, 1, 2)))
    assert cell(made, "dinov2", "aptos").text.endswith("n=5")
    assert "over n seeds" in made.notes[0]
    made = paper_table(card, "table1", synthetic(seeds=(0, 1)))
    assert cell(made, "dinov2", "aptos").text == "0.805 ± 0.007"
    assert "over 2 seeds" in made.notes[0]
    assert "1 cell with fewer than the paper's 5 seeds" in made.notes


def test_intervals_and_ties_come_from_the_tests_of_predictions(card, synthetic, monkeypatch):
    @dataclasses.dataclass
    class Interval:
        low: float
        high: float

    asked = []

    def ties(groups, metric):
        asked.append(([group.first.unit.model for group in groups], metric))
        return {1, 2}

    stub = types.SimpleNamespace(interval_of=lambda group, metric: Interval(0.7, 0.9), ties=ties, best_of=best_of)
    monkeypatch.setattr("medbench.report.tables.marks.inference", stub)
    monkeypatch.setattr("medbench.report.tables.marks.stored", lambda group: True)
    values = {"dino": 0.8, "imagenet": 0.82, "resnet152": 0.81, "sam": 0.6}
    records = [r for m, v in values.items() for r in synthetic(model=m, values={"kappa_quadratic": [v]}, seeds=(0,))]
    made = paper_table(card, "table1", records)
    assert asked == [(list(values), "kappa_quadratic")], "columns of one cell or none are not tested"
    shown = {row.about["model"]: row.cells[0] for row in made.rows if row.cells[0].value is not None}
    assert {m: (c.rank, c.tied) for m, c in shown.items()} == {
        "dino": ("", False),
        "imagenet": ("best", False),  # the best is not tied with itself
        "resnet152": ("second", True),
        "sam": ("", False),
    }
    text = render(made, "text")
    assert "0.810²≈" in text
    assert "0.7" not in text.split("note:")[0]
    assert "≈ not distinguishable from the best: paired test" in text
    assert shown["dino"].low is None
    made = paper_table(card, "table1", records, intervals=True)
    assert "0.810²≈ [0.700, 0.900]" in render(made, "text")
    (row,) = [
        r
        for r in csv.DictReader(io.StringIO(render(made, "csv")))
        if r["model"] == "dino" and r["Classifier"] == "Linear"
    ]
    assert (row["aptos_kappa_quadratic_low"], row["aptos_kappa_quadratic_high"]) == ("0.7", "0.9")


def test_in_domain_models_are_filled(card, synthetic, tmp_path, monkeypatch):
    records = synthetic(model="resnet152@dino-pretrain", weights="trained", seeds=(0,))
    made = paper_table(card, "tableB1", records)
    assert cell(made, "resnet152@dino-pretrain", "aptos").n == 1
    assert not any("protocols dino-pretrain" in note for note in made.notes), "this version has it"
    own_cards(tmp_path, monkeypatch)
    for kind, name in (("model_zoo", "resnet152"), ("protocols", "dino-pretrain")):
        (tmp_path / kind / f"{name}.yaml").write_text(MODEL % ("ab" * 8))
    assert paper_table(card, "tableB1", []).commands == (
        "medbench table wacv2024/tableB1 --fill",
        "medbench run --model resnet152,resnet152@dino-pretrain,dinov2 --protocol linear-frozen --dataset aptos,ddsm",
    )


def broken(card: PaperCard, **changes) -> dict:
    content = card.model_dump()
    content["tables"]["table3"] |= changes
    return content


def test_a_card_whose_gains_refer_to_nothing_is_refused(card):
    rows = card.model_dump()["tables"]["table3"]["rows"]
    for changes, said in (
        ({"gain_over": "table9"}, "gain_over: 'table9' is no table of this paper"),
        ({"gain_over": "table1"}, "table1 has no row of sam with linear-unfrozen"),
        ({"gain_over": None}, "publishes gains, but gain_over names no table"),
        ({"rows": [rows[0] | {"gains": {"idrid": 1.0}}]}, "publishes idrid, which no column shows"),
        ({"rows": [rows[0] | {"average": 0.5}]}, "publishes an average, but the table has no such column"),
        ({"rows": [rows[0] | {"model": "a@b@c"}]}, "String should match pattern"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            PaperCard.model_validate(broken(card, **changes))
    PaperCard.model_validate(broken(card))


def test_rows_of_another_size_show_the_numbers_and_commands_of_that_size(shipped):
    paper = cards.find_paper("medmnistplus2025")
    made = paper_table(paper, "end-to-end", [], published=True)
    row = made.rows[10]
    assert (row.heads, row.section) == (("VGG16",), "64 pixels")
    assert [(one.published, one.published_std) for one in row.cells[:2]] == [(0.9820, 0.0016), (0.8782, 0.0209)]
    assert (row.cells[-1].published, row.cells[-1].published_std) == (0.8533, 0.0116)
    assert "--dataset medmnist--bloodmnist_64 --preset medmnistplus --seeds 3" in row.cells[0].command
    hidden = paper_table(paper, "end-to-end", []).rows[10].cells[-1]
    assert hidden.published is hidden.published_std is None


def test_numbers_read_off_a_figure_are_marked(shipped):
    made = paper_table(cards.find_paper("mansoori2025"), "models", [], published=True)
    assert any("published (read off a figure, ± 0.0005), and ours" in note for note in made.notes)


def test_further_metrics_are_computed_with_intervals_for_each_data_set(tmp_path):
    make_paper_records(tmp_path, predictions=True, datasets=["ddsm", "isic2019"])
    card = cards.find_paper("wacv2024")
    found = paper_table(card, "table1", read_all(tmp_path), intervals=True, metrics=["ece", "accuracy"])
    more = [column for column in found.columns if column.metric in ("ece", "accuracy")]
    assert [column.id for column in more] == ["ddsm_ece", "isic2019_ece", "ddsm_accuracy", "isic2019_accuracy"]
    (group,) = [
        group
        for group in collect(read_all(tmp_path))
        if group.place[:3] == ("ddsm", "dinov2", "linear-frozen") and not group.options
    ]
    expected = measured(group, ["ece"], intervals=True)["ece"]
    cells = next(row.cells for row in found.rows if row.heads == ("Linear", "Dinov2"))
    ece, accuracy = (
        cells[[column.id for column in found.columns].index(f"ddsm_{name}")] for name in ("ece", "accuracy")
    )
    assert (ece.value, ece.low, ece.high) == (expected.value, expected.low, expected.high)
    assert accuracy.value == group.summary("accuracy")[0]
    assert accuracy.low < accuracy.value < accuracy.high
    assert [c.id for c in chosen(found, ["ece"]).columns] == ["ddsm_ece", "isic2019_ece"]
