from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medbench.cards import DatasetCard
from medbench.data.dataset import SYNTHETIC, Dataset
from medbench.data.images.corruption import Corruption
from medbench.data.shift import class_map, corrupted, shifted
from medbench.errors import MedbenchError


def card(name: str, task: str, classes: list[str], **more: Any) -> DatasetCard:
    rules = {"default": "s", "rules": {"s": {"method": "stratified"}}}
    layout: dict[str, Any] = {"kind": "folders"}
    if task == "multilabel":
        layout = {"kind": "csv", "tables": [{"file": "labels.csv"}], "labels": classes}
    given = {"name": name, "layout": layout, "task": task, "classes": classes, "splits": rules, **more}
    return DatasetCard.model_validate(given)


def data(known: DatasetCard, targets: Any, split: list[str] | None = None, group: list[str] | None = None) -> Dataset:
    """Return a data set of one image for each target, whose bytes no other set has."""
    targets = np.asarray(targets)
    ids = [f"{known.name}{i}" for i in range(len(targets))]
    samples = pd.DataFrame({"id": ids, "path": ids, "group": group or ids, "split": split or ["test"] * len(ids)})
    if known.task == "multilabel":
        for i, name in enumerate(known.class_names):
            samples[f"target_{name}"] = targets[:, i].astype(np.uint8)
    else:
        samples["target"] = targets.astype(np.int64)
    return Dataset(known, Path(known.name), samples, "s", "", known.name, tuple(ids), group is not None)


GRADES = card("grades", "ordinal", ["none", "mild", "severe"], channels=1)
BINARY = card("binary", "binary", ["normal", "pneumonia"])
FINDINGS = ["Pneumonia", "Edema", "Hernia"]


def test_classes_of_one_name_are_the_same_in_any_case_of_letters() -> None:
    other = card("other", "multiclass", ["Severe", "NONE"])
    assert class_map(GRADES, other) == {"Severe": "severe", "NONE": "none"}


def test_a_card_maps_classes_and_leaves_some_out() -> None:
    written = {"grades": {"healthy": "none", "mild": None, "*": "severe"}}
    other = card("other", "multiclass", ["worst", "healthy", "mild", "bad"], shift=written)
    assert class_map(GRADES, other) == {"worst": "severe", "healthy": "none", "mild": None, "bad": "severe"}
    found = shifted(data(GRADES, [0, 1, 2]), data(other, [0, 1, 2, 3, 2]))
    assert found.dropped == {"mild": 2}
    assert found.dataset.samples["split"].tolist() == ["test", "test", "", "test", ""]
    assert found.dataset.targets("test").tolist() == [2, 0, 2]
    assert found.columns == (0, 1, 2)
    assert not found.closed
    seen = found.dataset.card
    assert (seen.name, seen.task, seen.channels, seen.metric) == ("other", "ordinal", 1, "kappa_quadratic")


def test_closed_scores_the_common_classes_alone() -> None:
    found = shifted(data(GRADES, [0, 1, 2]), data(card("other", "binary", ["none", "severe"]), [1, 0, 1]), closed=True)
    assert found.columns == (0, 2)
    assert found.closed
    assert found.dataset.card.class_names == ["none", "severe"]
    assert found.dataset.targets("test").tolist() == [1, 0, 1]


def test_closed_where_no_class_is_lacking_changes_nothing() -> None:
    other = data(card("other", "binary", ["pneumonia", "normal"]), [1, 0, 1])
    open_, closed = (shifted(data(BINARY, [0, 1]), other, closed=closed) for closed in (False, True))
    assert not closed.closed
    assert closed.material == open_.material
    assert closed.dataset.targets("test").tolist() == [0, 1, 0]


def test_findings_become_one_class_where_they_agree() -> None:
    written = {"binary": {"Pneumonia": "pneumonia", "Edema": "pneumonia", "no finding": "normal", "*": None}}
    other = card("other", "multilabel", FINDINGS, shift=written)
    hot = [[1, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 1]]
    found = shifted(data(BINARY, [0, 1]), data(other, hot))
    assert found.dataset.targets("test").tolist() == [1, 1, 0]  # pneumonia; also with others; without a finding
    assert found.dropped == {"Hernia": 1}


def test_findings_of_two_classes_are_left_out() -> None:
    written = {"binary": {"Pneumonia": "pneumonia", "Edema": "normal", "*": None}}
    found = shifted(
        data(BINARY, [0, 1]), data(card("other", "multilabel", FINDINGS, shift=written), [[1, 1, 0], [1, 0, 0]])
    )
    assert found.dropped == {"findings of several classes of binary": 1}


def test_one_class_an_image_becomes_findings_of_which_the_labelled_are_scored() -> None:
    trained = card("chest", "multilabel", FINDINGS)
    other = card("other", "binary", ["normal", "pneumonia"], shift={"chest": {"normal": "no finding"}})
    found = shifted(data(trained, [[0, 0, 0]]), data(other, [0, 1, 1]))
    assert found.dataset.card.class_names == ["Pneumonia"]
    assert found.columns == (0,)
    assert found.closed
    assert found.dataset.targets("test").tolist() == [[0], [1], [1]]


def test_between_findings_all_images_count_and_what_nothing_maps_to_is_not_scored() -> None:
    trained = card("chest", "multilabel", FINDINGS)
    other = card("other", "multilabel", ["edema", "mass"], shift={"chest": {"mass": None}})
    found = shifted(data(trained, [[0, 0, 0]]), data(other, [[1, 0], [0, 1], [0, 0]]))
    assert found.dataset.card.class_names == ["Edema"]
    assert not found.dropped
    assert found.dataset.targets("test").tolist() == [[1], [0], [0]]


def test_its_own_test_part_can_be_asked_for() -> None:
    other = data(card("other", "binary", ["normal", "pneumonia"]), [0, 1, 0, 1], ["train", "train", "test", "test"])
    assert len(shifted(data(BINARY, [0, 1]), other).dataset.rows("test")) == 4
    assert shifted(data(BINARY, [0, 1]), other, part="test").dataset.rows("test").tolist() == [2, 3]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (card("other", "binary", ["normal", "covid"]), "1 class of other is no class of binary: covid"),
        (card("other", "binary", ["normal", "covid"], shift={"binary": {"flu": None}}), "unknown class flu"),
        (card("other", "binary", ["normal", "covid"], shift={"binary": {"covid": "flu"}}), "unknown class flu"),
        (card("other", "multilabel", ["pneumonia"]), "1 class of other is no class of binary: no finding"),
    ],
)
def test_what_does_not_map_is_named(other: DatasetCard, said: str) -> None:
    with pytest.raises(MedbenchError, match=said) as caught:
        class_map(BINARY, other)
    assert caught.value.hint


def test_a_set_without_two_common_classes_is_refused() -> None:
    other = card("other", "binary", ["none", "x"], shift={"grades": {"x": None}})
    with pytest.raises(MedbenchError, match="fewer than two classes"):
        shifted(data(GRADES, [0, 1, 2]), data(other, [0, 1]), closed=True)
    with pytest.raises(MedbenchError, match="no image of other has a class of grades"):
        shifted(data(GRADES, [0, 1, 2]), data(other, [1, 1]))


def test_what_both_sets_have_is_refused_with_its_number(tmp_path: Path) -> None:
    trained = data(BINARY, [0, 1, 0], group=["a", "b", "c"])
    with pytest.raises(MedbenchError, match="this is the training data set itself"):
        shifted(trained, trained)
    other = data(card("other", "binary", ["normal", "pneumonia"]), [0, 1], group=["b", "d"])
    shifted(trained, other)  # equal numbers of patients of two releases are chance
    with pytest.raises(MedbenchError, match=r"1 of its 2 images are also in binary"):
        shifted(trained, dataclasses.replace(other, content=("binary0", "new")))
    toys = [dataclasses.replace(one, root=tmp_path) for one in (trained, other)]
    (tmp_path / SYNTHETIC).touch()
    shifted(toys[0], dataclasses.replace(toys[1], content=("binary0", "new"), grouped=False))
    kin = other.card.model_copy(update={"also": ["Binary"]})
    with pytest.raises(MedbenchError, match=r"1 of its 2 groups \(patients\) are also in binary: b"):
        shifted(trained, dataclasses.replace(other, card=kin))


def test_corrupted_images_are_the_own_ones_with_a_key_of_the_corruption_alone() -> None:
    own = data(GRADES, [0, 1, 2, 0], ["train", "val", "test", "test"])
    found, other = (corrupted(own, Corruption("jpeg", severity)) for severity in (3, 4))
    assert (found.name, found.columns, found.extracted) == ("grades", (0, 1, 2), 2)
    assert found.options == {"test_on": "grades", "corrupt": "jpeg:3"}
    assert found.material == {"corruption": Corruption("jpeg", 3).material} != other.material
    assert found.dataset.samples is own.samples
    assert own.corruption is None
