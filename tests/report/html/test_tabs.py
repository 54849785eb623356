"""The tabs of a run's page, against scikit-learn and the metrics on demand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from medbench.records import store
from medbench.records.groups import collect
from medbench.report.html.tabs import tabs_of
from medbench.report.inference import predicted
from medbench.report.measured import NO_VALIDATION, measured

from .conftest import CLASSES, put


def made(runs, validation: bool = True, **changes):
    """One group, with or without validation predictions, its test predictions and its tabs by title."""
    put(runs, "dino", 1.5, seeds=(0,), **changes)
    (record,) = store.read_all(runs)
    if validation:
        record.n["val"] = record.n["test"]
        frame = pd.read_parquet(record.path / store.PREDICTIONS)
        store.write(runs, record, pd.concat([frame, frame.assign(split="val", id="v" + frame["id"])]), pd.DataFrame())
    (group,) = collect(store.read_all(runs))
    found = predicted(group)
    names = list(group.first.n["test"].classes)
    return group, found, {tab.title: tab for tab in tabs_of(group, found, names)}


def test_every_number_of_a_binary_task(tmp_path):
    group, found, tabs = made(tmp_path)
    assert list(tabs) == ["Operating points", "Calibration", "Classes", "Confusion", "Curves"]
    ids = ["sensitivity@youden", "ppv@specificity=0.9", "ece", "log_loss@temperature"]
    values = measured(group, ids, intervals=True)
    shown = [tabs["Operating points"].rows[0][1], tabs["Operating points"].rows[1][3]]
    shown += [tabs["Calibration"].rows[0][1], tabs["Calibration"].rows[1][2]]
    for text, name in zip(shown, ids, strict=True):
        one = values[name]
        assert text == f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
    shares = confusion_matrix(found.targets, found.scores[0].argmax(axis=1), normalize="true")
    for row, own in zip(tabs["Confusion"].rows, shares, strict=True):
        assert [cell.split(" [")[0] for cell in row[1:]] == [f"{share:.3f}" for share in own]
    assert [row[0] for row in tabs["Classes"].rows] == list(CLASSES)
    area = roc_auc_score(found.targets, found.scores[0, :, 1])
    assert tabs["Curves"].rows[0][1].startswith(f"{area:.3f} [")


def test_without_validation_images_the_reason_is_told(tmp_path):
    *_, tabs = made(tmp_path, validation=False)
    assert "Operating points" not in tabs
    assert NO_VALIDATION in tabs["Calibration"].notes or all(row[2] == "–" for row in tabs["Calibration"].rows)
    assert tabs["Calibration"].rows[0][1] != "–"


@pytest.mark.parametrize("title", ["Classes", "Curves"])
def test_several_labels_have_no_confusion_matrix(tmp_path, title):
    _, found, tabs = made(tmp_path, task="multilabel")
    assert "Confusion" not in tabs
    assert tabs[title].pictures
    areas = [roc_auc_score(found.targets[:, k], found.scores[0, :, k]) for k in range(3)]
    assert tabs["Curves"].rows[0][1].startswith(f"{np.mean(areas):.3f} [")
