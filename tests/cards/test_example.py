"""Examples in cards are compared with what the card finds."""

from __future__ import annotations

import pytest

from medbench.cards.example import Example, ExampleError, Named, captured, filled, matched, replaced


def test_an_example_tells_only_what_it_names():
    Example(image="a.png").check(Named("a.png", "x", "y"))
    Example(image="a.png", label="x", group="y").check(Named("a.png", "x", "y"))


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
        Example(image="a.png", label="x", group="y").check(found)


def test_templates_and_replacements():
    assert filled("a/{Image Index}_{b.c}.png", {"Image Index": "1", "b.c": "{x}", "more": ""}) == "a/1_{x}.png"
    with pytest.raises(ExampleError, match="needs a cell of the column 'b'"):
        filled("{a}{b}", {"a": "1"})
    assert replaced("v1/a-b", {"^v1/": "", "(a)-": r"\1+"}) == "a+b"
    for pattern, new in (("(", ""), ("a", r"\2")):
        with pytest.raises(ExampleError, match="is no valid replacement"):
            replaced("a", {pattern: new})


def test_named_parts():
    assert captured(None, "group", "x") == ""
    assert captured(r"(?P<group>\d+)", "group", "p12") == "12"
    assert matched("b", "ab")
    assert not matched("b", "ab", full=True)
    for pattern in ("(?P<group>z)", "(?P<group>z?)", "(?P<other>p)", "p"):
        with pytest.raises(ExampleError, match="finds no part"):
            captured(pattern, "group", "p12")
    with pytest.raises(ExampleError, match="finds no part"):
        captured(r"(?P<group>\d+)", "group", "p12", full=True)
    with pytest.raises(ExampleError, match="is not a regular expression"):
        captured("(?P<group>", "group", "p12")
