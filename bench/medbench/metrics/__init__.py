"""Metrics by id; the id says how the metric is averaged. Importing it loads numpy only.

Every macro mean is over the classes that the targets of the split contain. A class without samples cannot be measured,
so it is left out and reported as absent; it never counts as 0 or 0.5. Precision and F1 also leave out classes that are
predicted but not in the targets: such an error already lowers the recall and the F1 of the true class, and means over
the union of both would be over different classes for different models. A class in the targets that is never predicted
has a precision and an F1 of 0.
"""

from medbench.metrics.log_odds import MOST, among, log_odds, log_odds_of, probabilities, scores_for
from medbench.metrics.registry import METRICS, Metric, compute, get, ids_for, score, score_many
from medbench.metrics.scores import Scores

__all__ = [
    "METRICS",
    "MOST",
    "Metric",
    "Scores",
    "among",
    "compute",
    "get",
    "ids_for",
    "log_odds",
    "log_odds_of",
    "probabilities",
    "score",
    "score_many",
    "scores_for",
]
