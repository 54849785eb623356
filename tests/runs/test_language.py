"""The texts of a job's classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medbench.cards import find_dataset, find_model
from medbench.cards.recipes import Clap, Knn, ZeroShot
from medbench.errors import CardError, WeightsError
from medbench.runs.jobs import Options
from medbench.runs.language import JobLanguage
from medbench.runs.plan import make_plan
from medbench.storage import paths


def test_a_protocol_without_texts_has_no_language() -> None:
    assert JobLanguage.of(find_model("toy-vit"), find_dataset("toy"), Knn()) is None


def test_a_model_without_text_tower_is_refused() -> None:
    with pytest.raises(CardError, match="toy-vit has no text tower") as told:
        JobLanguage.of(find_model("toy-vit"), find_dataset("toy"), ZeroShot())
    assert "clip" in told.value.hint


def test_all_texts_are_in_the_record() -> None:
    found = JobLanguage.of(find_model("toy-clip"), find_dataset("idrid"), ZeroShot(prompts="names"))
    assert found is not None
    told = found.described()
    assert told["sets"]["names"]["texts"][1] == ("a photo of mild diabetic retinopathy.",)
    assert told["prompts"] == "names"
    assert set(told["sets"]) > {"names"}


def key(**changes: object) -> str:
    (job,) = make_plan("toy-clip", "zero-shot", "toy-multiclass", Options(changes=changes)).jobs
    return job.group


def test_texts_are_in_the_key_and_not_where_they_come_from() -> None:
    plain = key()
    assert key(template="a photo of {}.") == plain
    assert key(template="a drawing of {}.") != plain
    assert key(prototype="flair") != plain
    assert key(scale=50.0) != plain


def test_only_zero_shot_has_further_texts_and_its_key_holds_them() -> None:
    model, data = find_model("toy-clip"), find_dataset("idrid")
    few, zero = (JobLanguage.of(model, data, settings) for settings in (Clap(), ZeroShot()))
    assert few is not None
    assert zero is not None
    assert few.prompts == zero.prompts
    assert (few.others, bool(zero.others)) == ((), True)


def test_the_text_tower_is_that_of_the_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = find_model("toy-clip").model_dump(mode="json", exclude_defaults=True)["text"] | {"template": "my {}"}
    path = tmp_path / "other.yaml"
    content = find_model("toy-clip").model_dump(mode="json", exclude_defaults=True)
    path.write_text(json.dumps(content | {"name": "other", "presets": {"fixed": {"text": text}}}))
    for preset, first in (("paper", "a photo of disc."), ("fixed", "my disc")):
        options = Options(preset=preset, changes={"prompts": "names"})
        (job,) = make_plan(str(path), "zero-shot", "toy-multiclass", options).jobs
        assert job.language is not None
        assert job.language.prompts.texts[0][0] == first


def test_another_feature_than_that_of_the_texts_is_refused() -> None:
    with pytest.raises(CardError, match="pooled=last4: the text embeddings of toy-clip belong to another feature"):
        JobLanguage.of(find_model("toy-clip"), find_dataset("toy"), ZeroShot(pooled="last4"))


def test_two_cards_of_one_network_are_two_jobs() -> None:
    jobs = make_plan("toy-clip,toy-vit", "knn", "toy-binary", Options(changes={"transform": "native"})).jobs
    assert [job.model.name for job in jobs] == ["toy-clip", "toy-vit"]


def test_the_feature_is_that_of_the_shared_space(tmp_path: Path) -> None:
    folder = paths.home() / "weights" / "emilyalsentzer--Bio_ClinicalBERT"
    with pytest.raises(WeightsError, match=r"the vocabulary of flair \(vocab.txt\) is not in") as told:
        make_plan("flair", "zero-shot", "toy-multiclass", Options(weights="random", download=False))
    assert "medbench weights download flair" in told.value.hint
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("[PAD]")
    with pytest.raises(WeightsError, match="is not the file of the card flair"):
        make_plan("flair", "zero-shot", "toy-multiclass", Options(weights="random"))
    text = find_model("flair").text
    assert text is not None
    assert find_model("flair").resolved(pooled=text.image).features.dim == text.dim
