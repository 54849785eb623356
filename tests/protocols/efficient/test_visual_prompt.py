"""Visual prompt tuning: prompts and head are trained; a convolutional network is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.cards.recipes import VisualPrompt
from medbench.errors import CardError
from medbench.protocols.efficient import visual_prompt

from ..made import Images, job


@pytest.mark.parametrize(("deep", "sets"), [(True, 4), (False, 1)])
def test_prompts_and_the_head_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deep: bool, sets: int
) -> None:
    monkeypatch.setattr(visual_prompt, "tune", lambda given, build: build(0))
    context = job(VisualPrompt(prompts=5, deep=deep), tmp_path, Images("toy-vit"))
    network = visual_prompt.run(context).network  # type: ignore[attr-defined]
    trained = {name: value.shape for name, value in network.named_parameters() if value.requires_grad}
    assert trained == {"encoder.prompts.values": (sets, 5, 96), "head.weight": (3, 96), "head.bias": (3,)}


def test_a_convolutional_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visual_prompt, "tune", lambda given, build: build(0))
    with pytest.raises(CardError, match="toy-cnn has no sequence of tokens"):
        visual_prompt.run(job(VisualPrompt(), tmp_path, Images("toy-cnn")))
