"""Every training protocol over every family of the zoo, tiny, on drawn pictures: it learns, and only what it may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import medbench
from medbench.models.load import load_model

from ..models.families import tiny_fields

CHANCE, MARGIN = 1 / 2, 0.25
SIZE = 32
VIT = {"embed_dim": 32, "depth": 3, "num_heads": 2, "patch_size": 8, "img_size": SIZE, "weight_init": "moco"}
FAMILIES: dict[str, dict[str, Any]] = {
    "imagenet": VIT,
    "dinov2": VIT,
    "openclip": {**VIT, "num_classes": 24},
    "blip": VIT,
    "retfound": VIT,
    "sam": {**VIT, "window_size": 2, "global_attn_indexes": [1], "neck_chans": 8},
    "seem": {"embed_dim": 16, "depths": [1, 1, 1, 1]},
    "resnet152": {"layers": [1, 1, 1, 1], "channels": [8, 16, 16, 24]},
    "resnet50": {"layers": [1, 1, 1, 1], "channels": [16, 16, 32, 32], "zero_init_last": False},
}
UNITS = {"seem": 4, "resnet152": 4, "resnet50": 4}
SIZES = {
    "seem": 64,
    "resnet152": 64,
}  # their last maps are a 32nd of the image: one place would be no token to stack on
SHORT = {
    "epochs": 3,  # the first or second is best on validation data, so more would change no number
    "batch_size": 16,
    "learning_rates": [5e-3],
    "warmup_epochs": 1,
    "plateau": False,
    "augment": {"vertical_flip": 0.0, "jitter": 0.0},
}

OWN: dict[str, dict[str, Any]] = {"resnet50": {"learning_rates": [1e-3]}, "seem": {"epochs": 4}}


def shrunk(name: str) -> dict[str, Any]:
    """Return the fields of a shipped card with a tiny network of random weights, for small images."""
    fields = tiny_fields(name, FAMILIES[name]) | {"units": UNITS.get(name, 3), "title": "tiny"}
    fields["args"].pop("grey_stem", None)
    size = SIZES.get(name, SIZE)
    fields["input"] = {"size": size, "native": size, "mean": [0.5] * 3, "std": [0.25] * 3}
    for field in ("text", "parameters"):
        fields.pop(field, None)
    return fields


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cards of all families, and 120 pictures of upright and lying stripes."""
    folder = tmp_path_factory.mktemp("families")
    for name in FAMILIES:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(shrunk(name)))
    source, rows = np.random.default_rng(0), ["image,label"]
    for i in range(120):
        wave = np.sin(np.arange(36) * 1.2 + source.uniform(0, 6))
        grey = (
            128
            + 60 * (wave[None, :, None] if i % 2 else wave[:, None, None])
            + source.normal(scale=20, size=(36, 36, 3))
        )
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03d}.png")
        rows.append(f"{i:03d}.png,{i % 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


pytestmark = pytest.mark.usefixtures("one_thread")


def go(place: Path, family: str, protocol: str, **changes: Any) -> list[medbench.Record]:
    stacked = {"classifier": str(place / "imagenet.yaml")} if protocol.startswith(("deit", "decap")) else {}
    views = {"views": 3} if protocol in ("deit-frozen", "decapitate-frozen", "freeze") else {}
    return medbench.run(
        model=str(place / f"{family}.yaml"),
        protocol=protocol,
        dataset=str(place / "labels.csv"),
        seeds=1,
        keep_weights=True,
        set={**SHORT, **OWN.get(family, {}), **stacked, **views, **changes},
    )


PROTOCOLS: dict[str, dict[str, Any]] = {
    "linear-unfrozen": {},
    "lp-ft": {},
    "deit-frozen": {},
    "deit-unfrozen": {},
    "freeze": {"frozen": 1},
    "decapitate-frozen": {"kept": 2},
    "decapitate-unfrozen": {"kept": 2},
}


def pairs() -> list[tuple[str, str]]:
    """All protocols with all families. Of the two of ResNet the one whose blocks start as identities (ImageNet's own
    first weights) says too little when frozen, and the other is left out where it would only cost time.
    """
    kinds = {True: "resnet152", False: "resnet50"}
    left_out = [(p, kinds[p in ("deit-frozen", "decapitate-frozen")]) for p in PROTOCOLS]
    return [(p, family) for p in PROTOCOLS for family in FAMILIES if (p, family) not in left_out]


@pytest.mark.parametrize(("protocol", "family"), pairs())
def test_it_learns_and_moves_what_it_may(place: Path, protocol: str, family: str) -> None:
    (record,) = go(place, family, protocol, **PROTOCOLS[protocol])
    assert record.metrics["recall_macro"] >= CHANCE + MARGIN
    kept = load_file(record.path / "weights.safetensors")
    first = load_model(str(place / f"{family}.yaml")).state_dict()
    trained = {name.split("encoder.", 1)[1]: value for name, value in kept.items() if "encoder." in name}
    if protocol in ("deit-frozen", "decapitate-frozen"):
        assert not trained, "a frozen encoder has nothing to keep"
    else:
        still = [name for name, value in trained.items() if torch.equal(value, first[name])]
        assert trained
        assert not still, "everything that is trained has moved"
    if protocol == "freeze":
        encoder = load_model(str(place / f"{family}.yaml"))
        free = {id(p) for unit in encoder.blocks[1:] for p in unit.parameters()}
        assert set(trained) == {name for name, p in encoder.named_parameters() if id(p) in free}
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    assert record.counts["trainable_parameters"] == sum(v.numel() for k, v in kept.items() if not k.endswith(buffers))
    assert record.chosen["step"] == (record.chosen["epoch"] + 1) * (record.n["train"].images // 16)
