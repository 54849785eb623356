"""What jobs share is made once, and never confused with something else."""

from __future__ import annotations

import gc

from medbench.cards import SETTINGS
from medbench.runs.planning.shared import LATER, Entry, Once, Texts, recipe_of


def test_a_call_is_made_once_for_each_key() -> None:
    once, numbers = Once(), iter(range(9))
    assert [once(key, lambda: next(numbers)) for key in (("a", 1), ("a", 2), ("a", 1))] == [0, 1, 0]


def test_an_entry_is_made_once_for_each_object_and_way() -> None:
    texts, one = Texts(), ["one"]
    first = texts.part(lambda: {"b": 1, "a": one}, one)
    assert first == Entry({"b": 1, "a": ["one"]}, '{"a":["one"],"b":1}')
    assert texts.part(dict, one) is first
    assert texts.part(dict, one, how=True).text == texts.part(dict, ["one"]).text == "{}"


def test_an_object_that_is_gone_is_not_taken_for_another() -> None:
    texts = Texts()
    for i in range(100):
        assert texts.part(lambda: i, [i]).value == i  # noqa: B023 - called at once
        gc.collect(0)


def test_settings_of_several_inputs_count_only_where_there_are_several() -> None:
    one, other = (SETTINGS["knn"].model_validate({"k": 5, **more}) for more in ({}, {"inputs": ["left"]}))
    assert recipe_of(one, several=False) == recipe_of(other, several=False)
    assert recipe_of(one, several=True) != recipe_of(other, several=True)


def test_a_later_setting_changes_a_key_only_where_it_is_set() -> None:
    plain, near = (SETTINGS["knn"].model_validate(more) for more in ({}, {"distance": "euclid"}))
    assert "distance" not in recipe_of(plain, several=False)
    assert recipe_of(near, several=False)["distance"] == "euclid"
    assert {name for one in SETTINGS.values() for name in one.model_fields} >= LATER
