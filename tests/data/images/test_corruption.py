from __future__ import annotations

import pytest

from medbench.data.images.corruption import COLOUR, STRENGTHS, Corruption, corruptions
from medbench.errors import MedbenchError


def named(words: str, channels: int = 3) -> list[str]:
    return [str(one) for one in corruptions(words, "some", channels)]


def test_all_is_ten_corruptions_in_five_severities() -> None:
    found = corruptions("all", "some", 3)
    assert len(found) == 50
    assert {one.name for one in found} == set(STRENGTHS)
    assert {one.severity for one in found} == {1, 2, 3, 4, 5}


def test_all_of_grey_images_leaves_colours_out() -> None:
    assert {one.partition(":")[0] for one in named("all", 1)} == set(STRENGTHS) - set(COLOUR)


def test_severities_are_all_one_or_a_range() -> None:
    assert named("jpeg") == [f"jpeg:{i}" for i in range(1, 6)]
    assert named("jpeg:3") == ["jpeg:3"]
    assert named("jpeg:2:4, blur:5") == ["blur:5", "jpeg:2", "jpeg:3", "jpeg:4"]
    assert named("all:2", 1) == [f"{name}:2" for name in STRENGTHS if name not in COLOUR]


def test_what_is_named_twice_is_there_once() -> None:
    assert named("jpeg:1:2,jpeg:2,jpeg:1") == ["jpeg:1", "jpeg:2"]
    assert [str(one) for one in corruptions(["jpeg:1", "noise:2,jpeg:1"], "some", 3)] == ["noise:2", "jpeg:1"]


@pytest.mark.parametrize(
    ("words", "channels", "said", "hint"),
    [
        ("jpg", 3, "unknown corruption 'jpg'", "jpeg"),
        ("jpeg,", 3, "unknown corruption ''", "jpeg"),
        ("jpeg:6", 3, "--corrupt jpeg:6: no such severity", "1 to 5"),
        ("jpeg:0", 3, "--corrupt jpeg:0: no such severity", "1 to 5"),
        ("jpeg:3:2", 3, "--corrupt jpeg:3:2: no such severity", "1 to 5"),
        ("jpeg:1:2:3", 3, "no such severity", "1 to 5"),
        ("jpeg:²", 3, "no such severity", "1 to 5"),
        ("jpeg:", 3, "no such severity", "1 to 5"),
        ("colour-cast:1", 1, "--corrupt colour-cast:1: the images of some are grey", "all"),
    ],
)
def test_wrong_words(words: str, channels: int, said: str, hint: str) -> None:
    with pytest.raises(MedbenchError, match=said) as caught:
        corruptions(words, "some", channels)
    assert hint in caught.value.hint


def test_all_that_changes_pixels_is_in_the_material() -> None:
    one = Corruption("jpeg", 3)
    others = [Corruption("jpeg", 2), Corruption("noise", 3), Corruption("jpeg", 3, seed=1)]
    assert all(other.material != one.material for other in others)
    assert one.material == {"name": "jpeg", "severity": 3, "strength": 20, "seed": 0, "version": 1}
