"""The stacked classifier, against timm's own forward and torch's own layers (the published code: `test_parity`)."""

from __future__ import annotations

import math
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from medbench.cards import ModelCard, find_model
from medbench.errors import CardError
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.models.networks.stacked import Stacked
from medbench.models.weights.locate import RANDOM
from medbench.seeding import seed_of

WIDTH = 48
TINY = {"patch_size": 8, "embed_dim": WIDTH, "depth": 3, "num_heads": 4}


def encoder(grid: int = 4, **args: Any) -> Encoder:
    """Return a vision transformer of tables and norms that do something, with a grid x grid position table."""
    arch = args.pop("arch", "vit_tiny_patch16_224")
    card = {"name": "tiny", "arch": arch, "args": {**TINY, "img_size": 8 * grid, **args}, "input": {"size": 8 * grid}}
    enc = load_model(ModelCard.model_validate(card), "random")
    source = torch.Generator().manual_seed(0)
    for name, value in enc.network.named_parameters():
        if "norm" in name or value.ndim == 3:
            value.add_(torch.randn(value.shape, generator=source) * 0.3)
    return enc


def tokens(n: int, dim: int = WIDTH, batch: int = 2) -> Tensor:
    return torch.randn(batch, n, dim, generator=torch.Generator().manual_seed(n))


def dense(grid: int, side: int) -> Tensor:
    """Return the (side, grid) weights of bicubic resampling along one axis: Keys' a = -0.75, the border repeated."""
    a, found = -0.75, torch.zeros(side, grid, dtype=torch.float64)
    for i in range(side):
        centre = (i + 0.5) * grid / side - 0.5
        for tap in range(math.floor(centre) - 1, math.floor(centre) + 3):
            d = abs(tap - centre)
            near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
            found[i, min(max(tap, 0), grid - 1)] += near if d < 1 else far
    return found


def by_timm(made: Stacked, x: Tensor) -> Tensor:
    """Return timm's own forward of what is left of the DeiT, its patch embedding being the identity."""
    found: Tensor = made.deit.forward_features(made.projector(x))[:, 0]
    return found


def inputs_of_first_block(made: Stacked, x: Tensor) -> Tensor:
    seen: list[Tensor] = []
    handle = made.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        made(x)
    handle.remove()
    return seen[0]


def test_at_its_own_grid_it_is_timms_forward() -> None:
    made, x = Stacked(encoder(), 24, 5, 0), tokens(16, 24)
    with torch.no_grad():
        torch.testing.assert_close(made.features(x), by_timm(made, x))
        torch.testing.assert_close(made(x), nn.functional.linear(by_timm(made, x), made.head.weight, made.head.bias))
    assert made.features(x).shape == (2, WIDTH)
    assert made(x).shape == (2, 5)


@pytest.mark.parametrize("grid", [4, 14])
@pytest.mark.parametrize("n", [49, 196, 256])
def test_at_another_grid_it_is_timms_forward_with_the_table_resized(grid: int, n: int) -> None:
    made, x = Stacked(encoder(grid), 24, 5, 0).double(), tokens(n, 24).double()
    table, weights = made.deit.pos_embed.data, dense(grid, math.isqrt(n))
    cells = torch.einsum("ia,jb,abd->ijd", weights, weights, table[0, 1:].reshape(grid, grid, -1))
    with torch.no_grad():
        found = made.features(x)
        made.deit.pos_embed = nn.Parameter(torch.cat([table[0, :1], cells.flatten(0, 1)])[None])
        torch.testing.assert_close(found, by_timm(made, x))
    assert inputs_of_first_block(made, x).shape == (2, n + 1, WIDTH)  # 50, 197, 257 with the class token


def test_the_first_block_sees_the_class_token_and_the_normed_projection() -> None:
    made, x = Stacked(encoder(), 24, 5, 0), tokens(16, 24)
    nn.init.zeros_(made.deit.pos_embed)
    y = x.double() @ made.projector[0].weight.T.double() + made.projector[0].bias.double()
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    seen = inputs_of_first_block(made, x)
    torch.testing.assert_close(seen[:, 1:], y.detach().float())
    assert torch.equal(seen[:, 0], made.deit.cls_token.data[0].expand(2, -1))


@pytest.mark.parametrize("n", [16, 49])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_parameter_is_trained(n: int, checkpointing: bool) -> None:
    made = Stacked(encoder(), 24, 5, 0).set_grad_checkpointing(checkpointing)
    assert all(module.training for module in made.modules())
    made(tokens(n, 24)).square().sum().backward()
    for name, value in made.named_parameters():
        assert value.requires_grad, name
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name
    table = made.deit.pos_embed.grad
    assert table.shape == (1, 17, WIDTH)  # the table itself, not a resized one
    assert bool((table.abs().sum(-1) > 0).all())


def test_checkpointing_saves_memory_and_changes_no_gradient() -> None:
    made, x = Stacked(encoder(), 24, 5, 0), tokens(49, 24)

    def kept() -> tuple[int, list[Tensor]]:
        sizes: list[int] = []

        def pack(t: Tensor) -> Tensor:
            sizes.append(t.numel())
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            loss = made(x).square().sum()
        saved = sum(sizes)
        made.zero_grad()
        loss.backward()
        return saved, [p.grad.clone() for p in made.parameters() if p.grad is not None]

    plain, gradients = kept()
    made.set_grad_checkpointing()
    less, same = kept()
    assert less < plain / 3
    torch.testing.assert_close(same, gradients)
    made.set_grad_checkpointing(False)
    assert kept()[0] == plain


def test_a_training_step_moves_everything_and_is_the_same_whatever_n() -> None:
    made = Stacked(encoder(), 24, 5, 0)
    names = set(made.state_dict())
    before = {name: value.detach().clone() for name, value in made.named_parameters()}
    made(tokens(49, 24)).square().sum().backward()
    torch.optim.SGD(made.parameters(), lr=0.1).step()
    assert set(made.state_dict()) == names
    assert not any(torch.equal(value, before[name]) for name, value in made.named_parameters())
    assert made(tokens(16, 24)).shape == (2, 5)


def test_projector_and_head_are_drawn_as_torch_draws_them_under_named_seeds() -> None:
    made = Stacked(encoder(), 24, 5, 3)
    norm = made.projector[1]
    drawn = {"projector": made.projector[0], "head": made.head}
    for name, layer in drawn.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("stacked", name, 3))
            wanted = nn.Linear(layer.in_features, layer.out_features)
        torch.testing.assert_close(layer.state_dict(), wanted.state_dict(), rtol=1e-6, atol=1e-8)
    assert (drawn["projector"].in_features, drawn["projector"].out_features) == (24, WIDTH)
    assert (norm.eps, norm.normalized_shape) == (1e-5, (WIDTH,))
    assert torch.equal(norm.weight, torch.ones(WIDTH))
    assert torch.equal(norm.bias, torch.zeros(WIDTH))


def test_draws_leave_the_global_state_alone_and_depend_on_the_seed_only() -> None:
    encoders = [encoder() for _ in range(3)]
    state = torch.get_rng_state()
    first = Stacked(encoders[0], 24, 5, 0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    again, other = Stacked(encoders[1], 24, 5, 0), Stacked(encoders[2], 24, 5, 1)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    for layer in ("projector.0.weight", "projector.0.bias", "head.weight", "head.bias"):
        assert not torch.equal(first.state_dict()[layer], other.state_dict()[layer])


def test_the_network_is_taken_and_loses_what_is_not_used() -> None:
    enc = encoder(num_classes=7)
    before = {name: value.data_ptr() for name, value in enc.network.named_parameters()}
    made = Stacked(enc, 24, 5, 0)
    after = {name: value.data_ptr() for name, value in made.deit.named_parameters()}
    assert made.deit is enc.network
    assert made.blocks == enc.blocks
    assert after == {name: at for name, at in before.items() if not name.startswith(("patch_embed", "head"))}


def test_half_and_double_precision() -> None:
    made, x = Stacked(encoder(), 24, 5, 0), tokens(49, 24)
    with torch.no_grad():
        single = made(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = made(x)
        double = made.double()(x.double())
    assert (half.dtype, double.dtype) == (torch.bfloat16, torch.float64)
    torch.testing.assert_close(half.float(), single, rtol=0.05, atol=0.05)
    torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        made.float()(x).sum().backward()
    assert {p.grad.dtype for p in made.parameters() if p.grad is not None} == {torch.float32}


@pytest.mark.parametrize(("grid", "n"), [(4, 50), (4, 15), (14, 195), (14, 29 * 29)])
def test_tokens_that_the_table_cannot_be_resized_to(grid: int, n: int) -> None:
    # 29 is 14 * sqrt(841 / 196) up to rounding: the published code resizes to 28 x 28, and fails when it adds
    if n == 29 * 29:
        assert nn.functional.interpolate(torch.zeros(1, 1, 14, 14), scale_factor=math.sqrt(n / 196)).shape[-1] == 28
    made = Stacked(encoder(grid), 24, 5, 0)
    with pytest.raises(CardError, match=rf"position table of {grid} x {grid} cannot be resized to the {n} tokens"):
        made(tokens(n, 24, 1))


@pytest.mark.parametrize(
    "args",
    [
        {"class_token": False, "global_pool": "avg"},
        {"reg_tokens": 2},
        {"no_embed_class": True},
        {"pos_embed": "none"},
        {"fc_norm": True},
        {"arch": "deit_tiny_distilled_patch16_224"},
    ],
    ids=lambda args: next(iter(args)),
)
def test_networks_that_cannot_be_stacked(args: dict[str, Any]) -> None:
    card = {"name": "mine", "arch": "vit_tiny_patch16_224", "input": {"size": 32}, "features": {"pooled": "mean"}}
    card |= {"args": {**TINY, "img_size": 32, **{k: v for k, v in args.items() if k != "arch"}}}
    enc = load_model(ModelCard.model_validate({**card, **{k: v for k, v in args.items() if k == "arch"}}), "random")
    whole = len(list(enc.network.parameters()))
    with pytest.raises(CardError, match="mine cannot be a stacked classifier"):
        Stacked(enc, 24, 5, 0)
    assert len(list(enc.network.parameters())) == whole  # the network is unchanged after the error


def test_a_convolutional_network_cannot_be_stacked() -> None:
    with pytest.raises(CardError, match="toy-cnn cannot be a stacked classifier"):
        Stacked(load_model("toy-cnn"), 24, 5, 0)


@pytest.mark.parametrize("dim", [768, 384])
def test_parameters_of_the_papers_classifier(dim: int) -> None:
    card = find_model("imagenet")
    with torch.device("meta"):
        network = timm.create_model(card.arch, num_classes=0)
    made = Stacked(Encoder(card, RANDOM, network, 224, 3), dim, 5, 0)
    patch_embedding, projector, head = 16 * 16 * 3 * 768 + 768, dim * 768 + 768 + 1536, 5 * 768 + 5
    whole = 85_798_656
    assert card.parameters == round(whole / 1e6, 3)
    assert patch_embedding == 590_592
    assert sum(p.numel() for p in made.parameters()) == whole - patch_embedding + projector + head
    assert {p.device.type for p in made.parameters()} == {"meta"}
    assert len(made.blocks) == 12
