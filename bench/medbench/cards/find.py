"""Finding cards by name, comma list, glob or file."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from medbench.cards.base import FILE_NAME, Card
from medbench.cards.catalogues.features_file import features_card, is_features_file
from medbench.cards.catalogues.hub_models import hub_card, is_hub_name
from medbench.cards.catalogues.libraries import is_library_name, library_card
from medbench.cards.catalogues.medmnist import is_medmnist_name, medmnist_card, medmnist_names, safe_name
from medbench.cards.dataset import DatasetCard
from medbench.cards.load import C, load_card, read_yaml
from medbench.cards.model import ModelCard, Weights
from medbench.cards.paper import PaperCard
from medbench.cards.prompts.card import PromptsCard
from medbench.cards.protocol import ProtocolCard
from medbench.cards.recipes import KINDS
from medbench.cards.study import StudyCard
from medbench.errors import CardError, unknown
from medbench.storage import paths

SCHEMAS: dict[str, type[Card]] = {
    "models": ModelCard,
    "datasets": DatasetCard,
    "protocols": ProtocolCard,
    "papers": PaperCard,
    "studies": StudyCard,
    "prompts": PromptsCard,
}
FOLDER_KINDS = {
    "model_zoo": "models",
    "datasets": "datasets",
    "protocols": "protocols",
    "published": "papers",
    "studies": "studies",
    "prompts": "prompts",
}
TELLING_FIELDS = {
    "models": {"arch", "library", "weights", "pretraining", "features"},
    "datasets": {"layout", "task", "classes", "splits", "access", "channels"},
    "protocols": {"defaults", "presets", "kind"},
    "papers": {"tables"},
    "studies": {"entrants"},
    "prompts": {"prompts", "template", "append_name"},
}
"""Fields that only cards of one kind have."""
SINGULAR = {kind: "study" if kind == "studies" else kind.removesuffix("s") for kind in SCHEMAS}
"""Kind -> what one card of it is called."""
LABEL_FILES = (".csv", ".tsv", ".parquet")
"""Endings of label files of the user's own."""
HUB_DATA = "hf://"
"""How the name of a data set on the Hugging Face hub begins."""
Words = str | Path | Iterable[str | Path]
"""Names, comma lists, globs and card files, as the command line and `medbench.run` take them."""

ENDINGS = (".yaml", ".yml")
"""How the names of card files end."""


def card_files(kind: str) -> dict[str, Path]:
    """Return name -> file of all cards of `kind`, a key of `SCHEMAS`; the first place wins."""
    found: dict[str, Path] = {}
    for folder in paths.card_dirs(kind):
        for path in cards_in(folder):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def cards_in(folder: Path) -> list[Path]:
    """Return the card files in a folder, sorted; an empty list if there is no such folder."""
    return sorted(path for ending in ENDINGS for path in folder.glob(f"*{ending}"))


def card_file(kind: str, name: str) -> Path | None:
    """Return the file of the card called `name`, or None if there is none. No folder is listed."""
    if not re.fullmatch(FILE_NAME, name):
        return None
    places = (folder / f"{name}{ending}" for folder in paths.card_dirs(kind) for ending in ENDINGS)
    return next((path for path in places if os.path.isfile(path)), None)  # noqa: PTH113 - of any text as well


def is_card(kind: str, name: str) -> bool:
    """Tell whether there is a card of this name."""
    return card_file(kind, name) is not None


def names(kind: str) -> list[str]:
    """Return the names of all cards of `kind`, sorted. No card is opened."""
    return list(card_files(kind))


def load_file(schema: type[C], path: Path) -> C:
    """Return the card in a file, whose name is the file's."""
    card = load_card(path, schema)
    if card.name != path.stem:
        raise CardError(
            f"{path}: name: '{card.name}' differs from the file name", f"rename the file to {card.name}{path.suffix}"
        )
    return card


def load_all(kind: str) -> Iterator[tuple[str, Any]]:
    """Yield the name of each card of `kind` and the card, or the `CardError` of one that does not load."""
    for name, path in card_files(kind).items():
        try:
            yield name, load_file(SCHEMAS[kind], path)
        except CardError as error:
            yield name, error


def find_model(name: str, runs: Path | None = None) -> ModelCard:
    """Return the model card called `name`, or that lies in the file `name` (ending in .yaml).

    `timm/NAME` and `open_clip/ARCH/TAG` are any models that those libraries list, `hf-hub:OWNER/NAME` is a model of
    timm on the Hugging Face hub. `NAME@PROTOCOL` is the network of that card with the weights that a protocol trained
    on the same data set (`resnet152@dino-pretrain`); if the protocol learns from images with texts, it is the model
    that such a run has made on any data set. A features file (`.npz` and so on) is a model of which there are only
    features.

    Args:
        name: The name or file.
        runs: The run store, which holds the models that runs have made; None: the usual one.

    Raises:
        CardError: There is no such card; no run has made the model, or several have.
    """
    base, maker = trained(name)
    if is_card("protocols", maker):
        plain = find_model(base)
        if learns_from_pairs(maker):
            return _made(plain, maker, paths.runs_dir(runs)).model_copy(update={"name": f"{plain.name}@{maker}"})
        licence = plain.weights.licence if plain.weights else ""
        return plain.model_copy(update={"name": name, "weights": Weights(licence=licence)})
    if is_library_name(name) and not is_file_name(name):
        return library_card(name)
    if is_hub_name(name) and not is_file_name(name):
        return hub_card(name)
    if is_features_file(name):
        return features_card(name)
    return _find(ModelCard, name)


def learns_from_pairs(protocol: str) -> bool:
    """Tell whether a protocol's kind learns from images with texts."""
    return KINDS[find_protocol(protocol).kind].pairs


def made_name(model: str, protocol: str) -> str:
    """Return the name of the card of a model that a run has made; the card is next to the run's record."""
    return f"{model}-{protocol}".replace("@", "-").replace("+", "p")


def _made(plain: ModelCard, maker: str, runs: Path) -> ModelCard:
    """Return the card of the one model that runs of a protocol have made.

    Raises:
        CardError: There is none, or there are several.
    """
    own = made_name(plain.name, maker)
    found = sorted(runs.glob(f"*/{glob.escape(plain.name)}/{maker}/*/{glob.escape(own)}.yaml"))
    if not found:
        raise CardError(
            f"there is no finished run of {plain.name}@{maker} in {runs}",
            f"run it first: medbench run --model {plain.name} --protocol {maker} --dataset PAIRS.csv",
        )
    if len(found) > 1:
        listed = ", ".join(str(path) for path in found[:5]) + (" …" if len(found) > 5 else "")
        raise CardError(
            f"there are {len(found)} finished runs of {plain.name}@{maker}",
            f"give the path of one of their cards: --model {listed}",
        )
    return load_file(ModelCard, found[0])


def find_dataset(name: str) -> DatasetCard:
    """Return the data set card called `name`, or that lies in the file `name` (ending in .yaml).

    `medmnist/NAME` is any flat set of MedMNIST.
    """
    if is_medmnist_name(name) and not is_file_name(name):
        return medmnist_card(name)
    return _find(DatasetCard, name)


def find_protocol(name: str) -> ProtocolCard:
    """Return the protocol card called `name`, or that lies in the file `name` (ending in .yaml)."""
    return _find(ProtocolCard, name)


def find_paper(name: str) -> PaperCard:
    """Return the paper card called `name`."""
    return _find(PaperCard, name)


def find_study(name: str) -> StudyCard:
    """Return the study card called `name`, or that lies in the file `name` (ending in .yaml)."""
    return _find(StudyCard, name)


def find_prompts(name: str) -> PromptsCard:
    """Return the prompts card called `name`, or that lies in the file `name` (ending in .yaml)."""
    return _find(PromptsCard, name)


def _find(schema: type[C], name: str) -> C:
    if is_file_name(name):
        return load_file(schema, _existing(name))
    kind = next(kind for kind, known in SCHEMAS.items() if known is schema)
    file = card_file(kind, name)
    if file is None:
        raise unknown(SINGULAR[kind], name, names(kind), f"All: medbench ls {kind}")
    return load_file(schema, file)


def _existing(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise CardError(f"no card file {path}", "check the path; cards are YAML files")
    return path


def is_file_name(name: str) -> bool:
    """Tell whether `name` means a card file rather than a card's name."""
    return name.endswith(ENDINGS)


def trained_first(name: str) -> tuple[str, str]:
    """Return (model, protocol) of a model that a protocol must first train on the same data set; else (name, "").

    A model that a protocol makes from images with texts is not among these: it must have been made before.
    """
    base, maker = trained(name)
    return (base, maker) if maker and not learns_from_pairs(maker) else (name, "")


def trained(name: str) -> tuple[str, str]:
    """Return (model, protocol) of `MODEL@PROTOCOL`, the model whose weights that protocol makes; else (name, "")."""
    base, at, maker = name.rpartition("@")
    return (base, maker) if at and re.fullmatch(r"[a-z0-9-]+", maker) else (name, "")


def dataset_kind(name: str) -> Literal["card", "labels", "folder"]:
    """Tell what a data set's name means: a card (by name or file), a label file or a folder of one's own.

    A data set on the hub counts as a label file. A card's name comes before a folder of that name. A name that is none
    of these is taken for an unknown card's.
    """
    if name.lower().endswith(LABEL_FILES) or name.startswith(HUB_DATA):
        return "labels"
    known = is_file_name(name) or is_medmnist_name(name) or is_card("datasets", name)
    return "folder" if not known and Path(name).expanduser().is_dir() else "card"


def _is_elsewhere(kind: str, word: str) -> bool:
    """Tell whether a word that is not a card means the user's own data, or a model that a library lists."""
    if kind == "models":
        return is_library_name(word) or is_hub_name(word) or is_features_file(word)
    return kind == "datasets" and (word.startswith(HUB_DATA) or Path(word).expanduser().exists())


def _is_trained(kind: str, word: str) -> bool:
    base, maker = trained(word)
    if kind != "models" or not is_card("protocols", maker):
        return False
    return is_card("models", base) or is_file_name(base) or is_library_name(base) or _is_trained(kind, base)


def _medmnist_sets(word: str) -> list[str]:
    """Return the path-safe name of one set of MedMNIST, or those a glob (`medmnist/*_224`) matches."""
    if not any(c in word for c in "*?["):
        return [medmnist_card(word).name]
    matches = fnmatch.filter(medmnist_names(), safe_name(word))
    if not matches:
        raise unknown("data set", word, medmnist_names())
    return matches


def expand(kind: str, words: Words) -> list[str]:
    """Expand names, comma lists, globs (`dinov2*`) and card files to names and files, in order, each once.

    A path that is there is itself, whatever commas or brackets it has.

    Raises:
        CardError: A word is unknown, or a glob matches nothing.
    """
    listed = [w for word in ([words] if isinstance(words, str | Path) else words) for w in _listed(str(word))]
    found: list[str] = []
    known = names(kind)
    for word in filter(None, listed):
        if kind == "datasets" and is_medmnist_name(word) and not is_file_name(word):
            found += _medmnist_sets(word)
        elif any(c in word for c in "*?[") and not _is_path(word):
            matches = fnmatch.filter(known, word)
            if not matches:
                raise unknown(kind.removesuffix("s"), word, known, f"All: medbench ls {kind}")
            found += matches
        elif is_file_name(word) or word in known or _is_elsewhere(kind, word) or _is_trained(kind, word):
            found.append(word)
        elif kind == "datasets" and (word.lower().endswith(LABEL_FILES) or "/" in word or "\\" in word):
            raise CardError(f"there is no file or folder {word}", "check the path and the current folder")
        else:
            raise unknown(kind.removesuffix("s"), word, known, f"All: medbench ls {kind}")
    if not found:
        raise CardError(f"no {kind.removesuffix('s')} was named", f"choose from: medbench ls {kind}")
    return list(dict.fromkeys(found))


def _listed(text: str) -> Iterator[str]:
    """Yield the words of a comma list; a path that is there may have commas in it."""
    parts = text.split(",")
    while parts:
        n = next((n for n in range(len(parts), 1, -1) if _is_path(",".join(parts[:n]).strip())), 1)
        yield ",".join(parts[:n]).strip()
        parts = parts[n:]


def _is_path(text: str) -> bool:
    return os.path.exists(os.path.expanduser(text))  # noqa: PTH110, PTH111 - of a text too long for a path as well


def faults_of(path: Path) -> list[str]:
    """Return every fault of the card in `path` as `file:line: field: what`; none: the card is valid."""
    try:
        load_any(str(path))
    except CardError as error:
        return error.message.split("\n")
    return []


def load_any(name: str) -> tuple[str, Card, str]:
    """Load the card in file `name`, whatever its kind: (kind, card, path).

    Raises:
        CardError: The file does not exist, its kind is not clear, or the card is invalid.
    """
    path = _existing(name)
    kind = kind_of(path)
    return kind, load_file(SCHEMAS[kind], path), str(path)


def kind_of(path: Path) -> str:
    """Tell a card's kind: by its folder, else by its fields; lists of texts alone are prompts.

    Raises:
        CardError: The file is not YAML, or no field tells the kind.
    """
    content = read_yaml(path)
    if path.resolve().parent.name in FOLDER_KINDS:
        return FOLDER_KINDS[path.resolve().parent.name]
    fields = set(content) if isinstance(content, dict) else set()
    kind = max(TELLING_FIELDS, key=lambda k: len(TELLING_FIELDS[k] & fields))
    if not TELLING_FIELDS[kind] & fields:
        if fields and all(isinstance(value, list) for value in content.values()):
            return "prompts"  # nothing but `class: [texts]`
        raise CardError(
            f"{path}:1: card: unclear whether this is a model, data set, protocol, paper, study or prompts card",
            f"put the file into a folder with one of these names: {', '.join(FOLDER_KINDS)}",
        )
    return kind
