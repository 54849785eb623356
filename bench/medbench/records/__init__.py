"""Records: what was run, what came out and everything behind it."""

from medbench.records.schema import Record, SplitCount, Unit

__all__ = ["Record", "SplitCount", "Unit"]
