"""What cells would cost that cannot be run yet, because their data or weights are not there: from the cards alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from medbench import cards
from medbench.cards import DatasetCard, ModelCard, Settings
from medbench.cards.find import trained
from medbench.cards.resolve import fitting, resolve
from medbench.models.weights.locate import held, own_file
from medbench.papers.cells import CellSpec
from medbench.papers.commands import Commands
from medbench.records import Record
from medbench.runs.device import choose_precision
from medbench.runs.estimate import Estimate, Speed, forwards_of_training, from_features, priced
from medbench.runs.jobs import Options
from medbench.runs.planning.shared import Once
from medbench.storage import files


@dataclass(frozen=True)
class Absent:
    """The cost of cells without their data.

    Attributes:
        units: Number of units.
        cost: Forwards, and hours where this machine was measured.
        files: Weights files that are not here.
        sized: How many of them have a card that tells their size.
        size: Bytes of these.
        unsized: Data sets whose cards do not tell their size; they are not counted.
    """

    units: int
    cost: Estimate
    files: int
    sized: int
    size: int
    unsized: tuple[str, ...]


def absent(cells: Sequence[CellSpec], records: Iterable[Record], options: Options) -> Absent:
    """Return what cells would cost. Sizes of splits are those of the cards, or follow from the shares of their rules.

    Args:
        cells: The cells; each is known to name cards that this version has.
        records: Finished units, for images per second.
        options: Of the run.
    """
    work: dict[Speed, int] = {}
    shared: dict[tuple[Speed, str, str], int] = {}
    places, units, unsized = [], 0, dict[str, None]()
    once, commands, models = Once(), Commands(), dict[str, ModelCard]()
    for one in cells:
        dataset = once(("dataset", one.dataset), partial(cards.find_dataset, one.dataset))
        model = once(("model", one.model), partial(cards.find_model, trained(one.model)[0]))
        recipe = once(("protocol", one.protocol), partial(cards.find_protocol, one.protocol))
        models[one.model] = model
        changes = fitting(recipe.kind, commands.changes(one), [recipe.kind])
        settings = resolve(recipe, one.preset, dataset.name, changes)
        images, seeds = dataset.counts.images, one.seeds if recipe.seeded else 1
        if images is None:
            unsized[dataset.name] = None
            continue
        several = one.sweep[1] - 1 if one.sweep else 1
        units += seeds * several
        places.append((recipe.kind, dataset.name))
        sizes = split_sizes(dataset, images, settings.split_name)
        ready = from_features(recipe.kind)
        size = options.image_size or settings.image_size or model.input.size
        precision = choose_precision(options.precision, options.machine, settings.precision, options.elsewhere)
        speed: Speed = (one.model, "features" if ready else recipe.kind, size, precision)
        if ready:  # protocols with the same preprocessing share the features of an encoder
            views = getattr(settings, "views", 0) or 0
            common = settings.model_dump(mode="json", include=set(Settings.model_fields))
            at = speed, dataset.name, files.canonical(common)
            shared[at] = max(images + views * sizes["train"], shared.get(at, 0))
        else:
            work[speed] = work.get(speed, 0) + several * forwards_of_training(settings, sizes, images, seeds)
    for (speed, *_), number in shared.items():
        work[speed] = work.get(speed, 0) + number
    lacking = [model for model in models.values() if _is_lacking(model)]
    known = [model.weights.bytes for model in lacking if model.weights and model.weights.bytes]
    cost = priced(work, places, records, options.device)
    return Absent(units, cost, len(lacking), len(known), sum(known), tuple(unsized))


def _is_lacking(model: ModelCard) -> bool:
    return (
        model.weights is not None and own_file(model) is None and model.weights.filename is not None and not held(model)
    )


def split_sizes(card: DatasetCard, images: int, name: str | None) -> dict[str, int]:
    """Return about how many images the parts of a data set's split have.

    Args:
        card: The data set.
        images: In all.
        name: The split; None: the card's default. Of one that the card does not list, the default's sizes.
    """
    rule = card.splits.rules.get(name or "") or card.splits.rules[card.splits.default]
    if rule.method == "official" and card.counts.splits:
        told = card.counts.splits
        train, val, test = told.get("train", 0), told.get("val", 0), told.get("test", 0)
        cut = 0 if val else round(rule.val * train)
        return {"train": train - cut, "val": val + cut, "test": test}
    if rule.method == "whole":
        return {"train": 0, "val": 0, "test": images}
    test, val = round(rule.test * images), round(rule.val * images)
    return {"train": images - test - val, "val": val, "test": test}
