"""Text towers are loaded once, and texts go through them once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medbench.cards import find_dataset, find_model
from medbench.cards.recipes import ZeroShot
from medbench.models.text import TextEncoder
from medbench.models.weights.locate import RANDOM
from medbench.runs.inputs.towers import FIRST_SCALE, Towers
from medbench.runs.language import JobLanguage


def test_texts_are_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    card, calls = find_model("toy-clip"), []
    embed = TextEncoder.embed
    monkeypatch.setattr(TextEncoder, "embed", lambda self, texts: calls.append(texts) or embed(self, texts))
    towers, asked = Towers(torch.device("cpu")), JobLanguage.of(card, find_dataset("toy"), ZeroShot())
    for _ in range(2):
        language = towers.language(card, RANDOM, asked)
        assert language is not None
        first, second = (language.embed([text]) for text in ("a circle", "a square"))
    assert calls == [("a circle",), ("a square",)]
    assert first.shape == (1, 96)
    assert not np.allclose(first, second)
    assert language.scale == FIRST_SCALE, "drawn weights have no scale of their own"


def test_no_tower_is_loaded_for_other_protocols() -> None:
    assert Towers(torch.device("cpu")).language(find_model("toy-clip"), RANDOM, None) is None
