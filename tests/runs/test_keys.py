"""Keys of units must not change: a finished unit is found by its key, so another key would run it again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medbench.cards import SETTINGS, DatasetCard, ModelCard, ProtocolCard
from medbench.cards.prompts.sets import Prompts
from medbench.data.dataset import Dataset
from medbench.data.shift import Shifted
from medbench.models.weights.locate import RANDOM, WeightsFile
from medbench.runs.jobs import Job, Options
from medbench.runs.language import JobLanguage

MODEL = ModelCard.model_validate(
    {
        "name": "small",
        "arch": "vit_tiny_patch16_224",
        "args": {"depth": 2, "img_size": 32},
        "input": {"size": 32, "native": 32, "mean": [0.5, 0.25, 0.1], "std": [0.2, 0.3, 0.4]},
        "features": {"pooled": "mean", "dim": 48},
        "units": 2,
        "text": {"library": "open_clip", "arch": "ViT-B-32", "dim": 48, "template": "a photo of {}."},
    }
)
CARD = DatasetCard.model_validate(
    {
        "name": "stripes",
        "modality": "drawn",
        "access": {"kind": "own"},
        "layout": {"kind": "csv", "tables": [{"file": "labels.csv"}], "label": "grade"},
        "task": "multiclass",
        "classes": ["wide", "narrow", "größer"],
        "channels": 3,
        "metric": "recall_macro",
        "splits": {"default": "own", "rules": {"own": {"method": "grouped", "val": 0.2, "test": 0.2}}},
    }
)
SAMPLES = pd.DataFrame(
    {
        "id": list("abc"),
        "path": list("abc"),
        "group": list("abc"),
        "split": ["train", "val", "test"],
        "target": [0, 1, 2],
    }
)
DATA = Dataset(CARD, Path("nowhere"), SAMPLES, "own", "5" * 64, "d" * 64, ("c",) * 3, grouped=False)
AWAY = dataclasses.replace(DATA, card=CARD.model_copy(update={"name": "away"}), digest="e" * 64)
FILE = WeightsFile(Path("small.safetensors"), "f" * 64, "file")
SHIFT = Shifted(AWAY, AWAY.card, {"wide": "wide", "narrow": None}, (0, 1, 2))
TEXTS = Prompts("names", "a photo of {}.", (("wide",), ("narrow", "thin"), ("größer",)))


def job(kind: str = "linear-frozen", settings: dict[str, Any] | None = None, **fields: Any) -> Job:
    recipe = ProtocolCard.model_validate({"name": f"our-{kind}", "kind": kind, "presets": {"paper": {}}})
    options = fields.pop("options", Options(runs=Path("runs"), device="cpu"))
    fields = {"weights": FILE, "dataset": DATA, "seeds": (0, 1, 7), "changes": {}, **fields}
    rates = {} if kind == "timing" else {"learning_rates": [1e-3, 3e-05]}
    chosen = SETTINGS[kind].model_validate(rates | (settings or {}))
    return Job(
        model=MODEL, protocol=recipe, settings=chosen, image_size=32, precision="fp32", options=options, **fields
    )


def knn(**fields: Any) -> Job:
    recipe = ProtocolCard.model_validate({"name": "near", "kind": "knn", "presets": {"paper": {}}})
    return dataclasses.replace(job(**fields), protocol=recipe, settings=SETTINGS["knn"].model_validate({"k": 5}))


def tuned(**settings: Any) -> Job:
    return job("linear-unfrozen", {"epochs": 3, **settings}, keep=(0,), together=(8, 2))


JOBS = {
    "head": job,
    "changed": lambda: job(settings={"augment": {"hue": 0.125}}, changes={"augment.hue": 0.125}),
    "neighbours": lambda: knn(seeds=(0,)),
    "fold": lambda: job(fold="kfold-3@{seed}", seeds=(1,), options=Options(device="cpu", folds=3)),
    "trained": tuned,
    "rate of two seeds": lambda: tuned(lr_search_seeds=2),
    "one rate": lambda: tuned(lr_search_seeds=2, learning_rates=[0.01]),
    "needs another": lambda: knn(needs=(tuned(),), seeds=(0,)),
    "left out": lambda: job(left_out=("a", "b")),
    "nothing to leave out": lambda: job(left_out=()),
    "further encoders": lambda: job(others={"left": (MODEL, FILE), "right": (MODEL, RANDOM)}),
    "texts": lambda: knn(language=JobLanguage(TEXTS, (TEXTS,), scale=2.0)),
    "timed": lambda: job("timing", {"classifier": "linear"}, seeds=(0,)),
    "further sets": lambda: job(shifts=(SHIFT, dataclasses.replace(SHIFT, closed=True, part="test"))),
}

KEYS = {
    "head": "c23e72cc6a8c7507 2e771812ef44 a3b89c3338fa 33ab4cc2c9e3",
    "changed": "268b2d70b6a8ab7e 1ea9f79e016e 8f1cb4b59f32 1f9269743b0a",
    "neighbours": "2731619adc2ca22e d8ff5f2f009c",
    "fold": "d7066deb732ce968 e74ecf16b904",
    "trained": "17ad9ba04b2db932 27c3ed632782 b865a9bdcede a8367d3f2d9b",
    "rate of two seeds": "79d71284d3423121 5d5502f88be2 a939174e46a3 673053f89eb7",
    "one rate": "883b900a3d499ba9 239b4f3e7407 2ab8bdf51a81 da7d44a401d5",
    "needs another": "505691d2ca16a85e b7f5a6263b37",
    "left out": "e365fd4c030a2683 8b6ecb26dac0 b809fc26ee95 9722781be341",
    "nothing to leave out": "c23e72cc6a8c7507 2e771812ef44 a3b89c3338fa 33ab4cc2c9e3",
    "further encoders": "ce050ac2568822bf e729fcfb7d08 8597dd455ab5 093e3b719e94",
    "texts": "eef2ded5045989d3 3e542b0970d4 72b2ae0f8c28 657d75d26f93",
    "timed": "1edba37046ad474e f7c3cac99efb",
    "further sets": "c23e72cc6a8c7507 2e771812ef44 a3b89c3338fa 33ab4cc2c9e3"
    " fbd5c4479e96 06cd01362967 cabd56cdb162 fbd5c4479e96 06cd01362967 cabd56cdb162",
}
"""What medbench 0.1.0 made of these jobs: the group, then the units; the beginnings of digests."""


@pytest.mark.parametrize("name", JOBS)
def test_keys_stay_what_they_are(name: str) -> None:
    made = JOBS[name]()
    assert KEYS[name].split() == [made.group[:16], *(key[:12] for _, key in made.all_units)]


@pytest.mark.parametrize("name", JOBS)
def test_a_key_is_the_digest_of_the_material_and_the_seed(name: str) -> None:
    made = JOBS[name]()

    def digest(**more: Any) -> str:
        text = json.dumps({**made.material, **more}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    split = {"fold": DATA.split_digest} if made.fold else {}
    assert made.group == digest()
    assert [key for _, key in made.units] == [digest(**split, seed=seed) for seed in made.seeds]
    for shift, planned in zip(made.shifts, made.planned[1:], strict=True):
        assert made.group_on(shift) == digest(test_on=shift.material)
        assert [key for _, key in planned.units()] == [
            digest(**split, seed=seed, test_on=shift.material) for seed in made.seeds
        ]


def test_ten_thousand_seeds_take_little_more_than_their_digests() -> None:
    """What the seeds share is written as JSON once; each key then is one digest of it."""
    made = job(seeds=tuple(range(10_000)))
    first, last = made.keys[0], made.keys[-1]
    text = json.dumps({**made.material, "seed": 9_999}, sort_keys=True, separators=(",", ":"))
    assert last == hashlib.sha256(text.encode()).hexdigest() != first
