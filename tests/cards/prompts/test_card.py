from __future__ import annotations

import pytest

from medbench.cards.find import find_prompts, load_any, names
from medbench.cards.prompts.card import PromptsCard, filled
from medbench.errors import CardError


def written(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_template_takes_the_name_once():
    assert filled("a photo of {}.", "a {} in braces") == "a photo of a {} in braces."
    assert filled(None, "glaucoma") == "glaucoma"


def test_a_bare_mapping_is_a_card(tmp_path):
    bare = find_prompts(written(tmp_path, "no glaucoma: [a healthy disc]\n0: [a cup, 7]\n"))
    assert bare.prompts == {"no glaucoma": ["a healthy disc"], "0": ["a cup", "7"]}
    assert (bare.name, bare.template, bare.append_name) == ("mine", None, False)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("glaucoma: [a]\nnormal: []\n", "mine.yaml:2: normal: List should have at least 1 item"),
        ("glaucoma: [a]\nnormal: ['  ']\n", "mine.yaml:2: normal.0: the text is empty"),
        ("glaucoma: [a]\nnormal: a text\n", "mine.yaml:2: normal: Input should be a valid list"),
        ("prompts:\n  a: [b]\ntemplate: a photo\n", "mine.yaml:3: template: 'a photo' needs one {}"),
        ("prompts:\n  a: [b]\ntemplat: x {}\n", "mine.yaml:3: templat: unknown field, did you mean 'template'?"),
        ("glaucoma: ['a photo of {}']\n", "mine.yaml:1: glaucoma.0: 'a photo of {}' has {}, which only a template may"),
        ("a: [b]\na: [c]\n", "mine.yaml:2: not YAML: duplicate key 'a'"),
        ("", "a card is a mapping"),
    ],
)
def test_faults_name_the_line(tmp_path, text, fault):
    with pytest.raises(CardError) as caught:
        find_prompts(written(tmp_path, text))
    assert fault in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("name", ["my texts.yaml", "my texts.yml", "-x.yaml", "ä.yaml"])
def test_a_file_whose_name_is_no_cards_name_is_to_be_renamed(tmp_path, name):
    (tmp_path / name).write_text("a: [b]\n")
    with pytest.raises(CardError, match=r"the file name must be a valid card name, and '.*' is not") as caught:
        find_prompts(str(tmp_path / name))
    assert "rename the file" in caught.value.hint


def test_cards_may_end_in_yml(tmp_path, monkeypatch):
    (tmp_path / "datasets" / "prompts").mkdir(parents=True)
    (tmp_path / "datasets" / "prompts" / "short.yml").write_text("a: [b]\n")
    monkeypatch.chdir(tmp_path)
    assert "short" in names("prompts")
    assert find_prompts("short").prompts == find_prompts("datasets/prompts/short.yml").prompts == {"a": ["b"]}


def test_a_full_card_is_told_by_its_fields(tmp_path):
    kind, card, _ = load_any(written(tmp_path, "prompts: {a: [b]}\ntemplate: 'x {}'\n"))
    assert kind == "prompts"
    assert isinstance(card, PromptsCard)


def test_the_transcription_is_complete(shared):
    import yaml

    found = yaml.safe_load((shared / "published" / "fundus_prompts.yaml").read_text(encoding="utf-8"))
    assert find_prompts("flair-expert").prompts == found
    assert {"flair-expert", "flair-code"} <= {*names("prompts")}
