"""Statistics of results: means with their spread, intervals, and tests of a difference.

Importing it loads numpy; scipy is loaded where it is needed.
"""

from medbench.stats.bootstrap import Draws, Interval, bootstrap, bootstrap_many
from medbench.stats.gaps import gap_intervals
from medbench.stats.paired import detectable, paired, paired_se, permutation
from medbench.stats.significance import Wilcoxon, holm, wilcoxon
from medbench.stats.summary import summary

__all__ = [
    "Draws",
    "Interval",
    "Wilcoxon",
    "bootstrap",
    "bootstrap_many",
    "detectable",
    "gap_intervals",
    "holm",
    "paired",
    "paired_se",
    "permutation",
    "summary",
    "wilcoxon",
]
