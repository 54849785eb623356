"""What a job says of its classes in words."""

from __future__ import annotations

import pytest

from medbench.cards import find_dataset, find_model
from medbench.cards.recipes import Knn, ZeroShot
from medbench.errors import CardError
from medbench.runs.jobs import Options
from medbench.runs.language import JobLanguage
from medbench.runs.plan import make_plan


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


def test_the_feature_is_that_of_the_shared_space() -> None:
    (job,) = make_plan("flair", "zero-shot", "toy-multiclass", Options(weights="random")).jobs
    assert job.model.features.dim == 512, "the projected feature"
