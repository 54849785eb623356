"""Intervals of shares of images, of which those of one patient are not independent.

Wilson, "Probable inference, the law of succession, and statistical inference" (JASA 1927), with the effective number of
images of Rao and Scott, "A simple method for the analysis of clustered binary data" (Biometrics 1992): the number that
would give the variance between patients if images were independent. Unlike the bootstrap, it gives an interval where
all of few images are right.
"""

from __future__ import annotations

import numpy as np

from medbench.metrics.scores import Array
from medbench.stats.deviates import NORMAL

LEVEL = 0.95


def shares(hits: Array, trials: Array, level: float = LEVEL) -> tuple[Array, Array, Array]:
    """Return the share of hits among trials and the ends of its interval, each (r,); nan without trials.

    Args:
        hits: (r, u) hits of each patient (or image) in each of `r` shares; means over seeds may be fractions.
        trials: (r, u) images of each patient in each share.
        level: Share of test splits whose interval contains the true value.
    """
    z = NORMAL.inv_cdf((1 + level) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = hits.sum(axis=1) / trials.sum(axis=1)
        n = _effective(hits, trials, share)
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        reach = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / (1 + z * z / n)
    return share, np.clip(middle - reach, 0, share), np.clip(middle + reach, share, 1)


def _effective(hits: Array, trials: Array, share: Array) -> Array:
    """Return (r,) effective numbers of images: at most the images; where all patients agree, the patients."""
    images, patients = trials.sum(axis=1), (trials > 0).sum(axis=1)
    apart = ((hits - share[:, None] * trials) ** 2).sum(axis=1)
    between = patients / (patients - 1) * apart / images**2
    alone = share * (1 - share) / (images - 1)  # variance if images were independent
    known = (apart > 1e-12) & (patients > 1) & (images > 1)
    return np.asarray(np.minimum(images, np.where(known, images * alone / between, patients)))
