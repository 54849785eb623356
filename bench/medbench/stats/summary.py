"""Means of repeats with their spread."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def summary(values: Iterable[float | None]) -> tuple[float | None, float | None, int]:
    """Return (mean, sample standard deviation, n) of the values that are defined.

    Args:
        values: Repeats of one number; None and nan are undefined and do not count.

    Returns:
        The mean (None without a value), the standard deviation with n - 1 in the denominator (None with fewer than two
        values) and the number of values.
    """
    known = np.array([v for v in values if v is not None and not np.isnan(v)], np.float64)
    if not known.size:
        return None, None, 0
    return float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else None, int(known.size)
