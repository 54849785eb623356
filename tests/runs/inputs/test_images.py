"""Inputs of jobs that train networks: cached outputs of a frozen part against the images themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ..conftest import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("protocol", "changes"),
    [
        ("freeze", {"frozen": 2, "learning_rates": [3e-3]}),
        ("deit-frozen", {}),
        ("decapitate-frozen", {"kept": [1, 2], "learning_rates": [3e-3]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cached_outputs_give_the_numbers_of_the_images(
    data: Path, tmp_path: Path, protocol: str, changes: dict
) -> None:
    cached = train(data, protocol, seeds=1, changes=changes)
    plain = train(data, protocol, seeds=1, changes={**changes, "cache_gb": 0}, runs=tmp_path / "b")
    assert [r.key for r in cached] == [r.key for r in plain]
    assert all(r.counts["forwards"] == 0 for r in plain), "nothing was cached"
    assert sum(r.counts["forwards"] for r in cached) == 90 + 2 * cached[0].n["train"].images, "one pass for all depths"
    for one, other in zip(cached, plain, strict=True):
        assert one.chosen["learning_rate"] == other.chosen["learning_rate"]
        scores = [
            pd.read_parquet(r.path / "predictions.parquet").filter(like="score_").to_numpy() for r in (one, other)
        ]
        assert np.abs(scores[0] - scores[1]).max() < 1e-4, "rounding, grown over 12 steps"
