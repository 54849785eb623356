"""The units of every family against hooks by hand; a cut network is the beginning of the complete one."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from medbench.errors import CardError
from medbench.models.networks import units as module
from medbench.models.networks.units import outputs, replace, truncate

from ..families import (
    Family,
    attentive,
    channels_end,
    close,
    expected,
    layers,
    normed,
    passed,
    rows,
    run_by,
    staged,
    units,
)


def test_units_and_layers_are_the_networks(family: Family) -> None:
    enc, x = family.enc, family.images()
    held = [(enc.block, enc.blocks, units(family.network)), (enc.layer, enc.layers, layers(family.network))]
    for view, seen, modules in held:
        assert seen == modules
        for i, raw in enumerate(passed(family.network, modules, x)):
            found, ran = run_by(partial(view, x, i), modules)
            assert ran == list(range(i + 1)), "the later ones are not run"
            close(found, rows(family.card, raw) if channels_end(family.card) else raw)
    assert not any(module._forward_hooks for module in family.network.modules())


def test_a_cut_network_is_the_whole_ones_beginning(family: Family) -> None:
    x, card = family.images(), family.card
    modules = units(family.network)
    raws = passed(family.network, modules, x)
    sizes = [sum(p.numel() for p in module.parameters()) for module in modules]
    whole = sum(p.numel() for p in family.network.parameters())
    for keep in range(1, len(modules) + 1):
        enc = family.load(units=keep)
        gone = whole - sum(p.numel() for p in enc.network.parameters())
        assert gone >= sum(sizes[keep:])
        assert gone == sum(sizes[keep:]) or "seem" in card.arch, "there its norms and the way to the next stage too"
        assert (len(enc.blocks), enc.whole) == (keep, keep == len(modules))
        pooled = enc.pooled(x)
        assert pooled.shape == (2, enc.dim)
        network = family.network if "seem" in card.arch else enc.network
        with torch.no_grad():
            last = enc.network(x) if attentive(family) and enc.whole else expected(card, network, raws[:keep])
        close(pooled, last)
        close(enc.block(x, keep - 1), rows(card, raws[keep - 1]) if channels_end(card) else raws[keep - 1])
        wanted = normed(card, network, raws[keep - 1], keep - 1) if not staged(card) else rows(card, raws[keep - 1])
        close(enc.tokens(x, norm=True), wanted[:, enc.prefix :])


class Sized(nn.Module):
    """A block that passes its map and the size of the map, as in timm's MViTv2."""

    def forward(self, given: tuple[Tensor, int]) -> tuple[Tensor, int]:
        return given[0] + 1, given[1]


def test_what_a_unit_passes_beside_its_map_is_left() -> None:
    blocks = nn.Sequential(Sized(), Sized(), Sized())
    found = outputs(lambda x: blocks((x, 4)), [blocks[0], blocks[1]], torch.zeros(2))
    assert [value.tolist() for value in found] == [[1, 1], [2, 2]]


def test_replaced_units_run_instead_of_the_first() -> None:
    network = nn.Module()
    network.blocks = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    stand_ins, last = [nn.Identity(), nn.ReLU()], network.blocks[2]
    replace(network, stand_ins)
    assert module.units(network) == [*stand_ins, last]
    x = torch.tensor([[-1.0, 2.0]])
    assert torch.equal(network.blocks(x), last(x.relu()))


def test_a_module_that_does_not_run_is_an_error() -> None:
    one, two = nn.Identity(), nn.Identity()
    with pytest.raises(CardError, match="one of the units is not used"):
        outputs(one, [one, two], torch.zeros(1))
    assert not one._forward_hooks, "no hook is left"
    assert not two._forward_hooks


def test_nested_passes_end_at_their_own_module() -> None:
    blocks = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())

    def inner(x: Tensor) -> Tensor:
        (found,) = outputs(blocks, [blocks[0]], x)
        return blocks(found)

    x = torch.tensor([-1.0, 2.0])
    (found,) = outputs(inner, [blocks[2]], x)
    assert torch.equal(found, blocks(x))


def test_a_network_without_units_cannot_be_cut() -> None:
    network = nn.Linear(2, 2)
    assert module.units(network) == module.layers(network) == []
    with pytest.raises(CardError, match="a Linear cannot be cut into units"):
        truncate(network, 1)
