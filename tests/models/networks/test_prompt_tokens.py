"""Visual prompts against a forward pass written out, and encoders that accept none."""

from __future__ import annotations

import pytest
import torch

from medbench.errors import CardError
from medbench.models.networks.prompt_tokens import add_prompts

from ..small import images, small

P = 3


@pytest.mark.parametrize("deep", [False, True])
def test_prompts_are_the_forward_pass_of_the_paper(deep: bool) -> None:
    encoder, plain = small("dinov2"), small("dinov2").network
    x0 = images(encoder)
    add_prompts(encoder, x0[:1], P, 0, deep=deep)
    values = encoder.prompts.values
    assert values.shape == (len(encoder.blocks) if deep else 1, P, plain.embed_dim)
    with torch.no_grad():
        x = plain.norm_pre(plain.patch_drop(plain._pos_embed(plain.patch_embed(x0))))
        for i, block in enumerate(plain.blocks):
            if i == 0 or deep:
                rest = x[:, 1:] if i == 0 else x[:, 1 + P :]
                x = torch.cat([x[:, :1], values[i].expand(len(x0), -1, -1), rest], dim=1)
            x = block(x)
        expected = plain.norm(torch.cat([x[:, :1], x[:, 1 + P :]], dim=1))
        torch.testing.assert_close(encoder._last(x0), expected, rtol=1e-5, atol=1e-5)
        assert encoder.tokens(x0).shape == small("dinov2").tokens(x0).shape


@pytest.mark.parametrize(
    "family",
    [
        ("toy-vit", None, None),
        ("eva02", None, None),
        ("dinov3", None, None),
        ("clip", "open_clip", "tiny-vit"),
        ("blip", "transformers", None),
    ],
)
def test_prompts_alone_get_gradients_and_change_the_feature(family: tuple[str, str | None, str | None]) -> None:
    encoder = small(*family)
    x0 = images(encoder)
    add_prompts(encoder, x0[:1], P, 0, deep=True)
    assert [name for name, value in encoder.named_parameters() if value.requires_grad] == ["prompts.values"]
    found = encoder.pooled(x0)
    found.square().sum().backward()
    grad = encoder.prompts.values.grad
    assert grad is not None
    assert (grad.abs().amax(dim=(1, 2)) > 0).all(), "each block sees its own prompts"
    assert (found - small(*family).pooled(x0)).abs().max() > 1e-4


@pytest.mark.parametrize("compiled", [False, True])
def test_checkpointing_and_compiling_change_no_gradient(compiled: bool) -> None:
    found = []
    for cheap in (False, True):
        encoder = small("toy-vit")
        x0 = images(encoder)
        add_prompts(encoder, x0[:1], P, 0, deep=True)
        encoder.set_grad_checkpointing(cheap)
        # What torch.compile traces is the same with all its backends; this one needs no C++ compiler.
        forward = torch.compile(encoder, backend="eager") if compiled and cheap else encoder
        output = forward(x0)
        output.sum().backward()
        found.append((output.detach(), encoder.prompts.values.grad))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-7)


def test_rotary_positions_skip_the_prompts() -> None:
    encoder, plain = small("dinov3"), small("dinov3")
    add_prompts(encoder, images(encoder, 1), P, 0, deep=True)
    for block, before in zip(encoder.blocks, plain.blocks, strict=True):
        assert block.attn.num_prefix_tokens == before.attn.num_prefix_tokens + P  # type: ignore[operator, union-attr]


def test_the_seed_draws_the_prompts() -> None:
    values = []
    for seed in (0, 0, 1):
        encoder = small("toy-vit")
        x0 = images(encoder)
        add_prompts(encoder, x0[:1], P, seed, deep=False)
        values.append(encoder.prompts.values.detach())
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])
    assert values[0].abs().max() <= (6 / (3 * 8**2 + 96)) ** 0.5


@pytest.mark.parametrize("family", [("toy-cnn", None, None), ("sam", "segment_anything", None), ("seem", None, None)])
def test_an_encoder_without_a_sequence_of_tokens_is_refused(family: tuple[str, str | None, str | None]) -> None:
    encoder = small(*family)
    with pytest.raises(CardError, match="no sequence of tokens") as caught:
        add_prompts(encoder, images(encoder, 1), P, 0, deep=True)
    assert "lora" in caught.value.hint
