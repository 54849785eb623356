"""DINO self-supervision: the loss by its formula, whole runs, what becomes of the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import medbench
from medbench.models import load_model
from medbench.training import pretrain
from medbench.training.dino import distil, log_targets

TINY = {
    "epochs": 3,
    "batch_size": 16,
    "hidden": 32,
    "bottleneck": 16,
    "outputs": 64,
    "local_crops": 2,
    "local_size": 32,
    "warmup_epochs": 1,
    "teacher_warmup": 2,
    "k": 5,
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "a", np.arange(60) % 3)


def write(folder: Path, labels: np.ndarray) -> Path:
    from PIL import Image

    source = np.random.default_rng(0)
    folder.mkdir()
    rows = ["image,label"]
    for i, label in enumerate(labels):
        wave = np.sin(np.arange(72) * (0.3 + 0.35 * (i % 3)) + source.uniform(0, 6))
        grey = 128 + 60 * wave[None, :, None] + source.normal(scale=20, size=(72, 72, 3))
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"{i:02d}.png")
        rows.append(f"{i:02d}.png,{label}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def run(data: Path, **changes: Any) -> medbench.Record:
    (record,) = medbench.run(
        model="toy-cnn", protocol="dino-pretrain", dataset=str(data), set={**TINY, **changes}, weights="random"
    )
    return record


def test_the_loss_is_equation_3() -> None:
    source = np.random.default_rng(0)
    student, teacher, centre = source.normal(size=(5, 4, 7)), source.normal(size=(2, 4, 7)), source.normal(size=7)

    def softmax(z: np.ndarray) -> np.ndarray:
        e = np.exp(z - z.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    p, q = softmax((teacher - centre) / 0.04), np.log(softmax(student / 0.1))
    pairs = [-(p[i] * q[j]).sum(-1) for i in range(2) for j in range(5) if i != j]
    targets = log_targets(torch.from_numpy(teacher), torch.from_numpy(centre), 0.04).exp()
    assert distil(torch.from_numpy(student), targets, 0.1).numpy() == pytest.approx(np.mean(pairs, axis=0))


def test_its_checkpoint_is_the_encoders_and_no_label_was_looked_at(data: Path, tmp_path: Path) -> None:
    record = run(data)
    kept = load_file(record.path / "weights.safetensors")
    encoder = load_model("toy-cnn", weights=record.path / "weights.safetensors")
    own = encoder.network.state_dict()
    assert kept.keys() == own.keys()
    assert all(torch.equal(kept[name], own[name]) for name in kept), "loaded strictly, as it is"
    first = load_model("toy-cnn").network.state_dict()
    assert any(not torch.equal(kept[name], first[name]) for name in kept if name.endswith("weight"))
    assert record.metrics["recall_macro"] is not None
    assert record.chosen["epochs"] == 3
    # The same pictures in the same splits under other labels: the same weights.
    split = tmp_path / "split.csv"
    samples = medbench.load_dataset(str(data)).samples
    split.write_text("id,split\n" + "\n".join(f"{i},{s}" for i, s in zip(samples["id"], samples["split"], strict=True)))
    labels = np.arange(60) % 3
    other = write(tmp_path / "b", (labels + 1) % 3)
    a, b = run(data, split=str(split)), run(other, split=str(split))
    one, two = (load_file(r.path / "weights.safetensors") for r in (a, b))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_stopped_pre_training_ends_in_the_same_bits(data: Path, tmp_path: Path, monkeypatch) -> None:
    whole = load_file(run(data).path / "weights.safetensors")
    monkeypatch.setenv("MEDBENCH_RUNS", str(tmp_path / "again"))
    monkeypatch.setattr(pretrain, "CHECKPOINT_SECONDS", -1.0)
    step, left = pretrain.Pretraining._step, [5]

    def killed(self: Any, *arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(pretrain.Pretraining, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(data)
    left[0] = 1000
    again = load_file(run(data).path / "weights.safetensors")
    assert left[0] > 1000 - 9, "it went on from where it was"
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_made_encoder_runs_as_any_other(data: Path, monkeypatch, tmp_path: Path) -> None:
    cards = tmp_path / "protocols"
    cards.mkdir()
    import yaml

    (cards / "tiny-dino.yaml").write_text(
        yaml.safe_dump({"kind": "dino-pretrain", "title": "tiny", "defaults": TINY, "presets": {"paper": {}}})
    )
    monkeypatch.chdir(tmp_path)
    records = medbench.run(
        model="toy-cnn@tiny-dino",
        protocol="linear-frozen",
        dataset=str(data),
        seeds=1,
        set={"epochs": 2, "views": 1, "learning_rates": [1e-2]},
        weights="random",
    )
    assert [(r.unit.model, r.unit.protocol) for r in records] == [
        ("toy-cnn", "tiny-dino"), ("toy-cnn@tiny-dino", "linear-frozen"),
    ]  # fmt: skip
    assert records[1].unit.weights == "random", "what it started from was"
    assert records[1].provenance["weights"]["sha256"] == f"unit:{records[0].key}"
