"""Ratios of training and inference times to a reference row, from SYNTHETIC records."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.report.figures.draw import figure_data

from ..made import DATASETS, FOUNDATIONS, MODELS, key
from .conftest import LABELS, by_place, card_with


@pytest.mark.parametrize("ref", ["same", "unfrozen"])
def test_times(made, ref):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure3", runs, ref=ref), "panel", "series", "x")
    assert len(rows) == 39
    for mode in ("unfrozen", "frozen"):
        base_mode = mode if ref == "same" else ref
        for group, models in (("Linear", MODELS), ("DeiT-B", FOUNDATIONS)):
            for model in models:
                protocol = f"{'linear' if group == 'Linear' else 'deit'}-{mode}"
                steps = np.array([known["steps"][key(model, protocol, d)] for d in DATASETS])
                base = [np.mean(known["steps"][key("imagenet", f"linear-{base_mode}", d)]) for d in DATASETS]
                ratio = np.mean([s / b for s, b in zip(steps.mean(axis=1), base, strict=True)])
                row = rows[mode, group, LABELS[model]]
                assert row["mean"] == pytest.approx(ratio, rel=1e-12)
                each = (steps / np.array(base)[:, None]).mean(axis=0)
                assert row["std"] == pytest.approx(each.std(ddof=1), rel=1e-9)
    for (model, classifier), ms in known["latency"].items():
        row = rows["inference", {"linear": "Linear", "deit": "DeiT-B"}[classifier], LABELS[model]]
        assert row["mean"] == pytest.approx(ms / known["latency"]["imagenet", "linear"], rel=1e-12)
        assert row["std"] is None


def test_ratios_need_a_table_or_rows():
    ratios = {
        "kind": "ratios", "title": "t", "source": "s", "reference": ["Linear", "Sam"],
        "panels": [{"name": "p", "title": "t", "quantity": "step", "datasets": ["aptos"]}],
    }  # fmt: skip
    with pytest.raises(ValueError, match="either table or rows"):
        card_with(ratios)
