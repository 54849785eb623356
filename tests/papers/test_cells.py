"""The cells of a paper: what its tables and figures need, each once."""

from __future__ import annotations

from medbench import cards
from medbench.papers.cells import CellSpec, cells_of, lacking, wanted_of


def named(cells) -> dict[str, CellSpec]:
    return {one.name: one for one in cells}


def test_every_cell_is_there_once_with_all_places_that_show_it(paper):
    assert {(one.name, one.split): one.places for one in wanted_of(paper)} == {
        ("dino · linear-frozen · aptos", "grouped"): ("t1", "t2"),
        ("dino · linear-frozen · ddsm", None): ("t1", "t2", "bars"),
        ("dino · knn · aptos, k=7", "stratified"): ("t1",),
        ("dino · knn · ddsm, k=7", "stratified"): ("t1",),
        ("dino · linear-frozen · aptos, image_size=448", None): ("t2",),
        ("sam · knn · ddsm", None): ("bars",),
        ("dino · freeze · aptos", None): ("curves",),
        ("dino · linear-unfrozen · aptos", None): ("curves",),
        ("dino · linear-frozen · aptos", None): ("curves",),
    }


def test_the_largest_number_of_repeats_counts(paper):
    wanted = named(wanted_of(paper))
    assert wanted["dino · linear-frozen · ddsm"].seeds == 5, "the table asks for 2, the figure for 5"
    assert wanted["dino · knn · aptos, k=7"].seeds == 3, "a row may have its own number"
    assert wanted["dino · linear-frozen · ddsm"].metric == "auroc", "the metric of the first place"


def test_the_split_is_that_of_the_row_then_of_the_table(paper):
    wanted = named(wanted_of(paper, ["t1"]))
    assert {name: one.split for name, one in wanted.items()} == {
        "dino · linear-frozen · aptos": "grouped",
        "dino · linear-frozen · ddsm": None,
        "dino · knn · aptos, k=7": "stratified",
        "dino · knn · ddsm, k=7": "stratified",
    }


def test_another_split_or_preset_is_another_cell(paper):
    first, *_ = wanted_of(paper, ["t1"])
    assert first.key == CellSpec("dino", "linear-frozen", "aptos", seeds=9, split="grouped").key
    assert first.key != CellSpec("dino", "linear-frozen", "aptos").key
    assert first.key != CellSpec("dino", "linear-frozen", "aptos", split="grouped", preset="fixed").key


def test_only_the_tables_and_figures_that_are_named(paper):
    assert list(named(wanted_of(paper, ["bars"]))) == ["dino · linear-frozen · ddsm", "sam · knn · ddsm"]
    gains = wanted_of(paper, ["t2"])
    assert [(one.name, one.preset) for one in gains] == [
        ("dino · linear-frozen · aptos, image_size=448", "fixed"),
        ("dino · linear-frozen · aptos", "paper"),  # its gains are measured from this row of t1
        ("dino · linear-frozen · ddsm", "paper"),
    ]


def test_a_sweep_has_a_part_for_each_value_between_its_ends(paper):
    sweep = named(wanted_of(paper, ["curves"]))["dino · freeze · aptos"]
    assert sweep.sweep == ("frozen", 3)
    assert [(part.set, part.sweep) for part in sweep.parts()] == [({"frozen": 1}, None), ({"frozen": 2}, None)]
    plain = CellSpec("dino", "knn", "aptos")
    assert plain.parts() == [plain]


def test_cells_are_in_the_order_of_the_table(paper):
    table = paper.tables["t1"]
    assert [[(one.protocol, one.dataset) for one in row] for row in cells_of(table, "t1")] == [
        [("linear-frozen", "aptos"), ("linear-frozen", "ddsm")],
        [("knn", "aptos"), ("knn", "ddsm")],
    ]


def test_cards_that_a_cell_lacks():
    assert lacking(CellSpec("dino", "knn", "aptos")) == []
    assert lacking(CellSpec("dion", "kmm", "atpos")) == [
        ("models", "dion"),
        ("protocols", "kmm"),
        ("datasets", "atpos"),
    ]
    assert lacking(CellSpec("dino@later", "knn", "aptos")) == [("protocols", "later")]
    assert lacking(CellSpec("dino@linear-frozen", "knn", "aptos")) == []
    known = {"models": {"mine"}, "protocols": {"knn"}, "datasets": set()}
    assert lacking(CellSpec("mine", "knn", "aptos"), known) == [("datasets", "aptos")]


def test_shipped_papers_lack_no_card_but_those_of_vmamba():
    """No library that medbench uses has VMamba."""
    for name in cards.names("papers"):
        wanted = wanted_of(cards.find_paper(name))
        assert wanted
        known = {kind: set(cards.names(kind)) for kind in ("models", "protocols", "datasets")}
        assert {pair for one in wanted for pair in lacking(one, known)} <= {
            ("models", "vmamba-small"),
            ("models", "vmamba-base"),
        }


def test_a_row_may_show_another_size_of_the_sets_of_medmnist():
    wanted = wanted_of(cards.find_paper("medmnistplus2025"), ["knn"])
    assert len(wanted) == 12 * 10 * 4
    assert [one.dataset for one in wanted if one.model == "vgg16"][11:13] == [
        "medmnist--tissuemnist",
        "medmnist--bloodmnist_64",
    ]
    assert lacking(wanted[0]) == []
    assert lacking(CellSpec("dino", "knn", "medmnist--bloodmnist_65")) == [("datasets", "medmnist--bloodmnist_65")]
