"""Checkpoints are read back exactly or not at all; an optimizer continues from one with the same bits."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medbench.storage.arrays import tensors
from medbench.training.checkpoint import State, optimizer_tensors, restore_optimizer


def state() -> State:
    made = State(arrays={"val": np.array([0.1, np.nan]), "step": np.arange(3)}, facts={"seed": 1, "rate": 1e-3})
    made.add("now", {"head.weight": torch.randn(3, 4)[:, ::2], "norm": torch.tensor(2.0)})
    made.add("nowhere", {"count": torch.arange(2)})
    return made


def test_a_state_is_read_back_by_parts(tmp_path: Path) -> None:
    made = state()
    made.save(tmp_path / "state")
    found = State.load(tmp_path / "state")
    assert found is not None
    assert found.facts == made.facts
    assert {name: value.dtype for name, value in found.arrays.items()} == {"val": np.float64, "step": np.int64}
    assert all(np.array_equal(found.arrays[name], value, equal_nan=True) for name, value in made.arrays.items())
    assert found.part("now").keys() == {"head.weight", "norm"}
    assert torch.equal(found.part("now")["head.weight"], made.part("now")["head.weight"])
    assert torch.equal(found.part("nowhere")["count"], torch.arange(2))
    assert found.part("other") == {}


@pytest.mark.parametrize(("expected", "fits"), [({}, True), ({"seed": 1, "rate": 1e-3}, True), ({"seed": 2}, False)])
def test_a_state_of_another_training_is_not_read(tmp_path: Path, expected: dict[str, float], fits: bool) -> None:
    state().save(tmp_path / "state")
    assert (State.load(tmp_path / "state", expected) is not None) is fits
    assert State.load(tmp_path / "state", {"unknown": None}) is not None
    assert State.load(tmp_path / "none", expected) is None


@pytest.mark.parametrize("at", ["cut", "flipped", "facts", "no checksum"])
def test_a_damaged_state_is_ignored_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], at: str) -> None:
    file = tmp_path / "state"
    state().save(file)
    content = bytearray(file.read_bytes())
    if at == "cut":
        content = content[:-5]
    elif at == "flipped":
        content[-5] ^= 1
    elif at == "facts":
        content = content.replace(b'seed\\": 1', b'seed\\": 2')
    else:
        content = content.replace(b'"checksum"', b'"chacksum"')
    assert bytes(content) != file.read_bytes()
    file.write_bytes(content)
    assert State.load(file) is None
    assert "is not a valid checkpoint and is ignored" in capsys.readouterr().err


def test_a_failed_save_leaves_the_previous_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state"
    state().save(file)

    def broken(content: dict[str, torch.Tensor], part: Path, metadata: dict[str, str]) -> None:
        part.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(tensors, "save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        State(facts={"seed": 2}).save(file)
    assert State.load(file, {"seed": 1}) is not None
    assert list(tmp_path.iterdir()) == [file], "nothing else is left"


def trained(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(step)).to(memory_format=torch.channels_last)
        net(x).square().mean().backward()
        optimizer.step()


@pytest.mark.usefixtures("one_thread")
def test_an_optimizer_continues_with_the_same_bits() -> None:
    """The moments of a convolution in channels-last format must get that format again."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3))
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, fused=True)
    trained(net, optimizer, range(3))
    tensors = {name: value.contiguous().clone() for name, value in optimizer_tensors(optimizer).items()}
    assert len(tensors) == 3 * len(list(net.parameters())), "two moments and a counter each"
    other = copy.deepcopy(net)
    resumed = torch.optim.AdamW(other.parameters(), lr=1e-2, fused=True)
    restore_optimizer(resumed, tensors)
    kernel = other[0].weight
    assert resumed.state[kernel]["exp_avg"].stride() == kernel.stride() != tensors["0.exp_avg"].stride()
    trained(net, optimizer, range(3, 6))
    trained(other, resumed, range(3, 6))
    for mine, theirs in zip(other.state_dict().values(), net.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
