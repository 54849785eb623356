"""SEEM's backbone against its formulas written down a second time and timm's FocalNet (official: `test_parity`)."""

from __future__ import annotations

import math
import re
import zlib
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from medbench.errors import MedbenchError
from medbench.models.networks.seem import SeemFocalNet, seem_focal_tiny

DEPTHS = (1, 1, 2, 1)
State = dict[str, Tensor]


def wave(name: str, *shape: int) -> Tensor:
    """Float64 numbers within [-1, 1] that are a pure function of name and shape."""
    places = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(0.37 * places**2 + zlib.crc32(name.encode()) % 1000).reshape(shape)


def value(name: str, *shape: int) -> Tensor:
    """A parameter whose network keeps activations of order one, every branch included."""
    if len(shape) > 1:
        return wave(name, *shape) * math.sqrt(2 / math.prod(shape[1:]))
    if "gamma" in name:
        return 0.5 + 0.1 * wave(name, *shape)
    return 0.1 * wave(name, *shape) + float("norm" in name and name.endswith("weight"))


def small(in_chans: int = 3, **args: Any) -> SeemFocalNet:
    net = SeemFocalNet(in_chans, embed_dim=8, depths=DEPTHS, **args).double().eval()
    net.load_state_dict({name: value(name, *held.shape) for name, held in net.state_dict().items()})
    return net


def images(in_chans: int = 3, height: int = 70, width: int = 90) -> Tensor:
    return wave("image", 2, in_chans, height, width)


# The formulas again, on maps (b, c, h, w), with the official padding written out.


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def norm(p: State, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(dim=1, keepdim=True)
    x = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
    return x * p[f"{name}.weight"].view(1, -1, 1, 1) + p[f"{name}.bias"].view(1, -1, 1, 1)


def point(p: State, name: str, x: Tensor) -> Tensor:
    weight = p[f"{name}.weight"]
    return torch.einsum("oc,bchw->bohw", weight.flatten(1), x) + p[f"{name}.bias"].view(1, -1, 1, 1)


def depthwise(p: State, name: str, x: Tensor) -> Tensor:
    weight = p[f"{name}.weight"]
    return conv2d(x, weight, p.get(f"{name}.bias"), padding=weight.shape[-1] // 2, groups=x.shape[1])


def embed(p: State, name: str, x: Tensor, stride: int, padding: int) -> Tensor:
    x = pad(x, (0, -x.shape[3] % stride, 0, -x.shape[2] % stride))
    return conv2d(x, p[f"{name}.proj.weight"], p[f"{name}.proj.bias"], stride, padding)


def modulation(p: State, name: str, x: Tensor) -> Tensor:
    c = x.shape[1]
    mixed = point(p, f"{name}.f", x)
    query, context, gates = mixed[:, :c], mixed[:, c : 2 * c], mixed[:, 2 * c :]
    total = torch.zeros_like(x)
    for level in range(3):
        context = gelu(depthwise(p, f"{name}.focal_layers.{level}.0", context))
        total = total + context * gates[:, level, None]
    total = total + gelu(context.mean(dim=(2, 3), keepdim=True)) * gates[:, 3, None]
    return point(p, f"{name}.proj", query * point(p, f"{name}.h", total / 4))


def block(p: State, name: str, x: Tensor) -> Tensor:
    scales = [p[f"{name}.gamma_{i}"].view(1, -1, 1, 1) for i in (1, 2)]
    x = x + depthwise(p, f"{name}.dw1", x)
    x = norm(p, f"{name}.norm1", x + scales[0] * modulation(p, f"{name}.modulation", x))
    x = x + depthwise(p, f"{name}.dw2", x)
    hidden = gelu(point(p, f"{name}.mlp.fc1", x))
    return norm(p, f"{name}.norm2", x + scales[1] * point(p, f"{name}.mlp.fc2", hidden))


def reference(p: State, x: Tensor, bare: bool = False) -> list[Tensor]:
    """Return every stage's map (b, h, w, d) after its own norm."""
    x = embed(p, "patch_embed", x, 4, 0 if bare else 3)
    x = x if bare else norm(p, "patch_embed.norm", x)
    found = []
    for stage, depth in enumerate(DEPTHS):
        for i in range(depth):
            x = block(p, f"layers.{stage}.blocks.{i}", x)
        found.append(norm(p, f"norm{stage}", x).permute(0, 2, 3, 1))
        if stage < 3:
            down = f"layers.{stage}.downsample"
            x = norm(p, f"{down}.norm", embed(p, down, x, 2, 1))
    return found


RECORDED = [
    [0.85189267, 1.37676704, -0.62040375],
    [-0.77577983, 1.21334731, -0.02212162],
    [1.17114743, 0.41756582, -0.67205944],
    [0.45627397, 0.3835316, 1.02040173],
]
"""First numbers of the second image at row 1, column 2 of each stage's map, as the reference gave them in float64."""


@torch.no_grad()
def test_the_formulas_and_recorded_numbers() -> None:
    net, x = small(), images()
    maps = reference(net.state_dict(), x)
    recorded = torch.tensor(RECORDED, dtype=torch.float64)
    torch.testing.assert_close(torch.stack([m[1, 1, 2, :3] for m in maps]), recorded, rtol=0, atol=1e-6)
    expected = maps[-1]
    torch.testing.assert_close(net.forward_features(x), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(net(x), expected.mean(dim=(1, 2)), rtol=1e-10, atol=1e-12)
    single = net.float()
    for layout in (torch.contiguous_format, torch.channels_last):
        found = single.to(memory_format=layout).forward_features(x.float().contiguous(memory_format=layout))
        assert (found.double() - expected).norm() / expected.norm() < 5e-6


@torch.no_grad()
@pytest.mark.parametrize("size", [(70, 90), (64, 64), (33, 35), (7, 130), (1, 1)])
def test_any_size_gives_a_grid_rounded_up_at_every_stage(size: tuple[int, int]) -> None:
    net, x = small(), images(3, *size)
    expected = reference(net.state_dict(), x)
    for units in (4, 3, 2, 1):
        net.truncate(units)
        found, stride = net.forward_features(x), 2 ** (units + 1)
        assert found.shape[1:3] == tuple(math.ceil(side / stride) for side in size)
        torch.testing.assert_close(found, expected[units - 1], rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_without_its_own_convolutions_a_block_is_timms() -> None:
    from timm.layers import LayerNorm2d
    from timm.models.focalnet import FocalNet, FocalNetBlock

    def normed_sums(self: FocalNetBlock, x: Tensor) -> Tensor:  # timm norms the branches instead
        x = self.norm1_post(x + self.ls1(self.modulation(x)))
        return self.norm2_post(x + self.ls2(self.mlp(x)))

    mine = small()
    state = {name: held * (".dw" not in name) for name, held in mine.state_dict().items()}
    mine.load_state_dict(state)
    args = {"use_overlap_down": True, "use_post_norm": True, "normalize_modulator": True, "layerscale_value": 1e-4}
    levels = {"focal_levels": (3,) * 4, "focal_windows": (3,) * 4, "norm_layer": partial(LayerNorm2d, eps=1e-5)}
    theirs = FocalNet(num_classes=0, embed_dim=8, depths=DEPTHS, **args, **levels).double().eval()
    theirs.stem.proj.padding = (3, 3)
    for module in theirs.modules():
        if isinstance(module, FocalNetBlock):
            module.forward = normed_sums.__get__(module)
    theirs.load_state_dict(renamed(state, theirs.state_dict()))
    x = images(3, 64, 96)
    expected = theirs.forward_features(x).permute(0, 2, 3, 1)
    torch.testing.assert_close(mine.forward_features(x), expected, rtol=1e-10, atol=1e-12)


def renamed(state: State, wanted: State) -> State:
    """Return SEEM's tensors under timm's names; timm counts a downsample to the stage after it."""
    found: State = {}
    for name, held in state.items():
        if ".dw" in name or name.startswith(("norm0", "norm1", "norm2")):
            continue
        name = re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample", name)
        name = re.sub(r"gamma_(\d)", r"ls\1.gamma", re.sub(r"(blocks\.\d\.norm\d)", r"\1_post", name))
        name = name.replace("patch_embed", "stem").replace("norm3", "norm")
        found[name] = held.reshape(wanted[name].shape)
    return found


@torch.no_grad()
@pytest.mark.parametrize("units", [1, 2, 3, 4])
def test_a_truncated_network_gives_the_last_kept_stage(units: int) -> None:
    whole, cut, x = small(), small(), images()
    maps: list[Tensor] = []
    for stage in whole.layers:
        stage.register_forward_hook(lambda module, inputs, output: maps.append(output))
    whole.forward_features(x)
    cut.truncate(units)
    assert (len(cut.layers), cut.num_features) == (units, 8 * 2 ** (units - 1))
    assert torch.equal(cut.forward_features(x), whole.get_submodule(f"norm{units - 1}")(maps[units - 1]))
    assert torch.equal(cut(x), cut.forward_features(x).mean(dim=(1, 2)))
    later = [f"{kind}{i}." for i in range(units, 4) for kind in ("layers.", "norm")]
    later.append(f"layers.{units - 1}.downsample.")
    assert list(cut.state_dict()) == [name for name in whole.state_dict() if not name.startswith(tuple(later))]


def test_truncation_out_of_range_is_told() -> None:
    net = small()
    for units in (0, 5):
        with pytest.raises(MedbenchError, match=f"SEEM has 4 stages, so it cannot keep {units}"):
            net.truncate(units)
    net.truncate(2)
    with pytest.raises(MedbenchError, match="SEEM has 2 stages"):
        net.truncate(3)


@torch.no_grad()
def test_the_bare_grey_stem_has_no_padding_and_no_norm() -> None:
    bare, whole, x = small(1, grey_stem="bare"), small(1), images(1, 64, 96)
    assert bare.state_dict().keys() == whole.state_dict().keys()
    assert bare.patch_embed(x.permute(0, 2, 3, 1)).shape == (2, 15, 23, 8)
    assert whole.patch_embed(x.permute(0, 2, 3, 1)).shape == (2, 16, 24, 8)
    for net in (bare, whole):
        expected = reference(net.state_dict(), x, bare=net is bare)[-1]
        torch.testing.assert_close(net.forward_features(x), expected, rtol=1e-10, atol=1e-12)
    assert (bare(x) - whole(x)).norm() / whole(x).norm() > 1e-2


@torch.no_grad()
def test_colour_has_the_whole_stem_always() -> None:
    assert torch.equal(small(3, grey_stem="bare")(images()), small(3)(images()))


@torch.no_grad()
def test_paths_are_dropped_in_training_only() -> None:
    net, x = small(drop_path_rate=0.8), images()
    rates = [block.drop_path.drop_prob for stage in net.layers for block in stage.blocks]
    assert rates == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert torch.equal(net(x), small()(x))
    net.train()
    torch.manual_seed(0)
    assert len({round(float(net(x).norm()), 6) for _ in range(4)}) > 1
    steady = small(drop_path_rate=0.0)
    assert torch.equal(steady.train()(x), net.eval()(x))


def test_focal_tiny_has_the_official_size_and_timms_names() -> None:
    with torch.device("meta"):
        net = seem_focal_tiny(3)
        grey = seem_focal_tiny(1, grey_stem="bare")
    assert sum(p.numel() for p in net.parameters()) == 29_922_288
    assert len(net.state_dict()) == 300
    assert grey.get_parameter("patch_embed.proj.weight").shape == (96, 1, 7, 7)
    assert (net.num_features, net.output_fmt, net.patch_embed.output_fmt) == (768, "NHWC", "NHWC")
    assert isinstance(net.get_submodule(net.default_cfg["first_conv"]), nn.Conv2d)
    assert [len(stage.blocks) for stage in net.layers] == [2, 2, 6, 2]
    assert [stage.downsample is None for stage in net.layers] == [False, False, False, True]


def test_arguments_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="no classifier"):
        seem_focal_tiny(3, num_classes=5)
    with pytest.raises(ValueError, match="grey_stem 'half' is not one of whole, bare"):
        seem_focal_tiny(1, grey_stem="half")
