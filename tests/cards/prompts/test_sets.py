from __future__ import annotations

import json

import pytest

from medbench.cards import DatasetCard, find_dataset
from medbench.cards.prompts.sets import chosen, prompt_sets
from medbench.cards.recipes import ZeroShot
from medbench.errors import CardError


def card(task="multiclass", classes=("a", "b", "c")):
    layout = {"kind": "toy", "n": 9, "size": 8, "recipe": "findings"} if task == "multilabel" else {"kind": "folders"}
    splits = {"default": "x", "rules": {"x": {"method": "stratified", "seed": 0, "val": 0.1, "test": 0.1}}}
    return DatasetCard.model_validate(
        {"name": "made", "task": task, "classes": list(classes), "layout": layout, "splits": splits}
    )


DESCRIBED = (
    {"name": "normal", "terms": ["healthy"], "prompts": ["a scan of a healthy eye"]},
    {"name": "glaucoma", "terms": ["glaucoma", "a large cup"]},
)


def own(folder, text):
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    return str(folder / "mine.yaml")


def test_a_template_goes_around_names_and_terms_alone():
    described = chosen(card(classes=DESCRIBED), "card", own="a photo of {}.")
    assert described.texts == (
        ("a photo of healthy.", "a scan of a healthy eye"),
        ("a photo of glaucoma.", "a photo of a large cup."),
    )
    assert chosen(card(classes=DESCRIBED), "names", own="a photo of {}.").texts == (
        ("a photo of normal.",),
        ("a photo of glaucoma.",),
    )
    assert chosen(card(classes=DESCRIBED), "names", template="my {}", own="a photo of {}.").texts[0] == ("my normal",)
    assert chosen(card(classes=DESCRIBED), "names").texts[0] == ("normal",)


def test_auto_takes_the_cards_prompts_where_every_class_has_some():
    assert chosen(card(classes=DESCRIBED)).source == "card"
    assert chosen(card(classes=(*DESCRIBED, "other"))).source == "names"
    with pytest.raises(CardError, match="the class 'other' has no prompts"):
        chosen(card(classes=(*DESCRIBED, "other")), "card")


def test_a_users_file_is_taken_as_it_is(tmp_path):
    found = chosen(card(), own(tmp_path, "b: [two]\na: [one, more]\nc: [three]\n"), template="my {}", own="the {}")
    assert found.texts == (("one", "more"), ("two",), ("three",))
    assert found.template is None
    templated = own(tmp_path, "template: 'x {}'\nprompts: {a: [one], b: [two], c: [three]}\n")
    assert chosen(card(), templated).texts[0] == ("x one",)
    assert chosen(card(), templated, template="my {}").texts[0] == ("my one",)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a: [x]\nb: [x]\nglaucma: [x]\nc: [x]\n", "mine.yaml:3: made has no class 'glaucma'", "known: a, b, c"),
        ("template: 'x {}'\nprompts:\n  a: [x]\n  q: [x]\n", "mine.yaml:4: made has no class 'q'", "known: a, b, c"),
        ("a: [x]\nc: [x]\n", "no text for the class 'b' of made", "add a line: b: ["),
    ],
)
def test_a_users_file_must_have_the_same_classes(tmp_path, text, message, hint):
    with pytest.raises(CardError) as caught:
        chosen(card(), own(tmp_path, text))
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_an_unknown_prompts_card_is_named():
    with pytest.raises(CardError, match="unknown set of prompts 'flair-expirt'") as caught:
        chosen(card(), "flair-expirt")
    assert "flair-expert" in caught.value.hint


def test_findings_have_texts_of_their_absence(tmp_path):
    findings = ({"name": "No Finding", "absent": ["a disease"]}, {"name": "Mass", "terms": ["mass"]}, "Edema")
    made = card("multilabel", findings)
    assert chosen(made, "names", own="x {}").negatives == (("x a disease",), ("x no Mass",), ("x no Edema",))
    described = card(
        "multilabel", ({**findings[1], "absent": ["clear"]}, {**findings[1], "name": "b", "prompts": ["B"]})
    )
    assert chosen(described, "card", own="x {}").negatives == (("x clear",), ("x no mass",))
    assert chosen(described, "names", own="x {}").negatives == (("x clear",), ("x no b",)), "paired with their names"
    file = own(tmp_path, "No Finding: [fine]\nMass: [a mass]\nno Mass: [no mass seen]\nEdema: [an edema]\n")
    assert chosen(made, file).negatives == (("a disease",), ("no mass seen",), ("no Edema",))
    assert chosen(card(), "names").negatives is None


def test_the_repositorys_prompts_are_those_of_the_official_code(shared):
    manifest = json.loads((shared / "parity_vl" / "flair_zero_shot" / "manifest.json").read_text(encoding="utf-8"))
    found = chosen(find_dataset("messidor2"), "flair-code", own="unused {}")
    assert found.template == manifest["template"].replace("[CLS]", "{}")
    assert [list(texts) for texts in found.texts] == list(manifest["prompts"].values())


def test_a_dictionary_adds_the_name_and_knows_more_classes():
    found = chosen(find_dataset("fives-flair"), "flair-expert", own="unused {}")
    assert [len(texts) for texts in found.texts] == [4, 4, 1, 4]
    assert found.texts[2] == ("A fundus photograph of diabetic retinopathy",)
    assert found.texts[3][-1] == "A fundus photograph of glaucoma"


def test_the_other_sets_are_those_that_describe_every_class():
    def found(dataset, which):
        return [one.source for one in prompt_sets(dataset, ZeroShot(prompts=which), "a {}")]

    assert found(find_dataset("idrid"), "card") == ["card", "names", "flair-code", "flair-expert"]
    assert found(find_dataset("idrid"), "flair-code") == ["flair-code", "names", "card", "flair-expert"]
    assert found(find_dataset("busi"), "auto") == ["card", "names"], "the dictionary of another field knows `normal`"
    assert found(card(), "auto") == ["names"]
    same = tuple({"name": name, "terms": [name]} for name in "abc")
    assert found(card(classes=same), "auto") == ["card"], "the same texts are one set"


def test_the_template_of_the_settings_goes_before_the_models():
    first, *_ = prompt_sets(card(), ZeroShot(template="my {}"), "a {}")
    assert first.texts[0] == ("my a",)
    assert first.material() == [(("my a",), ("my b",), ("my c",)), None]


def test_a_file_called_like_a_set_is_another_set(tmp_path):
    path = tmp_path / "names.yaml"
    path.write_text("a: [x]\nb: [y]\nc: [z]\n")
    sets = prompt_sets(card(), ZeroShot(prompts=str(path)), "a {}")
    assert [one.source for one in sets] == ["names.yaml", "names"]
    assert sets[0].texts == (("x",), ("y",), ("z",))


def test_a_broken_prompts_card_stops_only_runs_that_name_it(tmp_path, monkeypatch):
    folder = tmp_path / "datasets" / "prompts"
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text("prompts: {disc: []}\n")
    monkeypatch.chdir(tmp_path)
    assert [one.source for one in prompt_sets(card(), ZeroShot(), "a {}")] == ["names"]
    with pytest.raises(CardError, match="broken"):
        prompt_sets(card(), ZeroShot(prompts="broken"), "a {}")
