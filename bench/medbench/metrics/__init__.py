"""Metrics by id, their averaging in the name; numpy alone.

One rule holds for every macro mean: it goes over the classes that the *truth* of the split holds. A class without
truth cannot be measured there, so it is left out and reported as absent, never scored 0 or 0.5. Classes that are
predicted but absent from the truth are left out of precision and F1 as well: such a mistake already lowers the recall
and the F1 of the class it was made on, and with the union of truth and prediction two models would be averaged over
different classes. A class that the truth holds and nobody predicts has precision and F1 of 0.
"""

from medbench.metrics.registry import METRICS, Metric, compute, get, ids_for, score, score_many
from medbench.metrics.scores import Scores

__all__ = ["METRICS", "Metric", "Scores", "compute", "get", "ids_for", "score", "score_many"]
