"""Thresholds against all that could be chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench.errors import CardError
from medbench.metrics.measures.thresholds import RECORDED, Rule, rule_of, thresholds


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=30), st.sampled_from(RECORDED))
def test_no_other_threshold_is_better(images, rule):
    x, has = np.array([score for score, _ in images], float), np.array([one for _, one in images])
    found = thresholds(rule, x[:, None], has[:, None])[0]
    if has.all() or not has.any():
        assert np.isnan(found)
        return
    sensitivity = {t: np.mean(x[has] >= t) for t in [*np.unique(x), found, 9.0]}
    specificity = {t: np.mean(x[~has] < t) for t in sensitivity}
    if rule.kind == "youden":
        best = max(sensitivity[t] + specificity[t] for t in sensitivity)
        assert sensitivity[found] + specificity[found] == pytest.approx(best)
    elif rule.kind == "specificity":
        assert specificity[found] >= rule.at
        assert sensitivity[found] == max(sensitivity[t] for t in sensitivity if specificity[t] >= rule.at)
    else:
        assert sensitivity[found] >= rule.at
        assert specificity[found] == max(specificity[t] for t in sensitivity if sensitivity[t] >= rule.at)


def test_a_rule_is_read_as_it_is_written():
    for text in ("youden", "specificity=0.9", "sensitivity=0.95", "0.5"):
        assert str(rule_of(text, "x")) == text
    assert rule_of("specificity=0.90", "x") == Rule("specificity", 0.9)
    assert thresholds(rule_of("0.5", "x"), np.zeros((0, 2)), np.zeros((0, 2), bool)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("text", ["", "best", "1.5", "0", "specificity=1", "youden=0.5", "f1=0.5", "specificity=high"])
def test_another_rule_is_refused(text):
    with pytest.raises(CardError, match="is not a rule for choosing a threshold"):
        rule_of(text, f"sensitivity@{text}")
