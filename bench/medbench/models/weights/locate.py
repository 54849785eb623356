"""Finds a model's weights file: the official file, a file of the user, or none. This module does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from medbench.cards import ModelCard
from medbench.cards.catalogues.features_file import LIBRARY, is_of_random
from medbench.cards.model import Hub, Vocabulary, Weights
from medbench.errors import UnreachableError, WeightsError, first_line
from medbench.progress import say
from medbench.storage import paths
from medbench.storage.digests import file_digests
from medbench.storage.fetch import FetchError, fetch_part, reach_hub
from medbench.storage.locks import exclusive


@dataclass(frozen=True)
class WeightsFile:
    """A weights file, or random weights.

    Attributes:
        path: The file, or None for random weights.
        sha256: Of the file; `random:0` for random weights; `unit:KEY` for weights that unit KEY trained.
        origin: `official` (the card's file), `file` (another one), `random` or `trained`.
    """

    path: Path | None
    sha256: str
    origin: Literal["official", "file", "random", "trained"]


RANDOM = WeightsFile(None, "random:0", "random")


def locate(card: ModelCard, chosen: str | None = None, *, download: bool = True) -> WeightsFile:
    """Return the weights file of a card. A missing official file is downloaded if it is open.

    Args:
        card: The model.
        chosen: None for the card's file, a path, or `random`.
        download: Whether downloading is allowed.

    Raises:
        WeightsError: The file does not exist and cannot be fetched, or its digest is not the card's.
    """
    weights = card.weights
    if chosen == "random" or (chosen is None and weights is None):
        return RANDOM
    if chosen is not None:
        path = Path(chosen).expanduser()
        if not path.is_file():
            raise WeightsError(f"no weights file {path}", "check --weights; it takes a file or the word random")
        sha = file_digests([path])[0]
        official = weights is not None and weights.sha256 is not None and sha.startswith(weights.sha256)
        return WeightsFile(path, sha, "official" if official else "file")
    assert weights is not None
    if (own := own_file(card)) is not None:
        sha = _digest(card, own, "fix weights in the card, or pass --weights FILE")
        return WeightsFile(own, sha, "random" if card.library == LIBRARY and is_of_random(own) else "file")
    if weights.url is None and weights.hub is None:
        _nowhere(card)
    cached = held(card) or (fetch(card) if download else _absent(card, ""))
    hint = (
        f"delete it and run: medbench weights download {card.name}; or, if you trust the file, pass it with --weights"
    )
    return WeightsFile(cached, _digest(card, cached, hint), "official")


def locate_vocabulary(card: ModelCard, weights: WeightsFile, *, download: bool = True) -> WeightsFile | None:
    """Return the file of a model's tokenizer; None for CLIP's, which open_clip holds.

    It is looked for next to the weights file, then in the places of weights.

    Args:
        card: The model, with a text tower.
        weights: Its weights file.
        download: Whether downloading is allowed.

    Raises:
        WeightsError: The file does not exist and cannot be fetched, or its digest is not the card's.
    """
    source = card.text.tokenizer.source if card.text else None
    if source is None:
        return None
    card = card.model_copy(update={"weights": source})
    beside = weights.path.with_name(source.filename) if weights.path and source.filename else None
    if beside is not None and beside.is_file():
        return WeightsFile(beside, _digest(card, beside, "get the right file and put it there"), "file")
    return locate(card, download=download)


def require_unchanged(weights: WeightsFile) -> None:
    """Check, after a file was read, that it still is the one whose digest is in the keys of what comes of it.

    Raises:
        WeightsError: It was replaced while the command ran.
    """
    if weights.path is None or weights.sha256.startswith("unit:"):  # such a file has a checksum inside
        return
    if file_digests([weights.path]) != [weights.sha256]:
        raise WeightsError(f"{weights.path} was replaced while the command ran", "run the command again")


def weights_folder() -> Path:
    """Return the folder of the official files."""
    return paths.home() / "weights"


def place(card: ModelCard) -> Path:
    """Return the path for the official file. Each repository of the hub has its own folder.

    File names on the hub, such as `model.safetensors`, are not unique.
    """
    weights = card.weights
    assert weights is not None
    if weights.url is None and weights.hub is not None:
        return weights_folder() / weights.hub.repo.replace("/", "--") / str(weights.filename)
    return weights_folder() / str(weights.filename)


def held(card: ModelCard) -> Path | None:
    """Return the official file if this machine has it, in its place or in the hub's cache; else None."""
    if (path := place(card)).is_file():
        return path
    hub = card.weights.hub if card.weights and card.weights.url is None else None
    if hub is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    for name in (hub.file, *hub.alike):
        found = try_to_load_from_cache(hub.repo, name, revision=hub.revision)
        if (own := path.with_name(name)).is_file() or isinstance(found, str):
            return own if own.is_file() else Path(str(found))
    return None


def fetch(card: ModelCard) -> Path:
    """Download the official file, resuming an interrupted download, and return its path.

    If several processes need the same file, one downloads it and the others wait.

    Raises:
        WeightsError: There is no address or no network, the file is gated, or its digest is wrong.
    """
    weights = card.weights
    if weights is None or (weights.url is None and weights.hub is None):
        _nowhere(card)
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return _absent(card, "HF_HUB_OFFLINE is set, so nothing is downloaded")
    if weights.url is None:
        assert weights.hub is not None
        return _from_hub(card, weights.hub)
    target = place(card)
    lock = target.with_name(target.name + ".lock")
    with exclusive(lock, f"waiting for another process that downloads {target.name}"):
        if not target.is_file():
            say(f"downloading {weights.url} ({card.name}; licence: {weights.licence or 'see its page'})")
            _from_url(card, weights.url, target)
    return target


def _from_url(card: ModelCard, url: str, target: Path) -> None:
    try:
        part = fetch_part(url, target)
    except FetchError as error:
        _absent(card, f"download failed: {error}", UnreachableError)
    try:
        _digest(card, part, "the file at this address may have changed; get the right file and put it there yourself")
    except WeightsError:
        part.unlink(missing_ok=True)  # complete but wrong: nothing to resume
        raise
    part.replace(target)


def own_file(card: ModelCard) -> Path | None:
    """Return the local file that a card names, from the card's place or the weights folder; None if it is missing."""
    if card.weights is None or card.weights.file is None:
        return None
    path = card.folder / Path(card.weights.file).expanduser()
    return next((place for place in (path, weights_folder() / path.name) if place.is_file()), None)


def _digest(card: ModelCard, path: Path, hint: str) -> str:
    """Return a file's sha256, which must be the card's; `hint` says what to do if it is not."""
    sha = file_digests([path])[0]
    expected = card.weights.sha256 if card.weights else None
    if expected is not None and not sha.startswith(expected):
        raise WeightsError(
            f"{path} is not the file of the card {card.name}: its sha256 is {sha[:16]}…,"
            f" expected {expected[:16]}{'…' if len(expected) > 16 else ''}",
            hint,
        )
    return sha


def _absent(card: ModelCard, reason: str, kind: type[WeightsError] = WeightsError) -> NoReturn:
    """Raise the error for a missing file, with all ways to get it."""
    weights = card.weights
    assert weights is not None
    source = weights.url or (f"{weights.hub.repo} ({weights.hub.file}) on the Hugging Face hub" if weights.hub else "")
    size = f", {weights.bytes / 1e6:,.0f} MB" if weights.bytes else ""
    gate = f" It is gated: {weights.access}" if weights.gated else ""
    raise kind(
        f"the {weights.noun} of {card.name} ({weights.filename}{size}) {_verb(weights)} not in {place(card).parent}"
        + (f"; {reason}" if reason else ""),
        f"run: medbench weights download {card.name}; or get {source} and put it there, {_other(weights)}.{gate}",
    )


def _verb(weights: Weights) -> str:
    return "are" if weights.noun.endswith("s") else "is"


def _other(weights: Weights) -> str:
    return "or next to the weights file" if isinstance(weights, Vocabulary) else "or pass --weights FILE"


def _nowhere(card: ModelCard) -> NoReturn:
    """Raise the error for a card without a file to download."""
    how = card.weights.access if card.weights else ""
    if card.weights is not None and card.weights.file is not None:
        path = card.folder / Path(card.weights.file).expanduser()
        raise WeightsError(
            f"the {card.weights.noun} of {card.name} {_verb(card.weights)} neither at {path} nor in {weights_folder()}",
            f"{how or 'see the card'}; put the file there, {_other(card.weights)}",
        )
    raise WeightsError(
        f"the card of {card.name} has no address of a weights file",
        f"{how or 'get the file from its authors'}; then pass it with --weights FILE",
    )


def _from_hub(card: ModelCard, hub: Hub) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        reach_hub()
    except FetchError as error:
        _absent(card, f"the Hugging Face hub cannot be reached: {error}", UnreachableError)
    names = (hub.file, *hub.alike)
    for name in names:
        try:
            return Path(hf_hub_download(hub.repo, name, revision=hub.revision))
        except GatedRepoError:
            return _absent(card, f"{hub.repo} is gated: request access on its page, then run: hf auth login")
        except LocalEntryNotFoundError as error:  # no network; a subclass of the next one
            return _absent(card, f"download failed: {first_line(error)}", UnreachableError)
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            return _absent(card, f"download failed: {first_line(error)}")
    return _absent(card, f"download failed: {hub.repo} has no file {' or '.join(names)}")
