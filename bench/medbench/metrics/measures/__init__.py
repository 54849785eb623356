"""Metrics that are computed on demand, from stored predictions of the test and the validation part."""

from medbench.metrics.measures.ids import biased, higher_is_better, measure, on_demand, spellings
from medbench.metrics.measures.measure import MEASURES, Measure, Predictions

__all__ = ["MEASURES", "Measure", "Predictions", "biased", "higher_is_better", "measure", "on_demand", "spellings"]
