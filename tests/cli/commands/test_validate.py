"""`medbench validate`."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("folder", ["model_zoo", "datasets", "protocols", "results/published"])
def test_the_shipped_cards_are_valid(medbench, folder):
    done = medbench("validate", ROOT / folder)
    assert done.status == 0, done.err
    assert len(done.out.splitlines()) == len(list((ROOT / folder).glob("*.yaml")))


def test_all_faults_at_once_with_file_line_and_field(medbench, tmp_path):
    card = tmp_path / "mine.yaml"
    card.write_text(
        "title: x\nlayout: {kind: folders}\ntask: ternary\nmetrik: auroc\n"
        "splits:\n  default: s\n  rules:\n    s: {method: stratified, val: 2}\n"
    )
    done = medbench("validate", card)
    assert (done.status, done.out) == (2, "")
    for fault in (":3: task: ", ":4: metrik: unknown field, did you mean 'metric'?", ":8: splits.rules.s.val: "):
        assert f"{card}{fault}" in done.err
    assert f"{card}:1: classes: missing field" in done.err
    assert done.err.splitlines()[-1] == "hint: 4 error(s); fix these lines, then run medbench validate again"


def test_good_and_bad_cards_together(medbench, tmp_path):
    (tmp_path / "bad.yaml").write_text("arch: [\n}")
    done = medbench("validate", tmp_path / "bad.yaml", ROOT / "datasets" / "toy.yaml")
    assert done.status == 2
    assert "toy.yaml: valid data set card" in done.out
    assert "bad.yaml:2: not YAML" in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "unclear whether"),
        ("- 1", "unclear whether"),
        ("title: x", "unclear whether"),
        ("arch: a\narch: b", "duplicate key"),
    ],
)
def test_files_that_are_no_card(medbench, tmp_path, text, said):
    card = tmp_path / "card.yaml"
    card.write_text(text)
    done = medbench("validate", card)
    assert done.status == 2
    assert said in done.err


def test_binary_missing_and_empty_places(medbench, tmp_path):
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "b.yaml", tmp_path / "none.yaml", tmp_path / "empty"):
        done = medbench("validate", place)
        assert done.status == 2
        assert str(place) in done.err
        assert "Traceback" not in done.err
