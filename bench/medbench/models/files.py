"""Where a model's weights file is: the official one, a person's own, or none. No torch is imported here."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medbench import files, paths
from medbench.cards import ModelCard
from medbench.cards.model import Hub, Weights
from medbench.errors import WeightsError
from medbench.hashes import file_digests
from medbench.progress import bar, say

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class WeightsFile:
    """A weights file, or the promise of random weights.

    Attributes:
        path: The file, or None for random weights.
        sha256: Of the file; `random:0` for random weights.
        origin: `official` (the card's own file), `file` (a person's) or `random`.
    """

    path: Path | None
    sha256: str
    origin: Literal["official", "file", "random"]


RANDOM = WeightsFile(None, "random:0", "random")


def locate(card: ModelCard, chosen: str | None = None, *, download: bool = True) -> WeightsFile:
    """Return the weights file of a card, fetched if it is official, open and not there yet.

    Args:
        card: The model.
        chosen: None for the card's own file, a path, or `random`.
        download: Whether fetching is allowed.

    Raises:
        WeightsError: The file is not there and cannot be fetched, or its digest is not the card's.
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
    if weights.file is not None and weights.url is None and weights.hub is None:
        return WeightsFile(*_checked(card, _own_file(card, weights)), "file")
    cached = weights_folder() / str(weights.filename)
    if not cached.is_file():
        cached = fetch(card) if download else _absent(card, "")
    return WeightsFile(*_checked(card, cached), "official")


def weights_folder() -> Path:
    """Return the folder of the official files."""
    return paths.home() / "weights"


def fetch(card: ModelCard) -> Path:
    """Fetch the official file, resuming an interrupted download, and return its path.

    Raises:
        WeightsError: There is no address, no network, a gate, or the digest is wrong.
    """
    weights = card.weights
    if weights is None or (weights.url is None and weights.hub is None):
        raise WeightsError(f"{card.name} has no official file to fetch", f"see: medbench show {card.name}")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return _absent(card, "HF_HUB_OFFLINE forbids fetching")
    if weights.url is None:
        assert weights.hub is not None
        return _from_hub(card, weights.hub)
    target = weights_folder() / str(weights.filename)
    say(f"fetching {weights.url} ({card.name}; licence: {weights.licence or 'see its page'})")
    try:
        part = _download(weights.url, target)
    except (urllib.error.URLError, OSError, ValueError) as error:
        return _absent(card, f"fetching failed: {getattr(error, 'reason', error)}")
    try:
        _checked(card, part)
    except WeightsError:
        part.unlink(missing_ok=True)  # whole but wrong: nothing to resume
        raise
    part.replace(target)
    return target


def _own_file(card: ModelCard, weights: Weights) -> Path:
    path = card.folder / Path(str(weights.file)).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"the weights of {card.name} are not at {path}", "mend weights.file in the card, or pass --weights FILE"
        )
    return path


def _checked(card: ModelCard, path: Path) -> tuple[Path, str]:
    """Return (path, sha256) after holding the digest to the card's."""
    sha = file_digests([path])[0]
    expected = card.weights.sha256 if card.weights else None
    if expected is not None and not sha.startswith(expected):
        raise WeightsError(
            f"{path} is not the file the card {card.name} means: its sha256 is {sha[:16]}…, expected {expected[:16]}…",
            f"delete it and run: medbench weights download {card.name}; or pass it with --weights if you trust it",
        )
    return path, sha


def _absent(card: ModelCard, reason: str) -> Path:
    """Raise the error for a file that is not there, with every way to get it."""
    weights = card.weights
    assert weights is not None
    place = weights.url or (f"{weights.hub.repo} ({weights.hub.file}) on the Hugging Face hub" if weights.hub else "")
    size = f", {weights.bytes / 1e6:,.0f} MB" if weights.bytes else ""
    gate = f" It is gated: {weights.access}" if weights.gated else ""
    raise WeightsError(
        f"the weights of {card.name} ({weights.filename}{size}) are not in {weights_folder()}"
        + (f"; {reason}" if reason else ""),
        f"run: medbench weights download {card.name}; or get {place} and put it there, or pass --weights FILE.{gate}",
    )


def _from_hub(card: ModelCard, hub: Hub) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(hub.repo, hub.file, revision=hub.revision))
    except GatedRepoError:
        return _absent(card, f"{hub.repo} is gated: ask for access on its page, then: hf auth login")
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        return _absent(card, f"fetching failed: {str(error).splitlines()[0]}")


def _download(url: str, target: Path) -> Path:
    """Download to `target`.part, going on where an earlier download stopped; returns the whole .part file."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"not a web address: {url}")
    part = target.with_name(target.name + ".part")
    with files.writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310 - http(s) only, checked above
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to fetch
            return part
        raise
    with answer:
        if have and answer.status != 206:  # the server does not resume
            have = 0
        total = have + int(answer.headers.get("Content-Length") or 0)
        mode = "ab" if have else "wb"
        with files.writing(part), part.open(mode) as file, bar(target.name, total, "bytes", done=have) as advance:
            while block := answer.read(CHUNK):
                file.write(block)
                advance(len(block))
    if total and part.stat().st_size != total:
        raise OSError(f"the connection ended after {part.stat().st_size:,} of {total:,} bytes; run it again to go on")
    return part
