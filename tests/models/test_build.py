from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from medbench.cards import ModelCard
from medbench.cards.model import Position, Weights
from medbench.errors import CardError, WeightsError
from medbench.models.build import adapt_channels
from medbench.models.load import load_model
from medbench.models.networks.position import resize_table

OFFICIAL = Position(antialias=False, offset=0.1)


def card(arch: str, **more: Any) -> ModelCard:
    return ModelCard.model_validate({"name": "mine", "arch": arch, **more})


def saved(net: nn.Module, path: Path) -> str:
    torch.save(net.state_dict(), path)
    return str(path)


def sampled(cells: Tensor, grid: int, scale: float) -> Tensor:
    """Bicubic resampling (1, d, G, G) -> (1, d, g, g) at the points that a scale factor means, by another routine."""
    centres = (torch.arange(grid, dtype=torch.float64) + 0.5) / scale  # in cells of the old grid
    line = centres * 2 / cells.shape[-1] - 1
    points = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)[None]
    return grid_sample(cells.double(), points, mode="bicubic", padding_mode="border", align_corners=False)


@pytest.mark.parametrize(("side", "grid"), [(37, 16), (37, 73), (14, 16), (14, 28), (14, 7)])
def test_the_official_resize_of_dino(side: int, grid: int) -> None:
    table = torch.randn(1, 1 + side * side, 8)
    found = resize_table(table, grid, OFFICIAL)
    cells = table[:, 1:].reshape(1, side, side, 8).permute(0, 3, 1, 2)
    expected = sampled(cells, grid, (grid + 0.1) / side).permute(0, 2, 3, 1).reshape(1, grid * grid, 8)
    torch.testing.assert_close(found[:, 1:].double(), expected, rtol=0, atol=5e-5)
    plain = sampled(cells, grid, grid / side).permute(0, 2, 3, 1).reshape(1, grid * grid, 8)
    assert (found[:, 1:].double() - plain).abs().max() > 1e-3, "the offset matters"
    assert torch.equal(found[:, 0], table[:, 0])


def test_without_offset_the_resize_is_timms() -> None:
    from timm.layers import resample_abs_pos_embed

    table = torch.randn(1, 1 + 14 * 14, 8)
    for antialias in (True, False):
        expected = resample_abs_pos_embed(table, [9, 9], antialias=antialias)
        torch.testing.assert_close(resize_table(table, 9, Position(antialias=antialias)), expected)


def test_all_prefix_rows_are_kept() -> None:
    table = torch.randn(1, 5 + 64, 8)
    assert torch.equal(resize_table(table, 4, Position())[:, :5], table[:, :5])
    assert resize_table(table[:, 5:], 4, Position()).shape == (1, 16, 8)


def test_a_table_without_a_square_grid_is_refused() -> None:
    with pytest.raises(WeightsError, match="not a square grid"):
        resize_table(torch.zeros(1, 8 * 10, 4), 4, Position())


def test_the_table_is_resized_when_the_image_is_and_untouched_when_not(tmp_path: Path) -> None:
    net = timm.create_model("test_vit", num_classes=0, img_size=96)
    nn.init.normal_(net.pos_embed)
    file = saved(net, tmp_path / "w.pth")
    mine = card("test_vit", position=OFFICIAL.model_dump(), input={"size": 96})
    assert torch.equal(load_model(mine, file).network.pos_embed, net.pos_embed)
    larger = load_model(mine, file, image_size=160)
    assert torch.equal(larger.network.pos_embed, resize_table(net.pos_embed, 10, OFFICIAL))
    assert larger.pooled(torch.zeros(1, 3, 160, 160)).shape == (1, 64)


def test_one_channel_by_the_first_slice_or_the_sum(tmp_path: Path) -> None:
    for arch in ("test_vit", "test_resnet"):
        net = timm.create_model(arch, num_classes=0).eval()
        file, size = saved(net, tmp_path / f"{arch}.pth"), 96
        mine, grey = card(arch, input={"size": size}), torch.rand(2, 1, size, size)
        if arch == "test_vit":
            net.set_input_size((size, size))
            file = saved(net, tmp_path / f"{arch}.pth")
        alone = torch.cat([grey, torch.zeros(2, 2, size, size)], dim=1)
        with torch.no_grad():
            expected = {"paper": net(alone), "wacv-code": net(alone), "fixed": net(grey.expand(-1, 3, -1, -1))}
        for preset, features in expected.items():
            enc = load_model(mine, file, in_chans=1, preset=preset)
            torch.testing.assert_close(enc.pooled(grey), features, rtol=1e-4, atol=1e-5)
        changed = load_model(mine, file, in_chans=1, preset="paper", channel_rule="sum")
        torch.testing.assert_close(changed.pooled(grey), expected["fixed"], rtol=1e-4, atol=1e-5)


def test_the_slice_is_the_first_and_unscaled() -> None:
    net = timm.create_model("test_resnet", num_classes=0, in_chans=1)
    kernel = torch.randn_like(net.get_parameter("conv1.0.weight").expand(-1, 3, -1, -1))
    state = {"conv1.0.weight": kernel}
    adapt_channels(state, net, "slice")
    assert torch.equal(state["conv1.0.weight"], kernel[:, :1])
    state = {"conv1.0.weight": kernel}
    adapt_channels(state, net, "sum")
    assert torch.equal(state["conv1.0.weight"], kernel.sum(1, keepdim=True))


def test_random_weights_are_the_same_on_every_call() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = load_model("toy-vit")
    assert torch.equal(before, torch.get_rng_state()), "the caller's random numbers are left alone"
    torch.manual_seed(2)
    two = load_model("toy-vit", weights="random")
    assert one.state_digest() == two.state_digest()
    assert one.weights.origin == "random"
    assert one.network.blocks[0].attn.qkv.weight.std() > 0


def test_building_for_a_file_draws_nothing_and_leaves_nothing_undrawn(tmp_path: Path) -> None:
    for arch in ("test_vit", "test_resnet", "test_efficientnet", "test_convnext", "test_byobnet"):
        torch.manual_seed(3)
        net = timm.create_model(arch, num_classes=0)
        torch.manual_seed(4)
        before = torch.get_rng_state()
        built = load_model(card(arch, input={"size": 160}), saved(net, tmp_path / f"{arch}.pth"))
        assert torch.equal(before, torch.get_rng_state())
        for (name, value), expected in zip(built.network.state_dict().items(), net.state_dict().values(), strict=True):
            assert torch.equal(value, expected), f"{arch}: {name}"
        for name, buffer in built.network.named_buffers():  # those that no file holds are computed, not drawn
            assert torch.equal(buffer, net.get_buffer(name)), f"{arch}: {name}"


def test_resnet50_is_torchvisions(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    net = torchvision.models.resnet50(weights=None).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    enc = load_model("resnet50", saved(net, tmp_path / "w.pth"), image_size=64)
    net.fc = nn.Identity()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(enc.pooled(x), net(x))
        maps = net.layer2(net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x))))))
        torch.testing.assert_close(enc.block(x, 1), maps)
        torch.testing.assert_close(enc.tokens(x).mean(1), net(x))


def test_cards_that_timm_cannot_build_are_told() -> None:
    with pytest.raises(CardError, match="timm has no 'resnet51'") as caught:
        load_model(card("resnet51"))
    assert "resnet50" in caught.value.hint
    with pytest.raises(CardError, match=r"cannot build test_resnet with .*nonsense"):
        load_model(card("test_resnet", args={"nonsense": 1}))
    with pytest.raises(CardError, match=r"args\.checkpoint_path: medbench decides"):
        load_model(card("test_resnet", args={"checkpoint_path": "trap.pth"}))
    with pytest.raises(CardError, match=r"features\.dim is 5, the network gives"):
        load_model(card("test_resnet", features={"dim": 5}))


def test_sizes_that_cut_or_do_not_fit_are_told() -> None:
    with pytest.raises(CardError, match="image size 1024 is not an integer of dinov2-small's patches of 14") as caught:
        load_model("dinov2-small", "random", image_size=1024)
    assert caught.value.hint == "choose --image-size 1022 or 1036"
    fixed = card("vit_tiny_patch16_224", args={"img_size": 160, "depth": 1})
    assert load_model(fixed, image_size=160).image_size == 160
    with pytest.raises(CardError, match="built for images of 160 x 160"):
        load_model(fixed, image_size=96)


def test_a_network_of_any_size_takes_any_size() -> None:
    enc = load_model(card("test_vit", args={"dynamic_img_size": True, "img_size": 160}), image_size=96)
    assert enc.pooled(torch.zeros(1, 3, 96, 96)).shape == (1, enc.dim)


def test_the_grid_of_a_network_is_its_images(tmp_path: Path) -> None:
    enc = load_model("toy-vit", image_size=96)
    assert math.isqrt(enc.tokens(torch.zeros(1, 3, 96, 96)).shape[1]) == 12


def test_weights_of_a_card_without_weights_are_read_plainly(tmp_path: Path) -> None:
    net = timm.create_model("test_resnet", num_classes=0)
    enc = load_model("toy-cnn", saved(net, tmp_path / "w.pth"))
    assert (enc.weights.origin, Weights().drop) == ("file", [])
    assert torch.equal(enc.network.conv1[0].weight, net.conv1[0].weight)
