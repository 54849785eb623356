"""The sets of MedMNIST: their cards, their names, and the list they are made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench import cards
from medbench.cards.catalogues.medmnist import Catalogue, catalogue, medmnist_names
from medbench.cards.find import expand, find_dataset
from medbench.cards.load import load_card
from medbench.errors import CardError


def test_cards_of_all_sets():
    flat = [name for name, listed in catalogue().sets.items() if not listed.volume]
    assert (len(catalogue().sets), len(flat)) == (18, 12)
    assert len(medmnist_names()) == 12 * 4 + 6 * 2
    tasks = {name: find_dataset(f"medmnist/{name}").task for name in flat}
    odd = {name: task for name, task in tasks.items() if task != "multiclass"}
    assert odd == {
        "chestmnist": "multilabel",
        "pneumoniamnist": "binary",
        "retinamnist": "ordinal",
        "breastmnist": "binary",
    }
    classes = [len(find_dataset(f"medmnist--{name}").classes) for name in flat]
    assert classes == [9, 14, 7, 4, 2, 5, 2, 8, 8, 11, 11, 11]
    assert sum(find_dataset(f"medmnist/{name}").counts.images for name in flat) == 708069 - 20 - 77 - 10
    volumes = [find_dataset(f"medmnist/{name}") for name in catalogue().sets if name not in flat]
    assert sum(card.counts.images for card in volumes) == 9998, "of the paper's abstract"
    assert [len(card.classes) for card in volumes] == [11, 2, 2, 3, 2, 2]
    for name in medmnist_names():
        card = find_dataset(name)
        assert card.name == name
        assert card.layout.file == name.partition("--")[2] + ".npz"
        assert card.counts.images == sum(card.counts.splits.values())
        assert card.access.files[0].name == card.layout.file


def test_both_spellings_and_globs():
    assert find_dataset("medmnist/pathmnist_224") == find_dataset("medmnist--pathmnist_224")
    assert find_dataset("medmnist/pathmnist_28").name == "medmnist--pathmnist"
    assert expand("datasets", "medmnist/octmnist,aptos,medmnist--octmnist") == ["medmnist--octmnist", "aptos"]
    assert expand("datasets", "medmnist/*mnist") == [
        f"medmnist--{name}" for name, listed in catalogue().sets.items() if not listed.volume
    ]
    assert expand("datasets", "medmnist/organ?mnist_64") == [f"medmnist--organ{x}mnist_64" for x in "acs"]
    for word in ("medmnist/pathmnst", "medmnist--pathmnist_32", "medmnist/nodulemnist3d_224"):
        with pytest.raises(CardError, match="unknown MedMNIST set"):
            expand("datasets", word)
    with pytest.raises(CardError, match="did you mean: pathmnist"):
        find_dataset("medmnist/pathmnst")
    with pytest.raises(CardError, match="unknown data set"):
        expand("datasets", "medmnist/x*")
    assert not [name for name in cards.names("datasets") if name.startswith("medmnist")]


def test_a_fault_in_the_list_is_told_with_its_line(repo: Path, tmp_path: Path) -> None:
    text = (repo / "datasets" / "catalogues" / "medmnist.yaml").read_text(encoding="utf-8")
    file = tmp_path / "medmnist.yaml"
    file.write_text(text.replace("task: ordinal", "task: graded").replace("splits: {train: 546, val: 78,", "splits: {"))
    with pytest.raises(CardError) as caught:
        load_card(file, Catalogue)
    line = text[: text.index("task: ordinal")].count("\n") + 1
    assert f"medmnist.yaml:{line}: sets.retinamnist.task: Input should be 'binary'" in str(caught.value)
    assert "sets.breastmnist.splits: Dictionary should have at least 3 items" in str(caught.value)
