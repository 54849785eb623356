"""Networks that are trained: from one unit on, decapitated, stacked; against the whole network's own forward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import medbench
from medbench.cards import ModelCard, find_model
from medbench.errors import CardError
from medbench.models.load import load_model
from medbench.models.networks.stacked import Stacked
from medbench.models.networks.units import outputs
from medbench.training.finetune.networks import Classifier, OnTokens, Resumed, leave_out_unused, linear_head, thaw
from medbench.training.machine import count_trainable, trained_state

VIT = {"embed_dim": 32, "depth": 3, "num_heads": 2}
TINY = {
    "imagenet": VIT,
    "dinov2": VIT,
    "openclip": {**VIT, "num_classes": 24},
    "blip": VIT,
    "retfound": VIT,
    "sam": {**VIT, "window_size": 3, "global_attn_indexes": [1], "neck_chans": 8},
    "seem": {"embed_dim": 8, "depths": [1, 1, 1, 1]},
    "resnet152": {"layers": [1, 1, 1, 1], "channels": [8, 12, 16, 20]},
    "toy-cnn": {},
}


def tiny(name: str) -> ModelCard:
    fields = find_model(name).resolved().model_dump(exclude_unset=True)
    fields |= {"args": {**fields.get("args", {}), **TINY[name]}, "weights": None}
    fields["features"].pop("dim", None)
    return ModelCard.model_validate(fields)


@pytest.fixture(params=TINY)
def card(request: pytest.FixtureRequest) -> ModelCard:
    return tiny(request.param)


def side(card: ModelCard) -> int:
    return 56 if card.name == "dinov2" else 64


def pictures(card: ModelCard, n: int = 2) -> torch.Tensor:
    return torch.randn(n, 3, side(card), side(card), generator=torch.Generator().manual_seed(0))


def classifier(card: ModelCard, frozen: int = 0) -> Classifier:
    encoder = load_model(card, image_size=side(card))
    thaw(encoder, frozen, final_norm=False)
    return Classifier(encoder, linear_head(encoder.dim, 3, seed=0), still=frozen > 0)


def test_resumed_is_the_whole_network_from_there(card: ModelCard) -> None:
    x = pictures(card)
    n = len(classifier(card).units)
    for f in range(1, n):
        whole, rest = classifier(card, f), Resumed(classifier(card, f), f)
        whole.train(), rest.train()
        encoder = load_model(card, image_size=side(card))
        with torch.no_grad():
            given = outputs(encoder._features, [encoder.blocks[f - 1]], x)[0]
        expected, found = whole(x), rest(given)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        expected.square().sum().backward(), found.square().sum().backward()
        ours = {k.removeprefix("classifier."): p.grad for k, p in rest.named_parameters() if p.grad is not None}
        theirs = {k: p.grad for k, p in whole.named_parameters() if p.grad is not None}
        assert ours.keys() == theirs.keys()
        for name, gradient in theirs.items():
            torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-6)
        assert count_trainable(rest) == count_trainable(whole)


def test_all_depths_in_one_pass_are_the_cut_encoders(card: ModelCard) -> None:
    encoder, x = load_model(card, image_size=side(card)), pictures(card)
    kept = list(range(1, len(encoder.blocks)))
    with torch.inference_mode():
        for k, tokens in zip(kept, encoder.depths(x, kept), strict=True):
            cut = load_model(card, image_size=side(card), units=k)
            torch.testing.assert_close(tokens, cut.tokens(x), rtol=1e-5, atol=1e-6)


def test_unused_parameters_are_left_out_and_the_others_are_not(card: ModelCard) -> None:
    encoder, x = load_model(card, image_size=side(card)), pictures(card, 1)
    stack = Stacked(load_model(tiny("imagenet")), encoder.tokens(x).shape[-1], 3, 0)
    thaw(encoder)
    network = OnTokens(encoder, stack, frozen=False)
    total = count_trainable(network)
    left = leave_out_unused(network, x)
    assert count_trainable(network) == total - left
    network.train()
    network(x).sum().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    if card.name == "dinov2":
        assert left >= 64, "tokens are taken before the last norm"


def test_batch_norm_moves_only_where_it_is_trained() -> None:
    free, still = classifier(tiny("resnet152")), classifier(tiny("resnet152"), 2)
    free.train(), still.train()
    assert any("running_mean" in name for name in trained_state(free))
    assert not any("running_mean" in name for name in trained_state(still)), "a partly frozen encoder is in eval mode"
    assert not still.encoder.training


def test_heads_are_drawn_by_name() -> None:
    a, b = linear_head(20, 3, seed=1), linear_head(20, 3, seed=1)
    assert torch.equal(a.weight, b.weight)
    assert not torch.equal(a.weight, linear_head(20, 3, seed=2).weight)
    assert a.weight.abs().max() <= 20**-0.5
    small = linear_head(2000, 30, seed=1, std=2e-5)
    assert small.weight.std().item() == pytest.approx(2e-5 * 0.88, rel=0.02), "cut at two deviations"
    assert not small.bias.any()


def test_depths_that_are_not_there_are_named() -> None:
    encoder = load_model(tiny("imagenet"))
    with pytest.raises(CardError, match="3 units"):
        thaw(encoder, 3)


@pytest.mark.parametrize(
    ("name", "tokens"), [("sam", 197), ("openclip", 197), ("blip", 197), ("dinov2", 257), ("seem", 50)]
)
def test_token_counts_of_the_paper(name: str, tokens: int) -> None:
    card = tiny(name)
    encoder = load_model(card, image_size=224)
    with torch.inference_mode():
        assert encoder.tokens(torch.zeros(1, 3, 224, 224)).shape[1] + 1 == tokens


def test_trainable_parameters_of_the_paper() -> None:
    """Section 1.9 of the facts: DeiT-B 85.799 M without head and with patch embedding; here on tokens of width 768."""
    from medbench.models.networks.builders import construct

    with torch.device("meta"):
        deit: nn.Module = construct(find_model("imagenet"), 224, 3)
    whole = sum(p.numel() for p in deit.parameters())
    assert whole == 85_798_656
    embedding = 16 * 16 * 3 * 768 + 768
    stack = Stacked(_undrawn(deit), 768, 5, 0)
    assert count_trainable(stack) == whole - embedding + (768 * 768 + 768 + 2 * 768) + (768 * 5 + 5)


def _undrawn(deit: nn.Module) -> medbench.models.encoder.Encoder:
    from medbench.models.encoder import Encoder
    from medbench.models.weights.locate import RANDOM

    return Encoder(find_model("imagenet").resolved(), RANDOM, deit, 224, 3)
