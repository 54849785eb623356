"""A stacked classifier on patch tokens: which tokens, which parameters, with and without a bank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from medbench.cards.recipes import DecapitateFrozen, DeitFrozen, DeitUnfrozen, FinetuneRecipe
from medbench.protocols import deit
from medbench.protocols.context import FeatureBank

from .made import Images, job

pytestmark = pytest.mark.usefixtures("one_thread")


def built(
    settings: FinetuneRecipe, inputs: Images, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> Any:
    monkeypatch.setattr(deit, "tune", lambda given, build: build(0))
    return deit.run(job(settings, folder, inputs, **changes))


def test_one_pass_gives_the_tokens_of_all_depths() -> None:
    inputs = Images()
    encoder, x = inputs.encoder(), inputs.normalise(inputs.images("val")[:2])
    made = deit.token_outputs((3, 1))
    assert list(made) == ["tokens:1", "tokens:3"]
    with torch.inference_mode():
        for outputs in made.values():
            for kept, tokens in zip((1, 3), outputs(encoder, x), strict=True):
                torch.testing.assert_close(tokens, inputs.encoder(units=kept).tokens(x))
        (complete,) = deit.token_outputs(())["tokens"](encoder, x)
        assert torch.equal(complete, encoder.tokens(x))


@pytest.mark.parametrize(("settings", "frozen"), [(DeitFrozen(), True), (DeitUnfrozen(), False)])
def test_a_frozen_encoder_is_still_and_another_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: FinetuneRecipe, frozen: bool
) -> None:
    network = built(settings, Images(), tmp_path, monkeypatch).network.train()
    assert any(parameter.requires_grad for parameter in network.stack.parameters())
    assert any(parameter.requires_grad for parameter in network.encoder.parameters()) is not frozen
    assert network.encoder.training is not frozen


def test_a_stack_on_a_bank_is_the_stack_on_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Images()
    changes: dict[str, Any] = {"depth": 2, "sweep": (2, 3)}
    complete = built(DecapitateFrozen(), plain, tmp_path, monkeypatch, **changes).network.eval()
    assert plain.asked == [(["tokens:2", "tokens:3"], "tokens:2")]
    assert len(complete.encoder.blocks) == 2
    x = plain.normalise(plain.images("val")[:3])
    with torch.no_grad():
        tokens = complete.encoder.tokens(x)
    bank = FeatureBank({"val": tokens.numpy(), "test": tokens.numpy()}, [tokens.numpy()])
    stack = built(DecapitateFrozen(), Images(bank=bank), tmp_path, monkeypatch, **changes).network.eval()
    with torch.no_grad():
        torch.testing.assert_close(stack(tokens), complete(x))
