"""Studies of three models on data sets with SYNTHETIC results."""

from __future__ import annotations

from typing import Any

from medbench.cards import StudyCard

DATA = ("aptos", "ddsm", "isic2019")


def study(*data: dict[str, Any], models=("dino", "dinov2", "sam"), **changes: Any) -> StudyCard:
    """A study of models under linear-frozen; without columns by accuracy on `DATA`."""
    columns = list(data) or [{"dataset": name, "metric": "accuracy"} for name in DATA]
    fields = {
        "name": "mine",
        "title": "A study",
        "protocol": "linear-frozen",
        "entrants": [{"model": name} for name in models],
        "data": columns,
    }
    return StudyCard.model_validate({**fields, **changes})
