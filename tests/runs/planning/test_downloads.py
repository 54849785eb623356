"""What must be downloaded: sizes of cards, sizes that follow from parameters, and sizes that nobody knows."""

from __future__ import annotations

from pathlib import Path

from medbench import cards
from medbench.models.weights.locate import place
from medbench.runs.planning.downloads import of_datasets, of_models


def test_a_card_without_bytes_has_four_for_each_parameter_and_says_so(monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    known, guessed = of_models([cards.find_model("dinov2-small"), cards.find_model("resnet18")])
    assert (known.size, known.exact) == (cards.find_model("dinov2-small").weights.bytes, True)
    assert (guessed.size, guessed.exact) == (round(cards.find_model("resnet18").parameters * 4e6), False)
    assert guessed.source.startswith("https://")


def test_a_file_with_a_text_tower_has_no_estimate_and_a_vocabulary_is_a_file_of_its_own(monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    weights, vocabulary = of_models([cards.find_model("flair")])
    assert (weights.what, weights.size) == ("weights of flair", None)
    assert vocabulary.what == "vocabulary of flair"
    assert "vocab.txt" in vocabulary.source


def test_what_is_here_is_not_downloaded(isolated: Path) -> None:
    card = cards.find_model("dinov2-small")
    place(card).parent.mkdir(parents=True)
    place(card).write_bytes(b"weights")
    assert list(of_models([card, cards.find_model("toy-vit")])) == []


def test_the_size_of_a_data_set_is_that_of_all_its_files() -> None:
    known, unknown = of_datasets([cards.find_dataset("fives"), cards.find_dataset("aptos")])
    assert (known.size, known.exact) == (sum(file.bytes for file in cards.find_dataset("fives").access.files), True)
    assert (unknown.size, unknown.access) == (None, "kaggle")
    assert unknown.is_data
