"""What a card does to the names and axes of a file's tensors: prefixes, turns, constants, leading axes, conversions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from medbench.cards import ModelCard
from medbench.cards.model import Weights
from medbench.errors import WeightsError
from medbench.models.build import add_axes
from medbench.models.load import load_model
from medbench.models.weights.read import fill, map_names, read_state

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
    with pytest.raises(WeightsError, match=r"starts with 'backbone\.' or 'module\.'; it holds head\.w, norm\.w"):
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
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.table = nn.Parameter(torch.zeros(1, 5, 4))


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


def test_a_state_dict_by_name_is_read_as_it_is(tmp_path: Path) -> None:
    state = numbers("a", "b.c")
    torch.save(state, tmp_path / "w.pth")
    assert read_state(tmp_path / "w.pth", Weights()) == state
