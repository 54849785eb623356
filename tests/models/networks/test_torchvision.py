"""Cards with `library: torchvision` against torchvision's own networks and feature extractor."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.squeezenet import Fire

from medbench.cards import ModelCard, find_model
from medbench.errors import CardError, WeightsError
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.models.networks.builders import construct
from medbench.models.weights.locate import RANDOM
from medbench.training.finetune.networks import thaw

OWN = Path(__file__).parents[2] / "cards" / "squeezenet1-1.yaml"
HEADS = {"fc": r"fc\..*", "classifier": r"classifier\..*", "norm kept": r"classifier\.2\..*"}

ARCHES: dict[str, tuple[str, str, list[str]]] = {
    "squeezenet1_1": ("classifier", "features.12", [f"features.{i}" for i in (3, 4, 6, 7, 9, 10, 11, 12)]),
    "squeezenet1_0": ("classifier", "features.12", [f"features.{i}" for i in (3, 4, 5, 7, 8, 9, 10, 12)]),
    "resnet18": ("fc", "layer4", [f"layer{i}" for i in (1, 2, 3, 4)]),
    "resnext50_32x4d": ("fc", "layer4", [f"layer{i}" for i in (1, 2, 3, 4)]),
    "densenet121": ("classifier", "relu", []),
    "convnext_tiny": ("norm kept", "features", []),
    "efficientnet_b0": ("classifier", "features", [f"features.{i}" for i in range(1, 8)]),
    "mobilenet_v2": ("classifier", "features", [f"features.{i}" for i in range(1, 18)]),
    "mobilenet_v3_small": ("classifier", "features", [f"features.{i}" for i in range(1, 12)]),
    "mnasnet0_5": ("classifier", "layers", [f"layers.{i}" for i in range(8, 14)]),
    "regnet_y_400mf": ("fc", "trunk_output", [f"trunk_output.block{i}" for i in (1, 2, 3, 4)]),
    "shufflenet_v2_x0_5": ("fc", "conv5", [f"stage{i}" for i in (2, 3, 4)]),
    "vgg11": ("classifier", "features", []),
    "alexnet": ("classifier", "features", []),
}
"""Architecture -> its head's name, torchvision's node of the last map, and of each unit."""


def card(arch: str, **fields: Any) -> ModelCard:
    drop = HEADS[ARCHES[arch][0]] if arch in ARCHES else "none"
    whole = {"name": "mine", "library": "torchvision", "arch": arch, "weights": {"drop": [drop]}, **fields}
    return ModelCard.model_validate(whole)


def official(arch: str) -> nn.Module:
    """Return a network of torchvision's with values of its own in norms and statistics too."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(1)
        net: nn.Module = torchvision.models.get_model(arch, weights=None)
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", "bias")):
                value.normal_(0, 0.1)
    return net.eval().requires_grad_(False)


def saved(net: nn.Module, path: Path) -> Path:
    torch.save(net.state_dict(), path / "w.pth")
    return path / "w.pth"


def images(size: int = 64, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(size))


def nodes(net: nn.Module, names: list[str], x: Tensor) -> dict[str, Tensor]:
    """Return outputs of torchvision's own nodes; that of a Fire module is a concatenation in it."""
    fires = {name for name, module in net.named_modules() if isinstance(module, Fire)}
    places = {name: f"{name}.cat" if name in fires else name for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nodes that differ in train mode, which is not used
        found = create_feature_extractor(net, list(places.values()))(x)
    return {name: found[place] for name, place in places.items()}


@pytest.mark.parametrize("arch", ARCHES)
def test_features_are_torchvisions(arch: str, tmp_path: Path) -> None:
    """Pooled vector, last map and outputs of units, of a complete state dict of torchvision with its classifier."""
    head, last, units = ARCHES[arch]
    net, x = official(arch), images()
    enc = load_model(card(arch), saved(net, tmp_path), image_size=64)
    theirs = nodes(net, [last, *units], x)
    pooled = theirs[last].mean(dim=(2, 3))
    if head == "norm kept":
        pooled = net.classifier[0](pooled[:, :, None, None]).flatten(1)  # type: ignore[index,operator,union-attr]
    torch.testing.assert_close(enc.pooled(x), pooled)
    torch.testing.assert_close(enc.tokens(x), theirs[last].flatten(2).transpose(1, 2))
    assert (enc.dim, enc.sequential, len(enc.blocks)) == (pooled.shape[1], False, len(units))
    for i, unit in enumerate(units):
        assert enc.blocks[i] is enc.network.get_submodule(unit)
        torch.testing.assert_close(enc.block(x, i), theirs[unit])
    own = {name: value for name, value in net.state_dict().items() if not re.fullmatch(HEADS[head], name)}
    held = enc.network.state_dict()
    assert list(held) == list(own), "parameters keep torchvision's names"
    for name, value in own.items():
        assert torch.equal(held[name], value), name


WITH_LINEAR = ["resnet18", "densenet121", "convnext_tiny", "efficientnet_b0", "mobilenet_v2", "mnasnet0_5",
               "regnet_y_400mf", "shufflenet_v2_x0_5"]  # fmt: skip


@pytest.mark.parametrize("arch", WITH_LINEAR)
def test_torchvisions_classifier_on_the_pooled_vector_gives_its_logits(arch: str, tmp_path: Path) -> None:
    net, x = official(arch), images()
    enc = load_model(card(arch), saved(net, tmp_path), image_size=64)
    last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
    torch.testing.assert_close(last(enc.pooled(x)), net(x))


@pytest.mark.parametrize("arch", [arch for arch, (_, _, units) in ARCHES.items() if units])
def test_a_cut_network_ends_with_its_last_unit(arch: str, tmp_path: Path) -> None:
    net, x = official(arch), images()
    units = ARCHES[arch][2]
    file = saved(net, tmp_path)
    whole = sum(p.numel() for p in load_model(card(arch), file, image_size=64).parameters())
    kept = sorted({1, len(units) // 2, len(units) - 1})
    theirs = nodes(net, [units[keep - 1] for keep in kept], x)
    for keep in kept:
        cut = load_model(card(arch), file, image_size=64, units=keep)
        wanted = theirs[units[keep - 1]]
        torch.testing.assert_close(cut.pooled(x), wanted.mean(dim=(2, 3)))
        torch.testing.assert_close(cut.network(x), wanted.mean(dim=(2, 3)))
        assert (cut.dim, len(cut.blocks)) == (wanted.shape[1], keep)
        assert sum(p.numel() for p in cut.parameters()) < whole


@pytest.mark.parametrize("arch", [arch for arch, (_, _, units) in ARCHES.items() if units])
def test_freezing_misses_nothing_between_the_units(arch: str, tmp_path: Path) -> None:
    enc = load_model(card(arch), "random", image_size=64)
    units = ARCHES[arch][2]
    thaw(enc, 1)
    names = [name for name, _ in enc.network.named_parameters()]
    frozen = [name for name, value in enc.network.named_parameters() if not value.requires_grad]
    ends = [name for name in names if name.startswith(f"{units[0]}.")][-1]
    assert frozen == names[: names.index(ends) + 1], "the stem and the first unit, and no more"


@pytest.mark.parametrize("arch", ["squeezenet1_1", "resnet18", "regnet_y_400mf", "shufflenet_v2_x0_5"])
def test_of_one_channel(arch: str, tmp_path: Path) -> None:
    net, grey = official(arch), images(channels=1)
    file = saved(net, tmp_path)
    for rule, three in (("slice", [grey, 0 * grey, 0 * grey]), ("sum", [grey] * 3)):
        enc = load_model(card(arch), file, image_size=64, in_chans=1, channel_rule=rule)
        rgb = load_model(card(arch), file, image_size=64)
        torch.testing.assert_close(enc.pooled(grey), rgb.pooled(torch.cat(three, dim=1)), rtol=1e-4, atol=1e-5)
    assert load_model(card(arch), "random", image_size=64, in_chans=1).pooled(grey).isfinite().all()


def test_a_file_is_loaded_strictly(tmp_path: Path) -> None:
    file = saved(official("resnet18"), tmp_path)
    with pytest.raises(WeightsError, match=r"2 unknown: fc\.weight, fc\.bias"):
        load_model(card("resnet18", weights={}), file, image_size=64)
    with pytest.raises(WeightsError, match="missing"):
        load_model(card("squeezenet1_1"), file, image_size=64)
    with pytest.raises(WeightsError, match="of another shape"):
        load_model(card("resnext50_32x4d"), saved(official("wide_resnet50_2"), tmp_path), image_size=64)


def test_random_weights_are_the_same_on_every_call() -> None:
    one, two = (load_model(card("squeezenet1_1"), "random", image_size=64) for _ in range(2))
    assert one.state_digest() == two.state_digest()


@pytest.mark.parametrize(
    ("wrong", "near"), [("squeezenet1_2", "squeezenet1_1"), ("resnet51", "resnet50"), ("x", "none")]
)
def test_an_unknown_architecture_is_told_with_near_ones(wrong: str, near: str) -> None:
    with pytest.raises(CardError, match=f"mine: arch: torchvision has no '{wrong}'") as caught:
        load_model(card(wrong), "random")
    assert near in caught.value.hint


@pytest.mark.parametrize("arch", ["vit_b_32", "swin_t", "maxvit_t"])
def test_an_unsupported_network_is_an_error(arch: str) -> None:
    with pytest.raises(CardError, match=rf"torchvision's {arch} is a \w+; .*supports .*SqueezeNet") as caught:
        load_model(card(arch), "random")
    assert "timm" in caught.value.hint


@pytest.mark.parametrize("args", [{"weights": "DEFAULT"}, {"nonsense": 1}, {"num_classes": "x"}, {"dropout": "much"}])
def test_arguments_that_are_not_taken_are_the_cards_fault(args: dict[str, Any]) -> None:
    with pytest.raises(CardError, match="model card mine: torchvision cannot build squeezenet1_1"):
        load_model(card("squeezenet1_1", args=args), "random")


OTHERS = {"wide_resnet50_2": 4, "efficientnet_v2_s": 6, "mobilenet_v3_large": 15, "shufflenet_v2_x2_0": 3,
          "vgg16_bn": 0, "convnext_small": 0, "densenet161": 0}  # fmt: skip


@pytest.mark.parametrize("arch", OTHERS)
def test_other_members_of_a_family(arch: str) -> None:
    """Their width and units, on the meta device, where nothing is computed."""
    with torch.device("meta"):
        enc = Encoder(card(arch), RANDOM, construct(card(arch), 64, 3), 64, 3)
    assert enc.pooled(torch.zeros(1, 3, 64, 64, device="meta")).shape == (1, enc.dim)
    assert len(enc.blocks) == OTHERS[arch]


@pytest.fixture(scope="module")
def real(shared: Path) -> tuple[Path, nn.Module]:
    from safetensors.torch import load_file

    file = shared / "weights" / "squeezenet1_1" / "model.safetensors"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    net = torchvision.models.squeezenet1_1(weights=None)
    net.load_state_dict(load_file(file))
    return file, net.eval().requires_grad_(False)


@pytest.mark.parametrize("size", [227, 64])
def test_the_real_squeezenet(size: int, real: tuple[Path, nn.Module]) -> None:
    file, net = real
    x = images(size)
    enc = load_model(str(OWN), image_size=size)
    torch.testing.assert_close(enc.pooled(x), net.features(x).mean((2, 3)))  # type: ignore[operator]
    assert enc.weights.path is not None
    assert (enc.weights.path.resolve(), enc.dim) == (file.resolve(), 512)
    assert len(enc.blocks) == find_model(str(OWN)).units == 8
    thaw(enc, 7)
    assert {n.split(".")[1] for n, p in enc.network.named_parameters() if p.requires_grad} == {"12"}


@pytest.mark.parametrize("arch", ["alexnet"])
def test_hidden_is_what_the_last_layer_of_the_classifier_sees(arch: str) -> None:
    card = ModelCard.model_validate({"name": "c", "library": "torchvision", "arch": arch, "args": {"hidden": True}})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = construct(card, 64, 3).eval()
        theirs = torchvision.models.get_model(arch, weights=None).eval()
    theirs.load_state_dict(network.state_dict(), strict=False)
    seen: list[Tensor] = []
    theirs.classifier[-1].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        theirs(x)
        assert torch.equal(network(x), seen[0])
    assert network.num_features == 4096
    kinds = {type(module) for module in network.modules() if isinstance(module, nn.Dropout)}
    assert kinds == {nn.Dropout}, "training has dropout"


def test_networks_without_hidden_layers_are_refused() -> None:
    card = ModelCard.model_validate(
        {"name": "c", "library": "torchvision", "arch": "resnet18", "args": {"hidden": True}}
    )
    with pytest.raises(CardError, match="no hidden layers"):
        construct(card, 64, 3)
