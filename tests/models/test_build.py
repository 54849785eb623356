"""Networks of every shipped card and of every family, with their weights, channels and position tables."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from medbench import cards
from medbench.cards import ModelCard
from medbench.cards.model import Position, Weights
from medbench.errors import CardError, WeightsError
from medbench.models.build import adapt_channels, add_axes
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.models.networks.builders import construct
from medbench.models.networks.position import resize_table
from medbench.models.weights.locate import RANDOM
from medbench.models.weights.read import fill

from .families import Family, close

OFFICIAL = Position(antialias=False, offset=0.1)
FILE = Path("w.pth")
OWN = [Path(__file__).parents[1] / "cards" / f"{name}.yaml" for name in ("mobilenet-v2-tf", "squeezenet1-1")]


def card(arch: str, **more: Any) -> ModelCard:
    return ModelCard.model_validate({"name": "mine", "arch": arch, **more})


def saved(net: nn.Module, path: Path) -> str:
    torch.save(net.state_dict(), path)
    return str(path)


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
    with pytest.raises(CardError, match=r"args\.checkpoint_path: medbench sets it"):
        load_model(card("test_resnet", args={"checkpoint_path": "trap.pth"}))
    with pytest.raises(CardError, match=r"features\.dim is 5, the network gives"):
        load_model(card("test_resnet", features={"dim": 5}))


def test_sizes_that_cut_or_do_not_fit_are_told() -> None:
    with pytest.raises(
        CardError, match="image size 1024 is not a multiple of the patch size of dinov2-small, 14"
    ) as caught:
        load_model("dinov2-small", "random", image_size=1024)
    assert caught.value.hint == "choose --image-size 1022 or 1036"
    fixed = card("vit_tiny_patch16_224", args={"img_size": 160, "depth": 1})
    assert load_model(fixed, image_size=160).image_size == 160
    with pytest.raises(CardError, match="takes images of 160 x 160 pixels"):
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


def on_meta(card: ModelCard) -> tuple[Encoder, float]:
    """Return the card's encoder at its native size, without memory for it, and its millions of parameters."""
    size = card.input.native or card.input.size
    with torch.device("meta"):
        enc = Encoder(card, RANDOM, construct(card, size, 3), size, 3)
    found = enc.pooled(torch.zeros(1, 3, size, size, device="meta"))
    assert found.shape == (1, enc.dim)
    return enc, sum(p.numel() for p in enc.network.parameters()) / 1e6


@pytest.mark.parametrize("name", [*cards.names("models"), *map(str, OWN)])
def test_every_card_builds_what_it_says(name: str) -> None:
    """Its own network, and the same one under every preset and by every other library that it names."""
    card = cards.find_model(name)
    same = [card.resolved(), *(card.resolved(preset) for preset in card.presets)]
    for chosen in [*same, *(card.resolved(library=library) for library in card.libraries)]:
        enc, millions = on_meta(chosen)
        assert millions == pytest.approx(card.parameters, abs=0.0015)  # cards give three decimals
        assert enc.dim == chosen.features.dim == card.features.dim
        assert len(enc.blocks) == card.units if card.units else name == "alexnet" or enc.blocks


@pytest.mark.parametrize("name", [name for name in cards.names("models") if cards.find_model(name).alternatives])
def test_every_alternative_builds_what_it_says(name: str) -> None:
    card = cards.find_model(name)
    for pooled in card.alternatives:
        for library in (None, *card.libraries):
            chosen = card.resolved(library=library, pooled=pooled)
            assert chosen.features.dim is not None
            assert on_meta(chosen)[0].dim == chosen.features.dim


def _millions(arch: str, without: str | None = None, **args: Any) -> float:
    """Return the millions of parameters of one of timm's networks, without one of its modules."""
    with torch.device("meta"):
        network = timm.create_model(arch, **{"num_classes": 0, **args})
    if without is not None:
        network.set_submodule(without, torch.nn.Identity())
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameter_counts_are_the_papers() -> None:
    """WACV 2024 prints some counts rounded and some cut, so to a tenth: which part of each network was counted."""
    encoders = {
        "sam": (_millions("samvit_base_patch16", without="neck", img_size=1024), 88.8),  # native tables, no neck
        "dinov2": (_millions("vit_base_patch14_dinov2", img_size=518), 86.5),  # the native table
        "openclip": (_millions("vit_base_patch16_clip_224", num_classes=512), 86.2),  # with its projection
        "blip": (_millions("vit_base_patch16_224"), 85.7),
        "seem": (29.922288, 29.9),  # the official backbone; our module has a test of its own
    }
    for name, (count, printed) in encoders.items():
        assert cards.find_model(name).parameters == pytest.approx(count, abs=0.0006), name
        assert count == pytest.approx(printed, abs=0.1), name
    with_head = _millions("deit_base_patch16_224", num_classes=1000)
    assert with_head == pytest.approx(86.6, abs=0.05)  # printed for DINOv1 too, whose file has no head
    for name in ("imagenet", "dino"):
        assert cards.find_model(name).parameters == pytest.approx(with_head - 0.769, abs=0.0006)
    resnet = _millions("resnet152", num_classes=1000)
    assert resnet == pytest.approx(60.193, abs=0.0006)
    assert abs(resnet - 60.4) > 0.2  # printed, and not torchvision's
    assert cards.find_model("resnet152").parameters == pytest.approx(resnet - 2.049, abs=0.0006)


def test_one_channel_of_every_family(family: Family) -> None:
    grey = family.images(channels=1)
    seen = {
        "slice": torch.cat([grey, torch.zeros_like(grey).expand(-1, 2, -1, -1)], 1),
        "sum": grey.expand(-1, 3, -1, -1),
    }
    found = {rule: family.load(in_chans=1, channel_rule=rule).pooled(grey) for rule in seen}
    for rule, three in seen.items():
        close(found[rule], family.enc.pooled(three))
    assert (found["slice"] - found["sum"]).abs().max() > 1e-3
    assert torch.equal(family.load(in_chans=1, preset="fixed").pooled(grey), found["sum"])


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(2, 3)
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.table = nn.Parameter(torch.zeros(1, 5, 4))


def test_leading_axes_are_given_back() -> None:
    state = {"token": torch.randn(4), "table": torch.randn(5, 4), "lin.weight": torch.randn(3, 2), "odd": torch.ones(2)}
    before = dict(state)
    add_axes(state, Small(), ["token", "table", "lin.weight", "odd", "nothing"])
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "token": (1, 1, 4), "table": (1, 5, 4), "lin.weight": (3, 2), "odd": (2,),
    }  # fmt: skip
    for name, value in before.items():
        assert torch.equal(state[name].flatten(), value.flatten()), name
    state = {"token": torch.randn(3)}
    add_axes(state, Small(), ["token"])
    with pytest.raises(WeightsError, match=r"token \(1, 1, 3\) for \(1, 1, 4\)"):
        fill(Small(), state, FILE)
    state = dict(before)
    add_axes(state, Small(), ["token"])
    assert state["table"] is before["table"], "only those that are named"


def test_all_of_it_together(tmp_path: Path) -> None:
    """A file with names, axes and a layout of its own fills a network as its own state dict would."""
    torch.manual_seed(5)
    net = timm.create_model("test_vit", num_classes=7).eval()
    nn.init.normal_(net.head.weight)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    state["proj"] = state.pop("head.weight").T.contiguous()
    del state["head.bias"]
    state["cls_token"], state["pos_embed"] = state["cls_token"][0, 0], state["pos_embed"][0]
    file = {
        "teacher": {"net": {f"module.{name}": value for name, value in state.items()} | {"module.aux.w": net.cls_token}}
    }
    torch.save(file, tmp_path / "w.pth")
    rules = {
        "key": "teacher.net", "prefix": ["backbone.", "module."], "rename": {"^proj$": "head.weight"},
        "drop": [r"aux\..*"], "transpose": ["head.weight"], "lead": ["cls_token", "pos_embed"],
        "absent": {"head.bias": 0.0},
    }  # fmt: skip
    fields = {"name": "mine", "arch": "test_vit", "args": {"num_classes": 7}, "input": {"size": 160}, "position": {}}
    card = ModelCard.model_validate({**fields, "weights": rules, "features": {"pooled": "head"}})
    nn.init.zeros_(net.head.bias)
    x = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(load_model(card, tmp_path / "w.pth").pooled(x), net(x))
    smaller = load_model(card, tmp_path / "w.pth", image_size=96).network
    assert smaller.pos_embed.shape == (1, 37, 64)
    for rule in ("key", "prefix", "rename", "drop", "transpose", "lead", "absent"):
        less = {name: value for name, value in rules.items() if name != rule}
        with pytest.raises(WeightsError):
            load_model(ModelCard.model_validate({**fields, "weights": less}), tmp_path / "w.pth")
