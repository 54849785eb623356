from __future__ import annotations

import numpy as np
import pytest

from medbench.errors import CardError, DataError
from medbench.report.subgroups.by import By, Factor


def groupings(text: str, fewest: int = 30):
    return By(text, lambda columns: None, fewest).groupings


def test_what_is_asked_for() -> None:
    sex, age, both = groupings("sex, age:40:60.5 ,sex*age:60")
    assert (sex.name, age.name, both.name) == ("sex", "age", "sex × age")
    assert age.factors == (Factor("age", (40.0, 60.5)),)
    assert By("sex,age:40,sex*age:60", lambda columns: None).columns == ["sex", "age"]
    assert len(groupings("sex,sex")) == 1


def test_each_bin_has_its_lower_end() -> None:
    (age,) = groupings("age:40:60")
    texts = ["39.9", "40", "59.9", "60", "045Y", "-3", "", "NA", " 61 ", "nan"]
    found = age.of([texts])
    assert found.names == ("<40", "40 to <60", "≥60")
    assert found.member.tolist() == [0, 1, 1, 2, 1, 0, -1, -1, 2, -1]


def test_groups_are_in_natural_order_and_unknown_ones_are_in_none() -> None:
    (site,) = groupings("site")
    found = site.of([["site 10", "site 2", "?", "Unknown", "site 2"]])
    assert found.names == ("site 2", "site 10")
    assert found.member.tolist() == [1, 0, -1, -1, 0]


def test_crossed_columns_have_the_groups_that_occur() -> None:
    (both,) = groupings("sex*age:60")
    found = both.of([["M", "F", "M", "F", ""], ["70", "30", "50", "", "40"]])
    assert found.names == ("F, <60", "M, <60", "M, ≥60")
    assert found.member.tolist() == [2, 0, 1, -1, -1]


@pytest.mark.parametrize("text", ["", "sex,", ":40", "age:old", "age:60:40", "age:40:40", "age:nan", "sex*"])
def test_what_is_no_grouping_is_refused(text: str) -> None:
    with pytest.raises(CardError, match="--by"):
        _ = groupings(text)


def test_columns_that_make_no_groups_are_refused() -> None:
    (one,) = groupings("x")
    with pytest.raises(DataError, match="all test images have 'A'"):
        one.of([["A", "A", ""]])
    with pytest.raises(DataError, match="no test image has a value"):
        one.of([["", "NaN"]])
    with pytest.raises(DataError, match="500 different values") as caught:
        one.of([list(map(str, np.arange(500)))])
    assert "x:40" not in str(caught.value.hint), "a column of names has no bins"
    (bins,) = groupings("x:40")
    with pytest.raises(DataError, match="'old' is not a number"):
        bins.of([["30", "old"]])
    with pytest.raises(CardError, match="--min-group 1"):
        _ = groupings("x", fewest=1)
