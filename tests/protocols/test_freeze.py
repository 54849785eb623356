"""Progressive freezing: what is frozen, and that a bank of the frozen part's outputs changes no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medbench.cards.recipes import Freeze
from medbench.protocols import freeze
from medbench.protocols.context import FeatureBank

from .made import Images, job

pytestmark = pytest.mark.usefixtures("one_thread")


def built(inputs: Images, folder: Path, monkeypatch: pytest.MonkeyPatch, depth: int = 2, **settings: Any) -> Any:
    monkeypatch.setattr(freeze, "tune", lambda given, build: build(0))
    return freeze.run(job(Freeze(**settings), folder, inputs, depth=depth))


@pytest.mark.parametrize("model", ["toy-vit", "toy-cnn"])
@pytest.mark.parametrize("f", [1, 3])
def test_the_raw_output_is_that_of_the_last_frozen_unit(model: str, f: int) -> None:
    inputs, seen = Images(model), []
    encoder, x = inputs.encoder(), inputs.normalise(inputs.images("val")[:2])
    hook = encoder.blocks[f - 1].register_forward_hook(lambda module, given, found: seen.append(found))
    encoder.pooled(x)
    hook.remove()
    assert torch.equal(freeze.raw_output(encoder, x, f), seen[0])


@pytest.mark.parametrize("final_norm", [False, True])
def test_the_first_units_are_frozen_and_the_others_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, final_norm: bool
) -> None:
    network = built(Images(), tmp_path, monkeypatch, train_final_norm=final_norm).network
    trained = {name for name, parameter in network.encoder.named_parameters() if parameter.requires_grad}
    units = network.encoder.blocks
    free = {id(parameter) for unit in units[2:] for parameter in unit.parameters()}
    if final_norm:
        free |= {id(parameter) for parameter in network.encoder.network.norm.parameters()}
    assert trained == {name for name, parameter in network.encoder.named_parameters() if id(parameter) in free}
    assert all(parameter.requires_grad for parameter in network.head.parameters())


def test_from_a_bank_the_network_goes_on_where_the_frozen_part_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Images()
    complete = built(plain, tmp_path, monkeypatch).network.eval()
    assert plain.asked == [(["unit:2"], "unit:2")]
    x = plain.normalise(plain.images("val")[:3])
    with torch.no_grad():
        (stored,) = plain.outputs["unit:2"](complete.encoder, x)
    bank = FeatureBank({"val": stored.numpy(), "test": stored.numpy()[:1]}, [stored.numpy()])
    made = built(Images(bank=bank), tmp_path, monkeypatch)
    with torch.no_grad():
        torch.testing.assert_close(made.network.eval()(stored), complete(x))
    np.testing.assert_array_equal(made.source.test.__getitems__([0])[0], stored[0])
