"""What is refused before anything is computed: unknown names, options and data sets that do not fit a protocol."""

from __future__ import annotations

from dataclasses import replace

from medbench import cards
from medbench.cards import ModelCard, ProtocolCard, Settings
from medbench.cards.catalogues.features_file import LIBRARY
from medbench.cards.find import Words
from medbench.cards.recipes import KINDS, SETTINGS, Prompted
from medbench.cards.resolve import SEED
from medbench.data.dataset import Dataset
from medbench.errors import MedbenchError, collected, joined, unknown
from medbench.runs.jobs import Options
from medbench.runs.planning.targets import check_targets


def named(
    model: Words, protocol: Words, dataset: Words, options: Options
) -> tuple[list[ModelCard], list[ProtocolCard], list[str]]:
    """Return the models, protocols and names of data sets that a request means.

    Raises:
        MedbenchError: Names that are unknown: all of them.
    """
    found: dict[str, MedbenchError] = {}
    models, protocols, datasets = list[ModelCard](), list[ProtocolCard](), list[str]()
    with collected(found):
        models = [cards.find_model(name, options.runs) for name in cards.expand("models", model)]
    with collected(found):
        protocols = [cards.find_protocol(name) for name in cards.expand("protocols", protocol)]
    with collected(found):
        datasets = cards.expand("datasets", dataset)
    if found:
        raise joined(found.values())
    return models, protocols, datasets


def check_options(options: Options, models: list[ModelCard]) -> None:
    """Refuse options with an invalid value, and one weights file for several models.

    Raises:
        MedbenchError: One of them.
    """
    if options.weights not in (None, "random") and len(models) > 1:
        names = ", ".join(card.name for card in models)
        raise MedbenchError(
            f"--weights {options.weights} is one file, but the request has {len(models)} models: {names}",
            "run one model at a time with --weights FILE",
        )
    for value, known, what in (
        (options.overwrite, ("missing", "always", "never"), "--overwrite"),
        (options.unreadable, ("stop", "leave-out"), "--unreadable"),
        (options.missing, ("stop", "leave-out"), "--missing"),
        *((tracker, ("tensorboard", "wandb"), "--log") for tracker in options.log),
    ):
        if value not in known:
            raise unknown(f"value of {what}", value, known)
    if options.image_size is not None and options.image_size <= 0:
        raise MedbenchError(
            f"--image-size {options.image_size}: the size must be above 0", "give pixels, such as --image-size 224"
        )
    check_targets(options)
    _ = options.machine, options.seed_list


def in_folds(options: Options) -> Options:
    """Return the options with one seed and one split for each fold that is asked for.

    Raises:
        MedbenchError: The number is below 3, or a split is asked for, too.
    """
    if options.folds is None:
        return options
    if options.folds < 3 or "split" in options.changes:
        what = "train, val and test need one fold each" if options.folds < 3 else "--set split asks for another split"
        raise MedbenchError(f"--folds {options.folds}: {what}", "give 3 or more folds, and no other split")
    split = {"split": f"kfold-{options.folds}@{SEED}"}
    return replace(options, seeds=list(range(options.folds)), changes={**options.changes, **split})


def check_inputs(recipe: ProtocolCard, settings: Settings, data: Dataset) -> None:
    """Refuse a data set whose samples have several inputs or findings, if the protocol takes one.

    Raises:
        MedbenchError: They have several.
    """
    if settings.single_label and data.multilabel:
        raise MedbenchError(
            f"{recipe.name} does not support several findings per sample, which {data.card.name} has",
            "run zero-shot, few-shot or linear-probe on it, or choose a data set of one class per sample",
        )
    if (KINDS[recipe.kind].beyond_pooled or settings.language) and (data.inputs or settings.inputs):
        one = {name for name, known in SETTINGS.items() if known.kind.beyond_pooled or issubclass(known, Prompted)}
        raise MedbenchError(
            f"{recipe.name} takes one image per sample, but samples of {data.card.name} have several inputs",
            f"run one of {', '.join(name for name in SETTINGS if name not in one)} on it",
        )


def check_features(model: ModelCard, recipe: ProtocolCard, settings: Settings, data: Dataset, options: Options) -> None:
    """Refuse a features file where anything but these features is asked for, such as images or other weights.

    Raises:
        MedbenchError: It does.
    """
    if model.library != LIBRARY:
        return
    for given, value in (("--weights", options.weights), ("--image-size", options.image_size)):
        if value is not None:
            raise MedbenchError(
                f"{given} {value}: {model.name} is a features file, so features are not computed",
                f"remove {given}, or give the model that made the file",
            )
    if KINDS[recipe.kind].beyond_pooled or settings.language or settings.pooled or data.inputs:
        lacking = "samples with several images" if data.inputs else "more than one vector for each image"
        known = [name for name, one in SETTINGS.items() if not one.kind.beyond_pooled and not issubclass(one, Prompted)]
        raise MedbenchError(
            f"{recipe.name} on {data.card.name} needs {lacking}, and {model.name} is a features file",
            f"with a features file, run one of {', '.join(known)}",
        )
    if options.corrupt:
        raise MedbenchError(
            f"--corrupt: {model.name} is a features file and has no features of corrupted images",
            "give the model itself, or remove --corrupt",
        )
    if views := getattr(settings, "views", 0):
        raise MedbenchError(
            f"{recipe.name} needs {views} augmented views of each image, and the features file {model.name} has none",
            "to use the features in the file: --set views=0",
        )


def check_parts(recipe: ProtocolCard, settings: Settings, data: Dataset) -> None:
    """Refuse a split that lacks a part that the protocol needs.

    Raises:
        MedbenchError: It lacks one.
    """
    if lacking := [part for part in settings.parts if not data.sizes.get(part)]:
        raise MedbenchError(
            f"{recipe.name} needs samples in {' and '.join(lacking)}, but the split '{data.split_name}' of "
            f"{data.card.name} has none",
            "choose another split; zero-shot needs only test, and few-shot with val=none needs no val",
        )
