"""medbench: which pretrained vision model serves a medical-image classification task, with numbers that can be trusted.

The names below are the public interface; each is loaded on first use, so importing medbench costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medbench.api import (
        Options,
        compare,
        figure,
        list_datasets,
        list_models,
        list_protocols,
        load_dataset,
        load_model,
        load_text_model,
        run,
        table,
        write_features,
        write_report,
    )
    from medbench.data.checks.check import check as check_dataset
    from medbench.data.checks.new_card import init_dataset
    from medbench.records.hub import pull_results, push_results
    from medbench.records.merge import merge_results
    from medbench.report.html.leaderboard import write_leaderboard

    __version__: str

ELSEWHERE = {
    "check_dataset": ("data.checks.check", "check"),
    "init_dataset": ("data.checks.new_card", "init_dataset"),
    "merge_results": ("records.merge", "merge_results"),
    "pull_results": ("records.hub", "pull_results"),
    "push_results": ("records.hub", "push_results"),
    "write_leaderboard": ("report.html.leaderboard", "write_leaderboard"),
}
"""Public name -> module and name there, of what does not lie in `medbench.api`."""

__all__ = [
    "Options",
    "__version__",
    "check_dataset",
    "compare",
    "figure",
    "init_dataset",
    "list_datasets",
    "list_models",
    "list_protocols",
    "load_dataset",
    "load_model",
    "load_text_model",
    "merge_results",
    "pull_results",
    "push_results",
    "run",
    "table",
    "write_features",
    "write_leaderboard",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from medbench.storage.version import version

        value: Any = version()
    elif name in __all__:
        module, there = ELSEWHERE.get(name, ("api", name))
        value = getattr(import_module(f"medbench.{module}"), there)
    else:
        raise AttributeError(f"module 'medbench' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
