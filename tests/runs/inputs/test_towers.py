"""Text towers are loaded once, and texts go through them once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medbench.cards import find_dataset, find_model
from medbench.cards.recipes import ZeroShot
from medbench.models.text import TextEncoder, load_text
from medbench.models.weights.locate import RANDOM, WeightsFile
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


def test_weights_without_a_scale_are_said(tmp_path: Path) -> None:
    card, data = find_model("toy-clip"), find_dataset("toy")
    file, told = WeightsFile(tmp_path / "w.safetensors", "0" * 64, "file"), []
    for scale, settings in ((None, ZeroShot()), (None, ZeroShot(scale=9.0)), (4.0, ZeroShot())):
        tower = TextEncoder(card, file, load_text("toy-clip", "random").network, scale)
        towers = Towers(torch.device("cpu"))
        towers.get = lambda *_, tower=tower: tower  # type: ignore[method-assign]
        language = towers.language(card, file, JobLanguage.of(card, data, settings))
        assert language is not None
        told.append((language.scale, len(language.warnings)))
    assert told == [(FIRST_SCALE, 1), (9.0, 0), (4.0, 0)]


def test_no_tower_is_loaded_for_other_protocols() -> None:
    assert Towers(torch.device("cpu")).language(find_model("toy-clip"), RANDOM, None) is None
