"""YAML to card: what is read, and where its faults are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medbench.cards import load
from medbench.cards.dataset import DatasetCard
from medbench.cards.load import load_card, read_yaml
from medbench.errors import CardError

CARD = """task: binary
classes: [a, b]
metric: auroc
layout: {kind: folders}
splits:
  default: s
  rules:
    s: {method: stratified}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(CARD)
    return path


def test_a_card_is_named_after_its_file_and_lies_in_its_folder(file: Path) -> None:
    card = load_card(file, DatasetCard)
    assert (card.name, card.folder) == ("mine", file.parent)


def test_all_faults_at_once_each_with_its_line_and_field(file: Path) -> None:
    text = CARD.replace("task: binary", "taks: binary").replace("stratified", "sorted")
    file.write_text(text)
    with pytest.raises(CardError) as caught:
        load_card(file, DatasetCard)
    lines = caught.value.message.split("\n")
    for start in (":1: task: missing field", ":1: taks: unknown field, did you mean"):
        assert sum(line.startswith(f"{file}{start}") for line in lines) == 1, start
    assert sum(line.startswith(f"{file}:8: splits.rules.s.method: ") for line in lines) == 1
    assert len(lines) == 3
    assert f"medbench validate {file}" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", r"mine\.yaml:3: not YAML: duplicate key 'a'"),
        ("a: 1\nb: [1", r"mine\.yaml:3: not YAML"),
        ("a: !!python/object:os.system {}", "not YAML"),
        ("a: \x01", "not a YAML text file"),
    ],
)
def test_what_is_not_yaml(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(CardError, match=words):
        read_yaml(file)


def test_files_that_are_no_card(file: Path) -> None:
    file.write_text("- a\n")
    with pytest.raises(CardError, match=r"mine\.yaml:1: a card is a mapping of fields"):
        load_card(file, DatasetCard)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError, match="not a YAML text file"):
        load_card(file, DatasetCard)
    file.unlink()
    with pytest.raises(CardError, match="cannot read the card"):
        load_card(file, DatasetCard)


def test_a_text_is_checked_once_and_what_has_changed_is_read_again(file: Path, monkeypatch) -> None:
    before, stamp = load_card(file, DatasetCard), file.stat()
    with monkeypatch.context() as patch:
        patch.setattr(load, "parse_yaml", None)
        again = load_card(file, DatasetCard)
    assert again == before
    again.links["other"] = "https://example.org"
    assert load_card(file, DatasetCard) == before, "what is changed in one is not changed in another"
    file.write_text(CARD.replace("[a, b]", "[a, c]"))
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert file.stat().st_size == stamp.st_size
    assert load_card(file, DatasetCard) != before
    file.write_text("x: [")
    for _ in range(2):
        with pytest.raises(CardError):
            load_card(file, DatasetCard)
