"""What a data set card fills in and refuses: class names for numbers, the usual metric, the folder of the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.cards.dataset import METRICS, DatasetCard
from medbench.cards.load import load_card
from medbench.errors import CardError

CARD = """
layout: {kind: csv, tables: [{file: labels.csv}], image: "{image}", label: label, values: {%s}}
task: %s
classes: [%s]
splits: {default: s, rules: {s: {method: stratified}}}
"""


def loaded(
    folder: Path, values: str, classes: str = "healthy, ill", task: str = "binary", more: str = ""
) -> DatasetCard:
    (folder / "mine.yaml").write_text(CARD % (values, task, classes) + more)
    return load_card(folder / "mine.yaml", DatasetCard)


def test_values_name_classes_and_numbers_are_texts(tmp_path: Path) -> None:
    card = loaded(tmp_path, "0: healthy, 1.5: ill, 0012: 1, '*': healthy")
    assert dict(card.layout.values) == {"0": 0, "1.5": 1, "0012": 1, "*": 0}


def test_a_class_called_like_a_number_is_named_in_quotes(tmp_path: Path) -> None:
    assert dict(loaded(tmp_path, "a: '1', b: 1", "1, 0").layout.values) == {"a": 0, "b": 1}


def test_folders_name_classes_too(tmp_path: Path) -> None:
    text = CARD.replace("kind: csv", "kind: folders").replace("folders, tables: [{file: labels.csv}]", "folders")
    text = text.replace(', image: "{image}", label: label, values', ", folders")
    (tmp_path / "mine.yaml").write_text(text % ("0: ill, Normal: healthy", "binary", "healthy, ill"))
    assert dict(load_card(tmp_path / "mine.yaml", DatasetCard).layout.folders) == {"0": 1, "Normal": 0}


@pytest.mark.parametrize(
    ("values", "classes", "words"),
    [
        ("a: sick", "healthy, ill", "mine.yaml:2: layout.values.a: 'sick' is neither a class of the card nor"),
        ("yes: 1", "healthy, ill", "YAML reads this as True: put the text in quotes"),
        ("", "no, mild", "mine.yaml:4: classes.0: YAML reads this as False: put the text in quotes"),
    ],
)
def test_what_is_no_class_or_has_lost_its_text(tmp_path: Path, values: str, classes: str, words: str) -> None:
    with pytest.raises(CardError) as caught:
        loaded(tmp_path, values, classes)
    assert words in caught.value.message


@pytest.mark.parametrize("task", METRICS)
def test_the_metric_follows_from_the_task(tmp_path: Path, task: str) -> None:
    text = CARD % ("", task, "a, b")
    (tmp_path / "mine.yaml").write_text(
        text.replace("label:", "separator: '|', label:") if task == "multilabel" else text
    )
    assert load_card(tmp_path / "mine.yaml", DatasetCard).metric == METRICS[task]  # type: ignore[index]
    assert loaded(tmp_path, "", more="metric: f1_macro\n").metric == "f1_macro"


@pytest.mark.parametrize(
    ("folder", "root", "found"),
    [
        ("cards", "data", "cards/data"),
        ("cards", ".", "cards"),
        ("cards", "a/../b", "cards/b"),
        ("datasets", "../clinic", "clinic"),
        ("cards", "../clinic", None),
        ("datasets", "../../clinic", None),
        ("cards", "/etc", None),
    ],
)
def test_root_lies_below_the_card(tmp_path: Path, folder: str, root: str, found: str | None) -> None:
    (tmp_path / folder).mkdir()
    card = loaded(tmp_path / folder, "", more=f"root: {root}\n")
    if found is not None:
        assert card.data_folder() == tmp_path / found
        return
    with pytest.raises(CardError, match=r"root: '.*' is not below"):
        card.data_folder()


def test_classes_by_number(tmp_path: Path) -> None:
    text = CARD.replace("[%s]", "{%s}")
    (tmp_path / "mine.yaml").write_text(text % ("x: ill", "binary", "1: ill, 0: healthy"))
    card = load_card(tmp_path / "mine.yaml", DatasetCard)
    assert (card.class_names, dict(card.layout.values)) == (["healthy", "ill"], {"x": 1})
    (tmp_path / "mine.yaml").write_text(text % ("", "binary", "1: ill, 2: healthy"))
    with pytest.raises(CardError, match="the numbers 1, 2 do not run from 0 to 1"):
        load_card(tmp_path / "mine.yaml", DatasetCard)
