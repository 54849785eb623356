"""The data set card and its parts."""

from medbench.cards.dataset.card import METRICS, Access, ClassInfo, Counts, DatasetCard, Download, Task
from medbench.cards.dataset.csv_layout import SUBGROUP, CsvLayout, Join, LabelTable, Slices
from medbench.cards.dataset.layouts import ENDINGS, FolderLayout, Layout, ListLayout, NpzLayout, ToyLayout
from medbench.cards.dataset.splits import DERIVED, FRACTION, METHODS, SPLITS, Method, Split, SplitRule, Splits

__all__ = [
    "DERIVED",
    "ENDINGS",
    "FRACTION",
    "METHODS",
    "METRICS",
    "SPLITS",
    "SUBGROUP",
    "Access",
    "ClassInfo",
    "Counts",
    "CsvLayout",
    "DatasetCard",
    "Download",
    "FolderLayout",
    "Join",
    "LabelTable",
    "Layout",
    "ListLayout",
    "Method",
    "NpzLayout",
    "Slices",
    "Split",
    "SplitRule",
    "Splits",
    "Task",
    "ToyLayout",
]
