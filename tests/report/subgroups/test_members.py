from __future__ import annotations

import pytest

from medbench.errors import CardError, DataError
from medbench.report.subgroups.by import By
from medbench.report.subgroups.members import Membership

from .conftest import people


def test_texts_next_to_the_predictions_need_no_labels(group_of, by) -> None:
    asked = by("sex,age:50")
    sex, age = Membership(asked).of(group_of(stored=True))
    assert sex.names == ("F", "M")
    assert (sex.member == (people()["subgroup_sex"] == "M")).all()
    assert (age.member[18:20] == -1).all()
    assert asked.labels.times == 0


def test_labels_are_joined_by_id_and_read_once(group_of, by) -> None:
    asked = by("sex", people().sample(frac=1, random_state=0))
    membership = Membership(asked)
    for _ in range(2):
        (sex,) = membership.of(group_of())
    assert (sex.member == (people()["subgroup_sex"] == "M")).all()
    assert asked.labels.times == 1


def test_named_labels_go_before_the_stored_texts(group_of, by) -> None:
    other = people().assign(subgroup_sex=["x", "y"] * 120)
    (sex,) = Membership(by("sex", other, stored=False)).of(group_of(stored=True))
    assert sex.names == ("x", "y")


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (people().iloc[5:], "lack 5 of 240 test images, such as 'test0'"),
        (people().assign(target=1 - people()["target"]), "the test image 'test0'.*different values: label"),
        (people().assign(group="p1"), "the test image 'test0'.*different values: patient"),
        (people().drop(columns="target").assign(target_a=1), "different values: label"),
    ],
)
def test_other_labels_are_refused(group_of, by, labels, fault) -> None:
    with pytest.raises(DataError, match=fault) as caught:
        Membership(by("sex", labels)).of(group_of())
    assert "--labels" in caught.value.hint


def test_findings_are_compared_too(group_of, by) -> None:
    with pytest.raises(DataError, match="different values: label"):
        Membership(by("sex")).of(group_of(task="multilabel", metric="auroc_macro"))


def test_a_missing_card_names_the_option(group_of) -> None:
    def read(columns):
        raise CardError("unknown dataset 'clinic-labels'", "see: medbench ls datasets")

    with pytest.raises(CardError, match="unknown dataset") as caught:
        Membership(By("sex", read)).of(group_of())
    assert "--labels" in caught.value.hint
