"""Ids of metrics on demand."""

from __future__ import annotations

import pytest

from medbench.errors import CardError
from medbench.metrics.measures import higher_is_better, measure, spellings


@pytest.mark.parametrize(
    ("text", "task", "found"),
    [
        ("sensitivity", "binary", "sensitivity@youden"),
        ("sensitivity@specificity=0.90", "multiclass", "sensitivity_macro@specificity=0.9"),
        ("ece", "ordinal", "ece"),
        ("ece:width:15", "binary", "ece"),
        ("ece:15", None, "ece"),
        ("ece:mass", "multilabel", "ece_macro:mass"),
        ("ece_macro:mass:10@temperature", "multiclass", "ece_macro:mass:10@temperature"),
        ("auroc_partial:0.1", "binary", "auroc_partial"),
        ("auroc_partial:.2", "multilabel", "auroc_partial_macro:0.2"),
        ("log_loss@temperature", "multilabel", "log_loss@temperature"),
    ],
)
def test_one_metric_has_one_id(text, task, found):
    assert measure(text, task).id == found
    assert measure(found, task).id == found


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        ("kappa_quadratic", None, "computed only in runs, on the complete test split"),
        ("sensitvity", None, "did you mean 'sensitivity'|sensitivity"),
        ("ece:0", None, "does not accept"),
        ("ece:tall:10", None, "does not accept"),
        ("ece:", None, "does not accept"),
        ("mae:3", None, "does not accept"),
        ("auroc_partial:1.5", None, "does not accept"),
        ("ece@0.5", None, "cannot be combined with @"),
        ("auroc@temperature", None, "cannot be combined with @"),
        ("sensitivity@best", None, "is not a rule for choosing a threshold"),
        ("net_benefit", None, "needs the threshold probability"),
        ("mae", "binary", "not for binary tasks"),
        ("mae_macro", None, "no mean over classes"),
        ("sensitivity_macro", "binary", "not for binary tasks"),
    ],
)
def test_what_is_no_metric_is_refused(text, task, message):
    with pytest.raises(CardError, match=message) as error:
        measure(text, task)
    assert error.value.hint


def test_spellings_and_directions():
    assert spellings("auroc") == {"auroc", "auroc_macro"}
    assert spellings("nonsense") == {"nonsense"}
    known = {"auroc_macro": True, "ece:mass": False, "sensitivity@0.5": True, "calibration_slope": None, "odd": None}
    assert {name: higher_is_better(name) for name in known} == known


def test_an_id_holds_every_digit():
    assert measure("specificity@sensitivity=0.9999999").id == "specificity@sensitivity=0.9999999"
    assert measure("sensitivity@0.12345678").id == "sensitivity@0.12345678"
