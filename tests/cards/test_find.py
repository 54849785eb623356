"""Cards by name, glob and file, and the kind of a card."""

from __future__ import annotations

import pytest

from medbench.cards import find
from medbench.cards.find import card_files, dataset_kind, expand, faults_of, find_model, kind_of, load_any, trained
from medbench.errors import CardError


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("arch: resnet50", "models"),
        ("library: timm\narhc: resnet50", "models"),
        ("task: binary\nclasses: [a, b]", "datasets"),
        ("kind: knn\npresets: {paper: {}}", "protocols"),
        ("tables: {}", "papers"),
        ("template: 'x {}'", "prompts"),
        ("glaucoma: [a text]\nnormal: []", "prompts"),
    ],
)
def test_the_kind_is_told_by_the_fields(tmp_path, text, kind):
    card = tmp_path / "card.yaml"
    card.write_text(text)
    assert kind_of(card) == kind


def test_the_folder_tells_before_the_fields(tmp_path):
    (tmp_path / "protocols").mkdir()
    card = tmp_path / "protocols" / "x.yaml"
    card.write_text("arch: resnet50")
    assert kind_of(card) == "protocols"


def test_names_lists_globs_and_files_are_expanded_once_in_order(tmp_path):
    card = tmp_path / "mine.yaml"
    card.write_text("arch: a")
    assert expand("models", f"toy-vit, {card},toy-*") == ["toy-vit", str(card), "toy-clip", "toy-cnn"]
    assert expand("models", ["timm/resnet18", "toy-vit@dino-pretrain"]) == ["timm/resnet18", "toy-vit@dino-pretrain"]
    assert expand("datasets", [str(tmp_path)]) == [str(tmp_path)], "a folder of one's own"
    for words, said in (
        ("toy-vti", "unknown model 'toy-vti'"),
        ("toy-vit@nothing", "unknown model 'toy-vit@nothing'"),
        ("nothing*", r"unknown model 'nothing\*'"),
        (" , ", "no model was named"),
    ):
        with pytest.raises(CardError, match=said):
            expand("models", words)


def test_a_made_encoder_is_the_card_without_its_file():
    assert trained("a/b@dino-pretrain") == ("a/b", "dino-pretrain")
    assert trained("toy-vit") == ("toy-vit", "")
    assert trained("mail@Home") == ("mail@Home", "")
    plain, made = find_model("retfound"), find_model("retfound@dino-pretrain")
    assert (made.name, made.arch, made.input) == ("retfound@dino-pretrain", plain.arch, plain.input)
    assert made.weights.filename is None
    assert made.weights.licence == plain.weights.licence


def test_what_a_data_sets_name_means(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("clinic", "aptos"):
        (tmp_path / folder).mkdir()
    for name, kind in (
        ("labels.CSV", "labels"),
        ("a/labels.tsv", "labels"),
        ("clinic", "folder"),
        ("aptos", "card"),  # a card comes before a folder of its name
        ("mine.yaml", "card"),
        ("medmnist/octmnist", "card"),
        ("nowhere", "card"),
    ):
        assert dataset_kind(name) == kind


def test_own_cards_come_first_and_are_called_as_their_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDBENCH_CARDS", str(tmp_path))
    (tmp_path / "model_zoo").mkdir()
    (tmp_path / "model_zoo" / "toy-vit.yaml").write_text("arch: mine")
    assert card_files("models")["toy-vit"] == tmp_path / "model_zoo" / "toy-vit.yaml"
    assert find_model("toy-vit").arch == "mine"
    (tmp_path / "model_zoo" / "toy-vit.yaml").write_text("name: other\narch: mine")
    with pytest.raises(CardError, match="name: 'other' differs from the file name"):
        find_model("toy-vit")
    with pytest.raises(CardError, match="no card file"):
        find_model(str(tmp_path / "none.yaml"))


def test_the_faults_of_a_card(tmp_path):
    card = tmp_path / "x.yaml"
    card.write_text("arch: a\nunits: -1\nfetures: {}\n")
    assert [fault.split(": ", 2)[:2] for fault in faults_of(card)] == [[f"{card}:2", "units"], [f"{card}:3", "fetures"]]
    card.write_text("arch: a\n")
    assert faults_of(card) == []
    assert load_any(str(card))[0] == "models"


def test_a_path_may_have_commas_and_brackets(tmp_path):
    odd = tmp_path / "my,set [1]*"
    odd.mkdir()
    (odd / "a,b.csv").touch()
    words = f"toy, {odd / 'a,b.csv'},{odd}"
    assert expand("datasets", words) == ["toy", str(odd / "a,b.csv"), str(odd)]
    assert len(expand("models", ",".join(["toy-cnn"] * 100))) == 1, "longer than any path"


@pytest.mark.parametrize("word", ["labels.csv", "no/folder", "no/table.tsv"])
def test_a_path_that_is_not_there_is_told_as_such(word: str) -> None:
    with pytest.raises(CardError, match=f"there is no file or folder {word}"):
        expand("datasets", word)


def test_one_card_is_found_without_a_list_of_all(tmp_path, monkeypatch):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mine.yaml").write_text("{}")
    monkeypatch.setenv("MEDBENCH_CARDS", str(tmp_path))
    for kind in find.SCHEMAS:
        assert {name: find.card_file(kind, name) for name in find.names(kind)} == find.card_files(kind)
    (tmp_path / "datasets" / "folder.yaml").mkdir()
    monkeypatch.setattr(find, "card_files", lambda kind: pytest.fail("all cards were listed"))
    assert find.card_file("datasets", "mine") == tmp_path / "datasets" / "mine.yaml"
    for name in ("folder", "none", "", "../datasets/mine", "datasets\\mine", "a" * 5000, "nul\0"):
        assert not find.is_card("datasets", name)
