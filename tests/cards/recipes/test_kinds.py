"""Kinds of protocols: their code is found by their name."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest

from medbench.cards.recipes import KINDS, SETTINGS
from medbench.cards.recipes.kinds import Kind


@pytest.mark.parametrize(
    ("kind", "module", "function"),
    [
        (Kind("lp-ft"), "lp_ft", "run"),
        (Kind("deit-frozen", module="deit"), "deit", "run"),
        (Kind("cka-models", module="cka", function="run_models"), "cka", "run_models"),
    ],
)
def test_a_kind_runs_its_modules_function(
    kind: Kind, module: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def found(name: str) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace(**{function: lambda context: ("ran", context)})

    monkeypatch.setattr(importlib, "import_module", found)
    assert kind.run(7) == ("ran", 7)
    assert asked == [f"medbench.protocols.{module}"]


@pytest.mark.parametrize("name", KINDS)
def test_what_a_kind_names_is_there(name: str) -> None:
    kind, fields = KINDS[name], SETTINGS[name].model_fields
    module = importlib.import_module(f"medbench.protocols.{kind.module or name.replace('-', '_')}")
    assert callable(getattr(module, kind.function))
    assert {kind.first, kind.last, *kind.tunes} - {""} <= set(KINDS)
    assert not kind.sweep or kind.sweep in fields
    assert not kind.second or kind.second in fields or hasattr(SETTINGS[name], kind.second)
