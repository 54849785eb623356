"""LoRA as a protocol: a finished run, and the weights that it keeps."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import medbench
from medbench.models.load import load_model

pytestmark = pytest.mark.usefixtures("one_thread")


def test_kept_weights_are_those_of_a_plain_model() -> None:
    (record,) = medbench.run(
        "toy-vit",
        "lora",
        "toy-binary",
        seeds=1,
        keep_weights=True,
        device="cpu",
        set={"epochs": 1, "learning_rates": [1e-2], "rank": 2, "views": 1, "image_size": 32, "batch_size": 64},
    )
    assert record.path is not None
    assert record.counts["trainable_parameters"] == 4 * 2 * (96 + 288 + 96 + 96) + 2 * 97
    kept = load_file(record.path / "weights.safetensors")
    encoder = load_model("toy-vit", image_size=32)
    own = {name.removeprefix("encoder."): value for name, value in kept.items() if name.startswith("encoder.")}
    assert set(own) == {f"network.blocks.{i}.attn.{part}.weight" for i in range(4) for part in ("qkv", "proj")}
    first = encoder.state_dict()
    assert all(not torch.equal(value, first[name]) for name, value in own.items())
    assert encoder.load_state_dict(own, strict=False).unexpected_keys == []
    assert set(kept) - {f"encoder.{name}" for name in own} == {"head.weight", "head.bias"}
