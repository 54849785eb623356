"""Low-rank updates: which layers get them, what is trained, and merged weights in a plain network."""

from __future__ import annotations

import sys

import pytest
import torch

from medbench.cards.recipes import LinearUnfrozen
from medbench.errors import CardError, MedbenchError
from medbench.training.finetune.lora import add_lora, candidates, default_targets, merge
from medbench.training.finetune.networks import Classifier, linear_head
from medbench.training.finetune.optimizer import make_optimizer
from medbench.training.machine import count_trainable, frozen_digest

from ...models.small import images, small

pytestmark = pytest.mark.usefixtures("one_thread")

FAMILIES = [
    ("toy-vit", None, None), ("toy-cnn", None, None), ("eva02", None, None), ("blip", "transformers", None),
    ("sam", "segment_anything", None),
]  # fmt: skip


def network(*family: str | None, seed: int = 0, targets: list[str] | None = None) -> Classifier:
    encoder = small(*family)
    add_lora(encoder, 2, 4.0, targets, seed)
    return Classifier(encoder, linear_head(encoder.dim, 3, seed), still=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_weights_are_a_plain_network_with_the_same_outputs(family: tuple[str | None, ...]) -> None:
    made, plain = network(*family), Classifier(small(*family), linear_head(small(*family).dim, 3, 0)).eval()
    x = images(made.encoder, 3)
    first = {name: value.clone() for name, value in plain.state_dict().items()}
    with torch.no_grad():
        torch.testing.assert_close(made.eval()(x), plain(x), rtol=1e-5, atol=1e-5)  # B is zero at first
    digest = frozen_digest(made)
    optimizer = make_optimizer(made.train(), 0.05, LinearUnfrozen())
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(made(x), torch.arange(3)).backward()
        optimizer.step()
    assert frozen_digest(made) == digest, "the encoder's own weights are frozen"
    with torch.no_grad():
        tuned = made.eval()(x)
        state = merge(made)
        torch.testing.assert_close(made(x), tuned, rtol=1e-5, atol=1e-5)
        assert set(state) <= set(first), "the names are the plain network's"
        assert all(not torch.equal(value, first[name]) for name, value in state.items())
        plain.load_state_dict({**first, **state})
        torch.testing.assert_close(plain(x), tuned, rtol=1e-5, atol=1e-5)
        assert (tuned - Classifier(small(*family), linear_head(plain.encoder.dim, 3, 0)).eval()(x)).abs().max() > 0.01


def test_default_targets_are_attention_or_else_the_layers_of_the_units() -> None:
    vit, cnn = small("toy-vit"), small("toy-cnn")
    names = default_targets(vit, candidates(vit.network))
    assert names == [f"blocks.{i}.attn.{part}" for i in range(4) for part in ("qkv", "proj")]
    names = default_targets(cnn, candidates(cnn.network))
    assert names
    assert all(name.startswith("layer") for name in names), "not the first convolution"


def test_only_the_updates_and_the_head_are_trained() -> None:
    made = network("toy-vit", targets=["attn.qkv"])
    width, rank = 96, 2
    assert count_trainable(made) == 4 * rank * (width + 3 * width) + 3 * (made.encoder.dim + 1)
    again, other = network("toy-vit", targets=["attn.qkv"]), network("toy-vit", seed=1, targets=["attn.qkv"])
    for name, value in made.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        if "lora_A" in name:
            assert not torch.equal(value, other.state_dict()[name]), "the seed draws A"


def test_the_state_of_others_draws_is_not_touched() -> None:
    before = torch.get_rng_state()
    network("toy-vit")
    assert torch.equal(torch.get_rng_state(), before)


def test_targets_that_match_nothing_are_refused_with_names_that_would() -> None:
    encoder = small("toy-vit")
    with pytest.raises(CardError, match=r"'attn\.query' matches no layer of toy-vit to update") as caught:
        add_lora(encoder, 2, 2.0, ["attn.qkv", "attn.query"], 0)
    assert "attn.qkv" in caught.value.hint
    assert "mlp.fc1" in caught.value.hint


def test_attention_whose_frozen_weights_would_change_is_refused() -> None:
    encoder = small("clip", "open_clip", "tiny-vit")
    assert all("attn" not in name for name in candidates(encoder.network))
    with pytest.raises(CardError, match=r"attention of clip, a torch\.nn\.MultiheadAttention") as caught:
        add_lora(encoder, 2, 2.0, None, 0)
    assert "mlp.c_fc" in caught.value.hint
    add_lora(encoder, 2, 2.0, ["mlp.c_fc"], 0)
    assert any(value.requires_grad for value in encoder.parameters())


def test_a_machine_without_peft_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MedbenchError, match="lora needs the package peft") as caught:
        add_lora(small("toy-vit"), 2, 2.0, None, 0)
    assert caught.value.hint == "pip install 'medbench[peft]'"
