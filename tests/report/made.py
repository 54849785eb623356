"""SYNTHETIC records for every table and figure of WACV 2024: made-up numbers that no model was run for.

Each number is drawn from its own name, so it is the same on every machine and in every order of writing. What tests
need to know of them is returned, not looked up in the package: it is the oracle that tables and figures are held to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medbench import cards, metrics
from medbench.records import Record, SplitCount, Unit
from medbench.records.store import HISTORY, PREDICTIONS, RECORD, folder_of
from medbench.seeding import generator
from medbench.storage import files

DATASETS = ("aptos", "ddsm", "isic2019", "chexpert")
METRIC = {"aptos": "kappa_quadratic", "ddsm": "auroc", "isic2019": "recall_macro", "chexpert": "auroc_macro"}
SPLIT = {"aptos": "paper", "ddsm": "official", "isic2019": "paper", "chexpert": "paper"}
STEPS_PER_EPOCH = {"aptos": 40, "ddsm": 130, "isic2019": 316, "chexpert": 2792}
FOUNDATIONS = ("sam", "seem", "openclip", "dinov2", "blip")
MODELS = ("dino", "imagenet", "resnet152", *FOUNDATIONS)
SIZES = ("dinov2-small", "dinov2-large", "dinov2-giant")
UNITS = dict.fromkeys(MODELS, 12) | {"seem": 4, "resnet152": 4}
IN_DOMAIN = "resnet152@dino-pretrain"
SEEDS, CURVE_SEEDS = 5, 2  # the second: freezing and decapitation
LAYERS = 12  # of each heatmap
IMAGES = 24  # behind the features of cka-models
KINDS = get_args(Unit.model_fields["weights"].annotation)
TRAINED = "trained" if "trained" in KINDS else "file"


@dataclass
class Known:
    """What the records hold.

    Attributes:
        scores: (model, protocol, data set, options as canonical JSON) -> the primary metric of each seed.
        steps: The same keys -> iterations to the best epoch of each seed, for protocols that train.
        latency: (model, classifier) -> milliseconds per image; on aptos.
        cka: (model, data set, tuned protocol) -> (layer, layer) array, rows the tuned network's.
        features: (model, data set) -> (n, d) float32.
        records: How many were written.
    """

    scores: dict[tuple[str, str, str, str], list[float]] = field(default_factory=dict)
    steps: dict[tuple[str, str, str, str], list[int]] = field(default_factory=dict)
    latency: dict[tuple[str, str], float] = field(default_factory=dict)
    cka: dict[tuple[str, str, str], np.ndarray] = field(default_factory=dict)
    features: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    records: int = 0


def key(model: str, protocol: str, dataset: str, **options: Any) -> tuple[str, str, str, str]:
    """The key of `Known.scores` and `Known.steps`."""
    return model, protocol, dataset, files.canonical(options)


def make_paper_records(runs: Path, predictions: bool = False, datasets: Sequence[str] = DATASETS) -> dict[str, Any]:
    """Write synthetic records for all that WACV 2024 shows into a run store, and return what they hold.

    Args:
        runs: An empty or missing folder.
        predictions: Also write predictions and histories for the cells of tables 1 and 2 and k-NN; their metrics are
            then those of the predictions.
        datasets: The data sets to write; without aptos there are no timings and no CKA of the stacked classifier.

    Returns:
        The fields of `Known` by name.
    """
    known, details = Known(), Details()
    for unit in units(datasets):
        _write(runs, unit, known, details if predictions else None)
    return vars(known)


def units(datasets: Sequence[str] = DATASETS) -> Iterator[Unit]:
    """All units, one per seed."""
    for dataset in datasets:
        yield from _tables(dataset)
        yield from _curves(dataset)
        for model in ("imagenet", *FOUNDATIONS):
            yield _unit(model, "cka", dataset)
        for model in MODELS:
            yield _unit(model, "cka-models", dataset)
    for model in MODELS if "aptos" in datasets else ():
        yield _unit(model, "timing", "aptos", classifier="linear")
    for model in FOUNDATIONS if "aptos" in datasets else ():
        yield _unit(model, "timing", "aptos", classifier="deit")
        for tuned in ("deit-frozen", "deit-unfrozen"):
            yield _unit(model, "cka", "aptos", tuned=tuned)


def _tables(dataset: str) -> Iterator[Unit]:
    """Tables 1, 2, 3, B.1 and B.2, and figures 2 and 6."""
    for seed in range(SEEDS):
        for mode in ("frozen", "unfrozen"):
            for model in (*MODELS, IN_DOMAIN):
                yield _unit(model, f"linear-{mode}", dataset, seed)
            for model in FOUNDATIONS:
                yield _unit(model, f"deit-{mode}", dataset, seed)
        for model in FOUNDATIONS:
            size = 1022 if model == "dinov2" else 1024
            yield _unit(
                model, "deit-unfrozen" if model == "blip" else "linear-unfrozen", dataset, seed, image_size=size
            )
        for model in SIZES if dataset != "chexpert" else ():
            yield _unit(model, "linear-unfrozen", dataset, seed)
    for model in MODELS:
        yield _unit(model, "knn", dataset)


def _curves(dataset: str) -> Iterator[Unit]:
    """Figures 4 and 5, without their ends, which are cells of the tables."""
    for seed in range(CURVE_SEEDS):
        for model in MODELS:
            for frozen in range(1, UNITS[model]):
                yield _unit(model, "freeze", dataset, seed, frozen=frozen)
        for model in FOUNDATIONS if dataset in ("aptos", "ddsm") else ():
            for kept in range(1, UNITS[model]):
                for mode in ("frozen", "unfrozen"):
                    yield _unit(model, f"decapitate-{mode}", dataset, seed, kept=kept)


def _unit(model: str, protocol: str, dataset: str, seed: int = 0, **options: Any) -> Unit:
    weights = TRAINED if model == IN_DOMAIN else "official"
    return Unit(
        model=model, protocol=protocol, dataset=dataset, seed=seed, preset="paper", options=options, weights=weights
    )


def quality(unit: Unit) -> float:
    """How good a unit is: between 0.4 and 0.95, as a metric is, with the shapes that the paper speaks of."""

    def level(protocol: str) -> float:
        low = {"linear-unfrozen": 0.86, "deit-unfrozen": 0.85, "deit-frozen": 0.8, "linear-frozen": 0.66, "knn": 0.62}
        return low[protocol] + 0.08 * generator("level", unit.model, protocol, unit.dataset).random()

    n = UNITS.get(unit.model, 12)
    if unit.protocol == "freeze":
        x = unit.options["frozen"] / n
        value = level("linear-unfrozen") + (level("linear-frozen") - level("linear-unfrozen")) * x**4
    elif unit.protocol.startswith("decapitate"):
        end = level(unit.protocol.replace("decapitate", "deit"))
        value = end - 0.15 * (1 - unit.options["kept"] / n) ** 2
    else:
        value = level(unit.protocol) + (0.02 if "image_size" in unit.options else 0)
    wobble = generator("seed", *_name(unit), unit.seed).uniform(-0.012, 0.012)
    return float(round(value + wobble, 6))


def _name(unit: Unit) -> tuple[str, ...]:
    return unit.model, unit.protocol, unit.dataset, files.canonical(unit.options)


class Details:
    """Predictions and histories, on few images of each data set's own classes."""

    def __init__(self) -> None:
        self.images = {"val": 60, "test": 120}
        self.cards = {name: cards.find_dataset(name) for name in DATASETS}
        self.targets = {(name, split): self._targets(name, split) for name in DATASETS for split in self.images}
        self.columns = {name: self._columns(name) for name in DATASETS}

    def wanted(self, unit: Unit) -> bool:
        """Whether a unit is a cell of tables 1 and 2, or k-NN."""
        shown = ("linear-frozen", "linear-unfrozen", "deit-frozen", "deit-unfrozen", "knn")
        return not unit.options and unit.protocol in shown and unit.model in MODELS

    def predictions(self, unit: Unit) -> tuple[pa.Table, dict[str, dict[str, float | None]]]:
        """The table of predictions, and the metrics of each split."""
        card, parts, found = self.cards[unit.dataset], [], {}
        for split in self.images:
            targets = self.targets[unit.dataset, split]
            parts.append(self._scores(unit, split, targets))
            found[split], _ = metrics.compute(card.task, parts[-1], targets)
        scores = np.concatenate(parts)
        columns = {f"score_{c}": scores[:, i] for i, c in enumerate(card.class_names)}
        return pa.table(self.columns[unit.dataset] | columns), found

    def _columns(self, dataset: str) -> dict[str, Any]:
        """What all units share: two images a patient, and the targets."""
        where = [(split, i) for split, n in self.images.items() for i in range(n)]
        targets = np.concatenate([self.targets[dataset, split] for split in self.images])
        names = [f"target_{c}" for c in self.cards[dataset].class_names] if targets.ndim == 2 else ["target"]
        return {
            "id": [f"{split}{i:03d}" for split, i in where],
            "group": [f"{split}-patient{i // 2:03d}" for split, i in where],
            "split": [split for split, _ in where],
        } | dict(zip(names, targets.reshape(len(where), -1).T, strict=True))

    def _targets(self, dataset: str, split: str) -> np.ndarray:
        card, n = self.cards[dataset], self.images[split]
        draw = generator("targets", dataset, split)
        if card.task == "multilabel":
            return (draw.random((n, len(card.class_names))) < 0.3).astype(np.int64)
        return draw.permutation(np.arange(n) % len(card.class_names))

    def _scores(self, unit: Unit, split: str, targets: np.ndarray) -> np.ndarray:
        classes = len(self.cards[unit.dataset].class_names)
        truth = targets if targets.ndim == 2 else np.eye(classes)[targets]
        noise = generator("scores", *_name(unit), unit.seed, split).normal(size=truth.shape)
        margins = 6 * quality(unit) ** 2 * (truth - 0.5) + 1.5 * noise
        if targets.ndim == 2:
            return (1 / (1 + np.exp(-margins))).astype(np.float32)
        odds = np.exp(margins - margins.max(axis=1, keepdims=True))
        return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)

    def history(self, unit: Unit) -> str:
        """Two candidates, four epochs, as CSV."""
        lines = ["candidate,epoch,loss,val,learning_rate,step"]
        for rate in (1e-05, 0.0001):
            for epoch in range(4):
                loss = 1.2 / (epoch + 1) + 0.1 * (rate < 1e-4)
                val = quality(unit) - 0.05 / (epoch + 1) - 0.02 * (rate < 1e-4)
                step = (epoch + 1) * STEPS_PER_EPOCH[unit.dataset]
                lines.append(f"{rate},{epoch},{loss:.6f},{val:.6f},{rate},{step}")
        return "\n".join(lines) + "\n"


def _write(runs: Path, unit: Unit, known: Known, details: Details | None) -> None:
    material = {"synthetic": True, "weights": "0" * 64, "unit": unit.model_dump(exclude={"seed"})}
    record = Record(
        key=files.digest({**material, "seed": unit.seed}),
        group=files.digest(material),
        unit=unit,
        material={**material, "seed": unit.seed},
        metric=METRIC[unit.dataset],
        metrics={},
        metrics_val={},
        n={name: SplitCount(images=n, groups=n // 2, classes={"made": n}) for name, n in (("val", 60), ("test", 120))},
        provenance={"synthetic": True, "data": {"split": SPLIT[unit.dataset]}, "device": "none (synthetic)"},
    )
    folder = folder_of(runs, unit, record.key)
    folder.mkdir(parents=True)
    fill = {"timing": _fill_timing, "cka": _fill_cka, "cka-models": _fill_features}.get(unit.protocol)
    if fill is None:
        _fill_scores(folder, record, known, details)
    else:
        fill(folder, record, known)
    (folder / RECORD).write_text(json.dumps(json.loads(record.model_dump_json()), indent=1) + "\n", encoding="utf-8")
    known.records += 1


def _fill_scores(folder: Path, record: Record, known: Known, details: Details | None) -> None:
    unit = record.unit
    found = {split: {record.metric: quality(unit)} for split in ("val", "test")}
    if details is not None and details.wanted(unit):
        frame, found = details.predictions(unit)
        pq.write_table(frame, folder / PREDICTIONS)
        (folder / HISTORY).write_text(details.history(unit), encoding="utf-8")
    record.metrics.update(found["test"])
    record.metrics_val.update(found["val"])
    known.scores.setdefault(_name(unit), []).append(record.metrics[record.metric])
    if unit.protocol != "knn":
        epoch = int(generator("epoch", *_name(unit), unit.seed).integers(3, 60))
        step = (epoch + 1) * STEPS_PER_EPOCH[unit.dataset]
        record.chosen.update(learning_rate=1e-4, epoch=epoch, val=found["val"][record.metric], step=step)
        known.steps.setdefault(_name(unit), []).append(step)


def _fill_timing(folder: Path, record: Record, known: Known) -> None:
    unit = record.unit
    ms = round(float(generator("latency", *_name(unit)).uniform(4, 30)), 3)
    record.metrics.update(
        latency_ms=ms, latency_ms_std=0.2, latency_ms_median=ms - 0.05, throughput=4000 / ms, throughput_batch=64
    )
    record.metric = "latency_ms"
    known.latency[unit.model, unit.options["classifier"]] = ms


def _fill_cka(folder: Path, record: Record, known: Known) -> None:
    unit, at = record.unit, np.arange(LAYERS)
    fall = generator("cka", *_name(unit)).uniform(0.2, 0.7)
    near = np.exp(-np.abs(at[:, None] - at[None, :]) / 4) * (1 - fall * (at[:, None] / LAYERS) ** 2)
    values = np.round(near, 6)
    lines = ["tuned_layer,start_layer,cka", *(f"{i},{j},{values[i, j]}" for i in at for j in at)]
    (folder / "cka.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    record.metrics.update(cka_diagonal_mean=float(np.diag(values).mean()), cka_last=float(values[-1, -1]))
    record.metric = "cka_last"
    known.cka[unit.model, unit.dataset, unit.options.get("tuned", "linear-unfrozen")] = values


def _fill_features(folder: Path, record: Record, known: Known) -> None:
    unit = record.unit
    common = generator("images", unit.dataset).normal(size=(IMAGES, 8))
    own = generator("features", unit.model, unit.dataset)
    width = 8 + 2 * MODELS.index(unit.model)  # models differ in the length of their features
    values = common @ own.normal(size=(8, width)) + own.normal(size=(IMAGES, width)) * (1 + (unit.model == "blip") * 9)
    known.features[unit.model, unit.dataset] = values.astype(np.float32)
    np.save(folder / "features.npy", known.features[unit.model, unit.dataset])
    record.metrics.update(feature_rank=float(np.linalg.matrix_rank(values)))
    record.metric = "feature_rank"
    record.chosen.update(images=IMAGES, ids=files.digest([unit.dataset, IMAGES]))
