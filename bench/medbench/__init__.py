"""medbench: which pretrained vision model serves a medical-image classification task, with numbers that can be trusted.

The names below are the public interface; each is loaded on first use, so importing medbench costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medbench.api import (
        Options,
        check_data,
        compare,
        figure,
        list_datasets,
        list_models,
        list_protocols,
        load_dataset,
        load_model,
        load_text_model,
        merge_results,
        pull_results,
        push_results,
        run,
        status,
        table,
        write_card,
        write_features,
        write_leaderboard,
        write_report,
    )

    __version__: str

__all__ = [
    "Options",
    "__version__",
    "check_data",
    "compare",
    "figure",
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
    "status",
    "table",
    "write_card",
    "write_features",
    "write_leaderboard",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from medbench.storage.version import version

        value: Any = version()
    elif name in __all__:
        from medbench import api

        value = getattr(api, name)
    else:
        raise AttributeError(f"module 'medbench' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
