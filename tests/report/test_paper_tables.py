"""Papers' tables: the transcription against its source, and SYNTHETIC records in the cells."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
import yaml

from medbench import cards
from medbench.cards import PaperCard
from medbench.report import paper_table, render, table
from medbench.report.groups import SEEN, SEEN_MARK
from medbench.report.paper import RANDOM_MARK

SHARED = Path(__file__).parents[2].parent / "shared/published/wacv2024.yaml"
DATASETS = {"APTOS2019": "aptos", "DDSM": "ddsm", "ISIC2019": "isic2019", "CheXpert": "chexpert"}
TABLES = {"table1": "table_1", "table2": "table_2", "table3": "table_3", "tableB1": "table_B1", "tableB2": "table_B2"}
PROTOCOLS = {("Linear", True): "linear-frozen", ("Linear", False): "linear-unfrozen"}
PROTOCOLS |= {("DeiT-B", True): "deit-frozen", ("DeiT-B", False): "deit-unfrozen"}


@pytest.fixture
def card(shipped) -> PaperCard:
    return cards.find_paper("wacv2024")


@pytest.mark.skipif(not SHARED.is_file(), reason="the transcription to hold it against is not here")
@pytest.mark.parametrize("name", TABLES)
def test_every_cell_is_the_papers(card, name):
    source = yaml.safe_load(SHARED.read_text(encoding="utf-8"))["paper_tables"][TABLES[name]]
    rows = card.tables[name].rows
    assert len(rows) == len(source)
    for row, printed in zip(rows, source, strict=True):
        expected = {ours: printed[theirs] for theirs, ours in DATASETS.items()}
        assert row.published == ({d: v[:1] for d, v in expected.items()} if name == "table3" else expected)
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
    assert cell(paper_table(card, "table3", [], published=True), "sam", "ddsm", "linear-unfrozen").text == "(0.984)"
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
    said = any("also run otherwise" in note for note in made.notes)
    assert said == (other.get("weights") != "random" and "protocol" not in other)


def test_settings_of_the_row_must_be_those_of_the_record(card, synthetic):
    sized = synthetic(model="sam", protocol="linear-unfrozen", options={"image_size": 1024})
    plain = synthetic(model="sam", protocol="linear-unfrozen")
    for name, fits, other in (("table3", sized, plain), ("table2", plain, sized)):
        assert cell(paper_table(card, name, fits), "sam", "aptos", "linear-unfrozen").n == 5
        assert cell(paper_table(card, name, other), "sam", "aptos", "linear-unfrozen").n == 0


def test_random_weights_only_if_asked_and_never_before_real_ones(card, synthetic):
    random = synthetic(weights="random", seeds=range(9))
    made = paper_table(card, "table1", random, include_random=True)
    assert cell(made, "dinov2", "aptos").text.startswith(f"0.840 ± 0.027{RANDOM_MARK}")
    assert any("sanity" in note for note in made.notes)
    made = paper_table(card, "table1", random + synthetic(), include_random=True)
    assert cell(made, "dinov2", "aptos").text == "0.820 ± 0.016 n=5"


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
    assert made.commands == ("medbench run --model dino,dinov2 --protocol linear-frozen --dataset aptos,ddsm",)
    assert cell(made, "dinov2", "ddsm").command == "medbench run --model dinov2 --protocol linear-frozen --dataset ddsm"
    assert cell(made, "sam", "ddsm").command is None
    (note,) = [note for note in made.notes if "not in this version" in note]
    assert "models imagenet, resnet152, sam, seem, openclip, blip" in note
    assert "protocols deit-frozen" in note
    assert "datasets isic2019, chexpert" in note
    assert paper_table(card, "table3", []).commands == ()


def test_split_and_warnings_are_footnotes(card, synthetic):
    content = card.tables["table1"].model_copy(update={"splits": {"aptos": "wacv2024"}})
    told = card.model_copy(update={"tables": {"table1": content}})
    made = paper_table(told, "table1", synthetic(split="grouped", options={"split": "grouped"}, warnings=["edge"]))
    assert cell(made, "dinov2", "aptos").n == 5
    assert "dinov2 · linear-frozen · aptos: split 'grouped', the paper's is 'wacv2024'" in made.notes
    assert "dinov2 · linear-frozen · aptos: edge" in made.notes
    assert not any("split '" in note for note in paper_table(told, "table1", synthetic()).notes)


def test_by_name_from_the_store(synthetic, save, tmp_path, shipped):
    save(tmp_path / "runs", synthetic() + synthetic(dataset="other"))
    made = table("wacv2024/table1", tmp_path / "runs", published=True)
    frame = made.frame()
    assert frame.shape == (13, 4 + 4 * 6)
    row = frame[(frame["model"] == "dinov2") & (frame["protocol"] == "linear-frozen")].iloc[0]
    assert row["aptos_kappa_quadratic_mean"] == pytest.approx(0.82)
    assert row["aptos_kappa_quadratic_published"] == 0.881


def test_a_cell_of_a_model_that_has_seen_the_data_is_marked(card, synthetic):
    seen = synthetic(warnings=["contamination: dinov2 was pre-trained on aptos"])
    made = paper_table(card, "table1", seen)
    assert [cell.mark for row in made.rows for cell in row.cells if cell.value is not None] == [SEEN_MARK]
    assert SEEN in made.notes
    assert SEEN not in paper_table(card, "table1", synthetic()).notes
