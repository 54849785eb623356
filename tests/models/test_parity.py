"""Encoders against what the official code of two models returned, on files laid out as the official ones."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medbench.models import load_model

TOLERANCE = 5e-6
OUTPUTS = {
    ("dinov2_s", "dinov2-small"): {"cls_224": "pooled", "stack_224": "tokens", "block4_224": "block"},
    ("resnet50", "resnet50"): {"pooled_224": "pooled"},
}


@pytest.fixture(scope="module")
def fake(repo: Path) -> Any:
    path = repo.parent / "shared" / "parity" / "fake_checkpoint.py"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    spec = importlib.util.spec_from_file_location("fake_checkpoint", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("fixture", "name"), OUTPUTS)
def test_parity_with_the_official_code(fixture: str, name: str, fake: Any, shared: Path, tmp_path: Path) -> None:
    folder = shared / "parity" / fixture
    golden, arrays = json.loads((folder / "golden.json").read_text()), np.load(folder / "golden.npz")
    fake.write_checkpoint(fixture, tmp_path / "w.pth", golden["seed"])
    enc = load_model(name, tmp_path / "w.pth")
    for key, kind in OUTPUTS[fixture, name].items():
        output = golden["outputs"][key]
        given = golden["inputs"][output["input"]]
        mean, std = (torch.tensor(given[k]).view(1, -1, 1, 1) for k in ("mean", "std"))
        x = (fake.parity_image(given["seed"], given["batch"], given["channels"], given["size"]) - mean) / std
        with torch.inference_mode():
            found = enc.block(x, 4) if kind == "block" else getattr(enc, kind)(x)
        found = fake.token_slice(found) if output["form"] == "tokens" else found
        expected = arrays[key].astype(np.float64)
        error = np.linalg.norm(found.double().numpy() - expected) / np.linalg.norm(expected)
        assert error < TOLERANCE, f"{key}: {error:.1e}"
