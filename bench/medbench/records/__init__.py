"""Records: what was run, the results, and everything behind them."""

from medbench.records.schema import Record, SplitCount, Unit

__all__ = ["Record", "SplitCount", "Unit"]
