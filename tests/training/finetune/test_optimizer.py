"""Parameter groups: decay on matrices alone, rates that fall towards the input."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import nn

import medbench
from medbench.cards.recipes import LinearUnfrozen
from medbench.training.finetune.networks import Classifier, linear_head, thaw
from medbench.training.finetune.optimizer import adamw_on_all, depths, make_optimizer


def classifier(name: str = "toy-vit") -> Classifier:
    encoder = medbench.load_model(name, weights="random")
    thaw(encoder)
    return Classifier(encoder, linear_head(encoder.dim, 3, seed=0))


def by_name(name: str) -> int:
    """BEiT's, MAE's and RETFound's rule, which goes by names; four blocks."""
    if name.startswith(("cls_token", "pos_embed", "patch_embed")):
        return 0
    found = re.match(r"blocks\.(\d+)\.", name)
    return int(found[1]) + 1 if found else 5


def test_depths_are_those_of_the_published_rule() -> None:
    net = classifier()
    n, depth = depths(net)
    assert n == 5
    for name, _ in net.encoder.network.named_parameters():
        assert depth[f"encoder.network.{name}"] == by_name(name), name
    assert depth["head.weight"] == depth["head.bias"] == 5


@pytest.mark.parametrize("name", ["toy-vit", "toy-cnn"])
def test_shares_and_decay(name: str) -> None:
    net = classifier(name)
    optimizer = make_optimizer(net, 1e-3, LinearUnfrozen(layer_decay=0.5, weight_decay=0.1, eps=1e-4))
    place = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    n, depth = depths(net)
    for label, value in net.named_parameters():
        group = place[id(value)]
        assert group["share"] == pytest.approx(0.5 ** (n - depth[label]))
        assert group["weight_decay"] == (0.1 if value.ndim > 1 else 0.0), label
        assert group["eps"] == 1e-4
    assert len(place) == len(list(net.parameters()))
    plain = make_optimizer(net, 1e-3, LinearUnfrozen())
    assert {group["share"] for group in plain.param_groups} == {1.0}


def test_frozen_parameters_are_in_no_group() -> None:
    net = classifier()
    net.encoder.requires_grad_(False)
    thaw(net.encoder, 2, final_norm=False)
    optimizer = make_optimizer(net, 1e-3, LinearUnfrozen())
    held = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    expected = sum(p.numel() for block in net.encoder.blocks[2:] for p in block.parameters()) + 97 * 3
    assert held == expected
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(torch.randn(2, 3, 64, 64)).sum().backward()
    optimizer.step()
    moved = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert all(name.startswith(("head", "encoder.network.blocks.2", "encoder.network.blocks.3")) for name in moved)
    assert len(moved) > 10


def test_decay_on_all() -> None:
    groups = make_optimizer(classifier(), 1e-3, LinearUnfrozen(weight_decay=0.1, decay_all=True)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.1]


def test_decay_on_all_parameters_and_a_part_with_a_share_of_the_rate() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    network[1].requires_grad_(False)
    one, two = network, copy.deepcopy(network)
    ours = adamw_on_all(one, 0.1, 0.5, {one[0]: 0.01})
    torch_own = [torch.optim.AdamW(two[i].parameters(), lr=lr, weight_decay=0.5) for i, lr in ((0, 1e-3), (2, 0.1))]
    for step in range(3):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(step))
        for net, optimizers in ((one, [ours]), (two, torch_own)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            net(x).square().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
    for mine, theirs in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert {group["lr"] for group in adamw_on_all(one, 0.1, 0.5).param_groups} == {0.1}
