"""Small real runs: a CSV of drawn pictures, a tiny encoder, short recipes for frozen and for trained encoders."""

from __future__ import annotations

import functools
import hashlib
import io
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

import medbench
from medbench import cards
from medbench.data.layouts.own.card import card_yaml
from medbench.data.layouts.own.table import card_from_csv
from medbench.papers.cells import wanted_of
from medbench.records import Record
from medbench.runs.fill_paper import adapted, plan_filling
from medbench.runs.jobs import Options

SHORT = {"views": 2, "epochs": 6, "learning_rates": [1e-3, 1e-1], "batch_size": 16, "k": 5}
BOTH = "linear-frozen,knn"
TRAINING: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 16,
    "image_size": 32,
    "learning_rates": [3e-3, 1e-3],
    "warmup_epochs": 1,
    "views": 2,
    "classifier": "toy-vit",
}
QUICK: dict[str, Any] = {"epochs": 1, "learning_rates": [1e-3]}
TRAINING_SCRIPT = """
import os, signal, sys
import torch
torch.set_num_threads(1)
import medbench
{before}
if __name__ == "__main__":
    medbench.run(model={model!r}, protocol={protocol!r}, dataset={data!r}, seeds={seeds}, set={short!r}, device="cpu")
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Write 90 pictures of 3 classes (stripes of three widths, with noise) of 45 patients; return the CSV."""
    return write_pictures(tmp_path / "pictures")


def write_pictures(folder: Path, n: int = 90, seed: int = 0) -> Path:
    (folder / "images").mkdir(parents=True)
    rows = ["image,label,patient"]
    for i, png in enumerate(_pngs(n, seed)):
        (folder / "images" / f"{i:03d}.png").write_bytes(png)
        rows.append(f"images/{i:03d}.png,{i // 2 % 3},p{i // 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


@functools.cache
def _pngs(n: int, seed: int) -> list[bytes]:
    """Return pictures as files: drawing and compressing them anew for each test takes longer than many a test."""
    source, found = np.random.default_rng(seed), []
    for i in range(n):
        wave = np.sin(np.arange(48) * (0.3 + 0.35 * (i // 2 % 3)) + source.uniform(0, 6))
        grey = 128 + 50 * wave[None, :, None] + source.normal(scale=45, size=(48, 48, 3))
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(file := io.BytesIO(), "PNG")
        found.append(file.getvalue())
    return found


def run(data: Path, protocol: str = BOTH, model: str = "toy-vit", **options) -> list[Record]:
    """Run protocols on a frozen encoder, shortly."""
    options = {"seeds": 2, "set": SHORT, **options}
    options["set"] = short_of(protocol, options["set"])
    return medbench.run(model=model, protocol=protocol, dataset=str(data), **options)


def short_of(protocol: str, changes: dict) -> dict:
    """Return the changes for a protocol asked for alone: one that has no such field would refuse them."""
    strange = {"linear-frozen": {"k"}, "knn": set(SHORT) - {"k"}}.get(protocol, set())
    return {name: value for name, value in changes.items() if name not in strange}


def numbers(records: list[Record]) -> list[tuple]:
    return [(r.key, r.metrics, r.metrics_val, r.chosen, r.selection) for r in records]


def forwards(records: list[Record]) -> float:
    return sum(r.counts["forwards"] for r in records)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures")


def train(
    data: Path, protocol: str, seeds: int = 2, changes: dict[str, Any] | None = None, **options: Any
) -> list[Record]:
    """Run a protocol that trains, shortly."""
    changes, model = {**training_of(protocol), **(changes or {})}, options.pop("model", "toy-vit")
    return medbench.run(model=model, protocol=protocol, dataset=str(data), seeds=seeds, set=changes, **options)


def training_of(protocol: str) -> dict[str, Any]:
    """Return the short settings that a protocol has."""
    return {k: v for k, v in TRAINING.items() if k != "classifier" or protocol.startswith(("deit", "decap"))}


def undisturbed(data: Path, place: Path, protocol: str) -> list[Record]:
    """Run a protocol with toy-vit and two seeds in a cache of its own, before the tests that compare theirs with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(place / "home"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        records = train(data, protocol, runs=place / "runs")
        torch.set_num_threads(threads)
    return records


@pytest.fixture(scope="session")
def linear(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return undisturbed(data, tmp_path_factory.mktemp("linear"), "linear-unfrozen")


@pytest.fixture(scope="session")
def stacked(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return undisturbed(data, tmp_path_factory.mktemp("stacked"), "deit-frozen")


def numbers_by_key(records: Iterable[Record]) -> dict[str, tuple]:
    return {r.key: (r.metrics, r.metrics_val, r.chosen, r.selection) for r in records}


def script(
    data: Path,
    protocol: str,
    before: str = "",
    model: str = "toy-vit",
    seeds: int = 2,
    changes: dict[str, Any] | None = None,
) -> str:
    """Return a Python script that runs a protocol that trains, after the lines `before`."""
    short = {**training_of(protocol), **(changes or {})}
    return textwrap.dedent(TRAINING_SCRIPT).format(
        before=before, model=model, protocol=protocol, data=str(data), short=short, seeds=seeds
    )


TINY = {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 2}
MODEL = """
title: A tiny transformer with a weights file
arch: vit_tiny_patch16_224
args: {patch_size: 8, embed_dim: 48, depth: 2, num_heads: 2}
weights: {file: %s, sha256: "%s"}
input: {size: 32, native: 32, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}
features: {pooled: mean, dim: 48}
units: 2
"""
PROTOCOLS = {
    "quick": "{kind: linear-frozen, defaults: {views: 2, epochs: 4, learning_rates: [1.e-1], batch_size: 16}, presets: "
    "{paper: {}, fixed: {epochs: 3}}}",
    "near": "{kind: knn, defaults: {k: 5}, presets: {paper: {}, fixed: {}}}",
}
PAPER = """
title: A paper of toy cells
tables:
  t1:
    title: Everything that can happen to a cell
    source: Table 1
    heads: [Model, Protocol]
    seeds: 2
    columns:
      - {dataset: stripes, metric: recall_macro, title: Stripes}
      - {dataset: elsewhere, metric: recall_macro, title: Elsewhere}
    rows:
      - {labels: [tiny, quick], model: tiny, protocol: quick, published: {stripes: [0.9, 0.1]}}
      - {labels: [tiny, near], model: tiny, protocol: near}
      - {labels: [away, quick], model: away, protocol: quick}
      - {labels: [tiny, later], model: tiny, protocol: later}
  t2:
    title: The same at another size
    source: Table 2
    heads: [Model]
    gain_over: t1
    seeds: 2
    columns: [{dataset: stripes, metric: recall_macro, title: Stripes}]
    rows:
      - {labels: [tiny], model: tiny, protocol: quick, set: {image_size: 40}}
figures:
  f1:
    kind: bars
    title: Neighbours
    source: Figure 1
    panels: [{dataset: stripes, title: Stripes, metric: recall_macro}]
    rows:
      - {label: tiny, model: tiny, protocol: near}
      - {label: other, model: tiny, protocol: near, set: {k: 3}}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the paper's cards, its pictures and its weights; return the data root."""
    own = tmp_path / "cards"
    for folder in ("model_zoo", "datasets", "protocols", "results/published"):
        (own / folder).mkdir(parents=True)
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0, **TINY)
    save_file(network.state_dict(), tmp_path / "tiny.safetensors")
    digest = hashlib.sha256((tmp_path / "tiny.safetensors").read_bytes()).hexdigest()
    (own / "model_zoo/tiny.yaml").write_text(MODEL % (tmp_path / "tiny.safetensors", digest))
    (own / "model_zoo/away.yaml").write_text(MODEL % (tmp_path / "away.safetensors", digest))
    for name, text in PROTOCOLS.items():
        (own / f"protocols/{name}.yaml").write_text(text)
    content = yaml.safe_load(card_yaml(card_from_csv(write_pictures(tmp_path / "data" / "stripes")).card))
    for name in ("stripes", "elsewhere"):
        (own / f"datasets/{name}.yaml").write_text(yaml.safe_dump(content | {"name": name}))
    (own / "results/published/mini.yaml").write_text(PAPER)
    monkeypatch.setenv("MEDBENCH_CARDS", str(own))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def planned(root: Path, *names: str, records=(), **options):
    wanted = wanted_of(cards.find_paper("mini"), names or None)
    listed = options.pop("listed", None)
    options = Options(data_root=root, **options)
    return plan_filling(adapted(wanted, options), records, options, listed)
