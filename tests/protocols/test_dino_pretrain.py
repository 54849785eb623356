"""DINO self-supervision as a protocol: whole runs, what becomes of the checkpoint, crops that do not fit.

The formulas are tested in `training/dino/test_parts.py`, the steps in `training/dino/test_pretraining.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from timm.layers import DropPath

import medbench
from medbench import cards
from medbench.api import RunFailedError
from medbench.data.layouts.own.card import card_yaml
from medbench.data.layouts.own.table import card_from_csv
from medbench.errors import MedbenchError
from medbench.models.load import load_model
from medbench.protocols import dino_pretrain
from medbench.protocols.dino_pretrain import refusal, whole_patches
from medbench.training import steps
from medbench.training.dino.parts import Student
from medbench.training.dino.pretraining import CURVE, Pretraining

TINY = {
    "epochs": 3,
    "batch_size": 16,
    "hidden": 32,
    "bottleneck": 16,
    "outputs": 64,
    "local_crops": 2,
    "local_size": 32,
    "warmup_steps": 2,
    "teacher_warmup": 2,
    "k": 5,
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "a", np.arange(60) % 3)


def write(folder: Path, labels: np.ndarray) -> Path:
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


def run(data: Path, model: str = "toy-cnn", **changes: Any) -> medbench.Record:
    (record,) = medbench.run(
        model=model, protocol="dino-pretrain", dataset=str(data), set={**TINY, **changes}, weights="random"
    )
    return record


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
    monkeypatch.setattr(steps, "CHECKPOINT_SECONDS", -1.0)
    step, left = Pretraining._step, [5]

    def killed(self: Any, *arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(Pretraining, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(data)
    left[0] = 1000
    again = load_file(run(data).path / "weights.safetensors")
    assert left[0] > 1000 - 9, "it went on from where it was"
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_made_encoder_runs_as_any_other(data: Path, monkeypatch, tmp_path: Path) -> None:
    cards = tmp_path / "protocols"
    cards.mkdir()
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


def test_its_k_nn_is_that_of_the_weights_it_keeps(data: Path) -> None:
    """The weights are read back strictly; features and votes then come by the way of any other model."""
    # the protocol card has small numbers for toy sets
    card = card_from_csv(data).card.model_copy(update={"name": "toy"})
    toy = data.with_name("toy.yaml")
    toy.write_text(card_yaml(card))
    first, second = medbench.run(
        model="toy-cnn@dino-pretrain", protocol="knn", dataset=str(toy), set={"k": 20, "temperature": 0.07}
    )
    assert (first.unit.protocol, second.unit.protocol) == ("dino-pretrain", "knn")
    a, b = (pd.read_parquet(record.path / "predictions.parquet") for record in (first, second))
    assert list(a["id"]) == list(b["id"])
    assert {record.unit.weights for record in (first, second)} == {"random"}, "what it started from was"
    history = pd.read_csv(first.path / "history.csv")
    assert list(history.columns) == ["epoch", *CURVE]
    assert len(history) == first.chosen["epochs"] == 6
    assert first.chosen["loss"] == pytest.approx(history["loss"].iloc[-1])
    np.testing.assert_allclose(a.filter(like="score_"), b.filter(like="score_"), atol=1e-4)


def caught(monkeypatch: pytest.MonkeyPatch) -> list[Pretraining]:
    """Keep each pre-training, and end it before its first step."""
    found: list[Pretraining] = []

    def stopped(self: Pretraining, resume: Path) -> str:
        found.append(self)
        return "the loss is not finite at step 1"

    monkeypatch.setattr(Pretraining, "run", stopped)
    return found


def test_a_transformer_takes_local_crops_and_its_student_has_stochastic_depth(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = caught(monkeypatch)
    with pytest.raises(RunFailedError, match="not finite"):
        run(data, "toy-vit", drop_path=0.25)
    made = found[0]

    def depths(network: Student) -> list[float]:
        return [module.drop_prob for module in network.modules() if isinstance(module, DropPath)]

    assert max(depths(made.student)) == pytest.approx(0.25)
    assert made.teacher.train().encoder.training is False
    assert not any(module.training for module in made.teacher.modules())
    plain = load_model("toy-vit", weights="random")
    state = made.teacher.encoder.network.state_dict()
    assert state.keys() == plain.network.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in made.student.encoder.network.state_dict().items())
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(made.teacher.encoder.pooled(x), plain.pooled(x))
    assert made.teacher(x, torch.randn(2, 3, 32, 32)).shape == (3, 64)
    frozen = [name for name, value in made.student.named_parameters() if not value.requires_grad]
    assert frozen == [], "all of this network takes part in its feature"


def test_crops_that_do_not_fit_are_a_mistake_with_a_way_out(data: Path) -> None:
    with pytest.raises(MedbenchError, match=r"toy-vit does not take crops of 30 pixels \(local_size\)") as caught:
        run(data, "toy-vit", local_size=30)
    assert "local_size=32" in str(caught.value.hint)
    assert "local_crops=0" in str(caught.value.hint)
    with pytest.raises(MedbenchError, match=r"\(global_size\)") as caught:
        run(data, "toy-vit", local_crops=0, global_size=52)
    assert "global_size=56" in str(caught.value.hint)


def test_a_network_of_one_size_runs_without_local_crops(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = caught(monkeypatch)
    with pytest.raises(RunFailedError):
        run(data, "toy-vit", local_crops=0, local_size=30)
    assert found[0].teacher.encoder.network.dynamic_img_size is False


def test_a_kill_after_the_training_costs_no_training(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(dino_pretrain, "vote", lambda *_: 1 / 0)
        with pytest.raises(RunFailedError, match="ZeroDivisionError"):
            run(data)
    monkeypatch.setattr(Pretraining, "_step", None)
    assert run(data).metrics["recall_macro"] >= 0


def test_collapse_is_told(data: Path) -> None:
    """Without centring and with soft targets all outputs become one."""
    record = run(
        data, epochs=8, centre_momentum=1.0, teacher_temperature=[1.0, 1.0], teacher_warmup=0, learning_rate=3e-3
    )
    assert any("collapsed" in warning for warning in record.warnings)


def test_a_convolutional_encoder_takes_any_size_and_keeps_its_modes() -> None:
    encoder = load_model("toy-cnn", weights="random")
    encoder.network.layer1.train()
    before = {name: module.training for name, module in encoder.named_modules()}
    assert refusal(encoder, 32) == ""
    assert {name: module.training for name, module in encoder.named_modules()} == before
    assert whole_patches(encoder, 33) is None


def test_a_transformer_takes_its_own_size_unless_it_is_built_for_any() -> None:
    encoder = load_model("toy-vit", weights="random")
    assert refusal(encoder, 64) == ""
    assert "32" in refusal(encoder, 32)
    card = cards.find_model("toy-vit")
    loose = load_model(card.model_copy(update={"args": {**card.args, "dynamic_img_size": True}}), weights="random")
    assert refusal(loose, 32) == ""
    assert refusal(loose, 30) != ""
    assert whole_patches(loose, 30) == 32
    assert whole_patches(loose, 32) is None
    loose.network.load_state_dict(encoder.network.state_dict())
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(loose.pooled(x), encoder.pooled(x), rtol=0, atol=0)


def test_a_bug_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_model("toy-cnn", weights="random")
    monkeypatch.setattr(encoder, "pooled", lambda x: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        refusal(encoder, 32)
