"""Weights files of every layout, damaged and hostile ones too, and what a card does to the names of their tensors."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from medbench.cards.model import Weights
from medbench.errors import CardError, WeightsError
from medbench.models.weights.read import fill, map_names, read_file, read_state

State = dict[str, Tensor]


def network(arch: str = "test_vit", classes: int = 0) -> nn.Module:
    return timm.create_model(arch, num_classes=classes)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(7)
    return network()


def loaded(path: Path, **rules: Any) -> nn.Module:
    """Fill a fresh network from a file under a card's rules."""
    target = network()
    fill(target, read_state(path, Weights(**rules)), path)
    return target


def same(a: nn.Module, b: nn.Module) -> bool:
    one, two = a.state_dict(), b.state_dict()
    return list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)


def legacy(value: Any, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def beside(state: State) -> dict[str, Any]:
    """Return what training code saves with the weights."""
    options = argparse.Namespace(lr=1e-3, model="vit", layers=[1, 2])
    return {"model": state, "args": options, "epoch": 800, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}


LAYOUTS: dict[str, tuple[Callable[[State, Path], None], dict[str, Any]]] = {
    "plain": (torch.save, {}),
    "legacy": (legacy, {}),
    "safetensors": (save_file, {}),
    "nested": (lambda s, p: torch.save({"model": s}, p), {"key": "model"}),
    "nested deeper": (lambda s, p: torch.save({"a": {"b": s}}, p), {"key": "a.b"}),
    "arguments beside": (lambda s, p: torch.save(beside(s), p), {"key": "model"}),
    "legacy, arguments beside": (lambda s, p: legacy(beside(s), p), {"key": "model"}),
    "wrapped by DDP": (lambda s, p: torch.save({f"module.{k}": v for k, v in s.items()}, p), {"prefix": "module."}),
    "one tower of two": (
        lambda s, p: torch.save({f"visual.{k}": v for k, v in s.items()} | {"text.w": torch.ones(2)}, p),
        {"prefix": "visual."},
    ),
    "other names": (
        lambda s, p: torch.save({k.replace("mlp.fc", "mlp.lin").replace("blocks", "h"): v for k, v in s.items()}, p),
        {"rename": {r"\.mlp\.lin(\d)\.": r".mlp.fc\1.", "^h": "blocks"}},
    ),
    "a head to drop": (
        lambda s, p: torch.save(s | {"head.weight": torch.ones(3, 64), "head.bias": torch.ones(3)}, p),
        {"drop": [r"head\..*"]},
    ),
    "half precision": (lambda s, p: torch.save({k: v.half() for k, v in s.items()}, p), {}),
    "a later pickle protocol": (lambda s, p: torch.save(s, p, pickle_protocol=3), {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_fills_the_network(layout: str, net: nn.Module, tmp_path: Path) -> None:
    save, rules = LAYOUTS[layout]
    if layout == "half precision":
        net.half().float()
    path = tmp_path / "weights.bin"  # the name says nothing about the format
    save(net.state_dict(), path)
    target = loaded(path, **rules)
    assert same(target, net)
    assert all(p.dtype == torch.float32 for p in target.parameters())


def test_a_rename_sees_names_without_their_prefix_and_drop_sees_new_names(net: nn.Module, tmp_path: Path) -> None:
    state = {f"m.{k}": v for k, v in net.state_dict().items()} | {"m.classifier.w": torch.ones(1)}
    torch.save(state, tmp_path / "w.pth")
    target = loaded(tmp_path / "w.pth", prefix="m.", rename={"^classifier": "head"}, drop=[r"head\.w"])
    assert same(target, net)


def refused(net_state: State, path: Path, **rules: Any) -> str:
    torch.save(net_state, path)
    with pytest.raises(WeightsError) as caught:
        loaded(path, **rules)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value.message


def test_what_does_not_fit_is_listed(net: nn.Module, tmp_path: Path) -> None:
    state, path = net.state_dict(), tmp_path / "w.pth"
    full = dict(state)
    del state["blocks.0.mlp.fc1.weight"]
    assert "1 missing: blocks.0.mlp.fc1.weight" in refused(state, path)
    assert "1 unknown: junk" in refused(full | {"junk": torch.ones(1)}, path)
    assert "1 of another shape: norm.bias (3,) for (64,)" in refused(full | {"norm.bias": torch.ones(3)}, path)
    both = refused({f"x{k}": v for k, v in full.items()}, path)
    n = len(full)
    assert f"{n} missing: " in both
    assert f"{n} unknown: " in both
    assert both.count(f"and {n - 4} more") == 2


def test_a_drop_pattern_names_the_whole_key(net: nn.Module, tmp_path: Path) -> None:
    state = net.state_dict() | {"head.weight": torch.ones(1)}
    assert "1 unknown: head.weight" in refused(state, tmp_path / "w.pth", drop=["head"])
    assert "1 missing: norm.weight" in refused(net.state_dict(), tmp_path / "w.pth", drop=["norm.weight"])


def test_another_architecture_is_told(tmp_path: Path) -> None:
    assert "does not fit VisionTransformer" in refused(network("test_resnet").state_dict(), tmp_path / "w.pth")


def test_a_wrong_key_or_prefix_shows_what_the_file_holds(net: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    wrong = refused({"state_dict": net.state_dict(), "epoch": 3}, path, key="model")  # type: ignore[dict-item]
    assert "nothing under the key 'model'; it contains state_dict, epoch" in wrong
    assert "no named tensors, but state_dict" in refused({"state_dict": net.state_dict()}, path)  # type: ignore[dict-item]
    assert "starts with 'visual.'; it contains cls_token, pos_embed" in refused(
        net.state_dict(), path, prefix="visual."
    )
    assert "is not a tensor but int" in refused(net.state_dict() | {"epoch": 3}, path)  # type: ignore[dict-item]
    assert "without a name: 0" in refused({0: torch.ones(1)}, path)  # type: ignore[dict-item]
    assert "no named tensors, but list" in refused([torch.ones(1)], path)  # type: ignore[arg-type]


def test_two_tensors_for_one_name_are_refused(net: nn.Module, tmp_path: Path) -> None:
    state = net.state_dict() | {"ema.norm.bias": torch.zeros(64)}
    assert "two tensors become 'norm.bias'" in refused(state, tmp_path / "w.pth", rename={r"^ema\.": ""})


def test_a_bad_replacement_is_the_cards_fault(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "w.pth")
    with pytest.raises(CardError, match=r"'blocks' cannot be replaced by '\\3'.*\n.*weights.rename"):
        loaded(tmp_path / "w.pth", rename={"blocks": r"\3"})


def test_values_that_are_no_numbers_are_refused(net: nn.Module, tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        state = net.state_dict()
        state["norm.weight"] = torch.full((64,), value)
        assert "1 tensors hold NaN or infinity: norm.weight" in refused(state, tmp_path / "w.pth")


def test_only_the_counter_of_a_batch_norm_may_be_missing(tmp_path: Path) -> None:
    net, path = network("test_resnet"), tmp_path / "w.pth"
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked += 5
    counters = [name for name in net.state_dict() if name.endswith("num_batches_tracked")]
    assert counters
    state = {name: value for name, value in net.state_dict().items() if name not in counters}
    torch.save(state, path)
    target = network("test_resnet")
    fill(target, read_state(path, Weights()), path)
    assert all(target.state_dict()[name] == 0 for name in counters)
    del state["bn1.running_mean"]
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"1 missing: bn1\.running_mean"):
        fill(network("test_resnet"), read_state(path, Weights()), path)


@pytest.mark.parametrize("save", [torch.save, legacy, save_file], ids=["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_told(
    save: Callable[[State, Path], None], share: float, net: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "w.pth"
    save(net.state_dict(), path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(WeightsError, match=r"truncated|is empty|damaged") as caught:
        read_file(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>", b"PK\x03\x04 not a zip", b"\x80\x02.", b"hello\n" * 99])
def test_other_files_are_told(content: bytes, tmp_path: Path) -> None:
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError):
            read_file(tmp_path / name)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return open, (str(self.mark), "w")


def trapped(how: str, trap: Trap, path: Path, protocol: int) -> None:
    content = {"model": {"w": torch.zeros(2)}, "extra": trap}
    if how == "pickle":
        path.write_bytes(pickle.dumps({"extra": trap}, protocol=protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=how == "zip")


@pytest.mark.parametrize("how", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_a_file_is_never_run(how: str, protocol: int, tmp_path: Path) -> None:
    path, mark = tmp_path / "trap.pth", tmp_path / "sprung"
    trapped(how, Trap(mark), path, protocol)
    with pytest.raises(WeightsError, match="contains code") as caught:
        read_state(path, Weights(key="model"))
    assert not mark.exists()
    assert protocol == 4 or re.search(r"code \((io\.)?open\)", caught.value.message)


def test_the_trap_would_spring(tmp_path: Path) -> None:
    trapped("pickle", Trap(tmp_path / "sprung"), tmp_path / "trap.pth", 2)
    pickle.loads((tmp_path / "trap.pth").read_bytes())["extra"].close()
    assert (tmp_path / "sprung").exists()


FILE = Path("w.pth")
Named = dict[str, Tensor]


def mapped(state: dict[str, Any], **rules: Any) -> Named:
    return map_names(state, Weights(**rules), FILE)


def numbers(*names: str) -> Named:
    return {name: torch.tensor(float(i)) for i, name in enumerate(names)}


def test_of_several_prefixes_the_first_that_is_met() -> None:
    both = numbers("module.backbone.w", "backbone.w", "head.w")
    assert mapped(both, prefix=["backbone.", "module.backbone."]) == {"w": both["backbone.w"]}
    assert mapped(both, prefix=["module.backbone.", "backbone."]) == {"w": both["module.backbone.w"]}
    wrapped = numbers("module.backbone.w", "module.head.w")
    assert list(mapped(wrapped, prefix=["backbone.", "module.backbone."])) == ["w"]
    bare = numbers("w", "head.w")
    assert list(mapped(bare, prefix=["backbone.", "module.backbone.", ""])) == ["w", "head.w"]
    assert list(mapped(both, prefix=["", "backbone."])) == list(both)


def test_prefixes_that_are_not_met_are_told() -> None:
    with pytest.raises(WeightsError, match=r"starts with 'backbone\.' or 'module\.'; it contains head\.w, norm\.w"):
        mapped(numbers("head.w", "norm.w"), prefix=["backbone.", "module."])


def test_a_prefix_stands_at_the_beginning_alone() -> None:
    state = numbers("a.b.w", "b.a.w", "a.a.w")
    assert mapped(state, prefix="a.") == {"b.w": state["a.b.w"], "a.w": state["a.a.w"]}


def test_renames_come_in_order_and_each_sees_the_last() -> None:
    state = numbers("layers.0.w")
    assert list(mapped(state, rename={"^layers": "blocks", r"^blocks\.(\d)": r"h.\1", "w$": "weight"})) == [
        "h.0.weight"
    ]
    assert list(mapped(state, rename={r"^blocks\.(\d)": r"h.\1", "^layers": "blocks"})) == ["blocks.0.w"]
    assert list(mapped(state, rename={"^": "visual."})) == ["visual.layers.0.w"]


def test_matrices_are_turned_by_their_new_names() -> None:
    matrix, other, line = torch.randn(2, 3), torch.randn(2, 3), torch.randn(4)
    state = {"proj": matrix, "other": other, "bias": line}
    found = mapped(state, rename={"^proj$": "head.weight"}, transpose=["head.weight", "bias", "absent"])
    assert torch.equal(found["head.weight"], matrix.T)
    assert found["other"] is other
    assert found["bias"] is line, "a vector has nothing to turn"
    assert mapped(state, rename={"^proj$": "head.weight"}, transpose=["proj"])["head.weight"] is matrix


def test_dropped_things_need_not_be_tensors() -> None:
    assert list(mapped({"w": torch.ones(1), "epoch": 3}, drop=["epoch"])) == ["w"]
    with pytest.raises(WeightsError, match="'epoch' is not a tensor but int"):
        mapped({"w": torch.ones(1), "epoch": 3})


def test_what_a_conversion_must_see_is_dropped_after_it() -> None:
    state: dict[str, Any] = {"w": torch.ones(1), "head.w": torch.ones(1), "head.epoch": 3}
    assert list(mapped(state, drop=[r"head\..*"])) == ["w"]
    assert list(mapped(state, drop=[r"head\..*"], convert="library")) == ["w", "head.w"]


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(2, 3)


def filled(without: str = "", **more: Any) -> Small:
    net = Small()
    state = {name: torch.full_like(value, 2.0) for name, value in net.state_dict().items() if name != without}
    fill(net, state, FILE, **more)
    return net


def test_what_no_file_of_a_layout_holds_is_a_constant() -> None:
    net = filled("lin.bias", absent={"lin.bias": 0.5})
    assert torch.equal(net.lin.bias, torch.full((3,), 0.5))
    assert (net.lin.weight == 2).all()
    assert (filled(absent={"lin.bias": 0.5}).lin.bias == 2).all(), "a file that does hold it is believed"
    assert (filled(absent={"head.bias": 0.5}).lin.bias == 2).all(), "a name that the network lacks means nothing"
    with pytest.raises(WeightsError, match=r"1 missing: lin\.weight"):
        filled("lin.weight", absent={"lin.bias": 0.5})


def test_a_state_dict_by_name_is_read_as_it_is(tmp_path: Path) -> None:
    state = numbers("a", "b.c")
    torch.save(state, tmp_path / "w.pth")
    assert read_state(tmp_path / "w.pth", Weights()) == state
