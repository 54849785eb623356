"""An interval for a sum of absolute values or of squares, such as a calibration error or the reliability of Brier.

Noise makes such a sum too large: even for a perfectly calibrated model it is above 0, and draws of a bootstrap add
their own noise to it. An interval from the draws' quantiles then lies above the truth. Here the interval is found by
inversion of a test. Let g be the gaps on the split and e the deviations of the draws from them. If the true gaps are
c g, draws of the sum are sum |c g + e|. The interval holds the sums of those c g for which the sum on the split is
between the 2.5 % and the 97.5 % quantile of these draws. It contains 0 exactly when the sum could be noise alone, and
it can lie below the sum on the split. Squares in place of absolute values change nothing of this.

In simulations it covers the true calibration error in 91 to 95 % of test splits, the true reliability in 93 to 95 %
(`tests/benchmarks/operating.py`), BCa the calibration error in 0 to 91 %. The misses are mostly above the interval.
Gaps from which the variance of their noise is first subtracted make it worse (82 to 95 %).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.scores import Array
from medbench.metrics.weighted_ranking import Weights
from medbench.seeding import generator
from medbench.stats.bootstrap import DRAWS, LEVEL, Interval
from medbench.stats.resampling import design

Gaps = Callable[[Weights], Array]
"""(n, b) weights of the images -> (k, s, r, b): r signed gaps for each of k numbers and s training seeds."""


def gap_intervals(
    gaps: Gaps,
    targets: NDArray[np.generic],
    groups: NDArray[np.generic] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    power: int = 1,
) -> list[Interval]:
    """Return the interval of each of `k` numbers: the mean over seeds of the sum of the gaps' absolute values.

    Args:
        gaps: The gaps as a function of weights.
        targets: (n,) class numbers, or (n, c) zeros and ones.
        groups: (n,) patient or lesion of each image: groups are drawn; None: images are drawn.
        draws: How many. Training seeds are drawn, too.
        seed: Of the draws.
        level: Share of test splits whose interval contains the true value.
        power: 2: of their squares.
    """
    plan = design(targets, groups)
    split = gaps(np.ones((len(plan.member), 1), np.float32))
    drawn = np.concatenate([gaps(part) for part in plan.weights(draws, seed)], axis=3)
    s, units = split.shape[1], plan.units
    # A draw of m from m has (m - 1) / m of the variance.
    noise = (drawn - split) * math.sqrt(units / (units - 1) if units > 1 else 1)
    times = generator("bootstrap", "seeds", seed, 0).multinomial(s, np.full(s, 1 / s), draws).T / s
    return [_interval(one, apart, times, level, power) for one, apart in zip(split, noise, strict=True)]


def _interval(split: Array, noise: Array, times: Array, level: float, power: int) -> Interval:
    """Return one interval from (s, r, 1) gaps, the (s, r, b) noise of the draws and (s, b) weights of the seeds."""
    from scipy.optimize import brentq

    def sums(c: float) -> Array:
        return np.asarray(((np.abs(c * split + noise) ** power).sum(axis=1) * times).sum(axis=0))

    value, b = float((np.abs(split) ** power).sum(axis=1).mean()), noise.shape[2]
    own = sums(1.0)
    se = float(own.std(ddof=1)) if b > 1 else math.nan
    if b < 2 or not np.isfinite(own).all():
        return Interval(math.nan, math.nan, se, b, int((~np.isfinite(own)).sum()), level)
    ends = []
    for share in ((1 + level) / 2, (1 - level) / 2):

        def above(c: float, share: float = share) -> float:
            return float(np.quantile(sums(c), share)) - value

        most = 1.0
        while above(most) < 0:
            most *= 2
        ends.append(value * float(brentq(above, 0, most, xtol=1e-4)) ** power if above(0) < 0 else 0.0)
    return Interval(ends[0], ends[1], se, b, 0, level)
