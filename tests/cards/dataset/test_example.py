"""Examples in cards are compared with what the card finds."""

from __future__ import annotations

import pytest

from medbench.cards.dataset.example import Example, ExampleError, Named, captured, check_all, filled


def test_an_example_tells_only_what_it_names():
    examples = [Example(image="a.png"), Example(image="a.png", label="x", group="y")]
    check_all(examples, lambda example: Named(example.image, "x", "y"))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Named("b.png", "x", "y"), "finds the image 'b.png', not 'a.png'"),
        (Named("a.png", "z", "y"), "finds the label 'z', not 'x'"),
        (Named("a.png", "x", ""), "finds the group '', not 'y'"),
    ],
)
def test_another_finding_is_an_error(found, words):
    with pytest.raises(ExampleError, match=words):
        check_all([Example(image="a.png", label="x", group="y")], lambda _: found)


def test_templates():
    assert filled("a/{Image Index}_{b.c}.png", {"Image Index": "1", "b.c": "{x}", "more": ""}) == "a/1_{x}.png"
    with pytest.raises(ExampleError, match="needs a cell of the column 'b'"):
        filled("{a}{b}", {"a": "1"})


def test_named_parts():
    assert captured(None, "group", "x") == ""
    assert captured(r"(?P<group>\d+)", "group", "p12") == "12"
    for pattern in ("(?P<group>z)", "(?P<group>z?)"):
        with pytest.raises(ExampleError, match="finds no group in 'p12'"):
            captured(pattern, "group", "p12")
