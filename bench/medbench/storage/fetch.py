"""Downloads that resume; pooch, the library for this, cannot."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from medbench.errors import MedbenchError, first_line
from medbench.progress import bar
from medbench.storage import files

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
SLOW, WINDOW = 1_000, 10.0  # fewer bytes in so many seconds: the server holds the line and sends nothing of use


T = TypeVar("T")


class FetchError(Exception):
    """A download failed; the part that arrived is kept, so that the next try resumes."""


def fetch_part(url: str, target: Path, most: int | None = None) -> Path:
    """Download to `target`.part, resuming an earlier download, and return the complete .part file.

    Args:
        url: The address.
        target: Where the file will lie.
        most: Bytes that it has at most; None: not known.

    Raises:
        FetchError: The address does not exist, there is no network, or the connection broke, is far too
            slow or brings too much; the text says which.
        OutputError: The file cannot be written.
    """
    try:
        return _download(url, target, most)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise FetchError(_reason(error)) from error


def reach(url: str) -> None:
    """Check that a web server answers, whatever it says; one try.

    Raises:
        FetchError: It does not, or there is no network.
    """
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise FetchError(_reason(error)) from error


def reach_hub() -> None:
    """Check that the Hugging Face hub answers; its own library tries several times, which takes half a minute.

    Nothing is asked where `HF_HUB_OFFLINE` is set.

    Raises:
        FetchError: It does not answer.
    """
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        reach(constants.ENDPOINT)


def ask_hub(
    ask: Callable[[], T],
    repo: str,
    hint: str,
    kind: type[MedbenchError] = MedbenchError,
    held: Callable[[], T | None] = lambda: None,
) -> T:
    """Return what the Hugging Face hub answers, or what this machine holds if the hub cannot be reached.

    Args:
        ask: Calls the hub's library.
        repo: The repository, for messages.
        hint: What to do if the hub answers and refuses.
        kind: The error to raise.
        held: Returns the answer without the hub; None: there is none.

    Raises:
        MedbenchError: There is no such repository, no right to use it, or no network; of the given kind.
    """
    from huggingface_hub import constants, errors
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    lost = errors.HTTPError  # type: ignore[attr-defined]  # of the library that the hub's own library uses: no answer
    kept = None
    try:
        validate_repo_id(repo.partition("@")[0])
        kept = held()
        reach_hub()
        return ask()
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise kind(
            f"the repository {repo} does not exist on the Hugging Face hub, or you have no access", hint
        ) from error
    except (FetchError, errors.HFValidationError, OSError, lost) as error:
        away = isinstance(error, (FetchError, errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError))
        if not away and isinstance(error, (errors.HFValidationError, OSError)):
            raise kind(f"{repo} on the Hugging Face hub: {first_line(error)}", hint) from error
        if kept is not None:
            return kept
        offline = constants.HF_HUB_OFFLINE
        reason = "HF_HUB_OFFLINE is set" if offline else first_line(error)
        todo = "unset HF_HUB_OFFLINE" if offline else "check the network"
        raise kind(f"{repo}: the Hugging Face hub cannot be reached: {reason}", f"{todo}, then try again") from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or str(reason) or type(error).__name__


def _download(url: str, target: Path, most: int | None) -> Path:
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
        with error:
            if error.code != 416 or not have:
                raise
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                return part  # the download was already complete
        part.unlink()  # the partial file is longer than the file, so it is of another one
        return _download(url, target, most)
    with answer:
        if have and not (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            have = 0  # the server cannot resume: it sends the complete file
        total = have + int(answer.headers.get("Content-Length") or 0)
        mode = "ab" if have else "wb"
        with files.writing(part), part.open(mode) as file, bar(target.name, total, "bytes", done=have) as advance:
            for block in _blocks(answer):
                file.write(block)
                advance(len(block))
                if most is not None and file.tell() > most:
                    raise OSError(f"the server sends more than {most:,} bytes, so it is not the file of the card")
    if answer.headers.get("Content-Length") and part.stat().st_size != total:
        raise OSError(
            f"the connection ended after {part.stat().st_size:,} of {total:,} bytes; rerun the command to resume"
        )
    return part


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the content as it comes, as long as it comes at a rate with which it will end."""
    since, got = time.monotonic(), 0
    while block := answer.read1(CHUNK):
        yield block
        got += len(block)
        if (now := time.monotonic()) - since > WINDOW:
            if got < SLOW:
                raise OSError(f"the server sent only {got} bytes in {WINDOW:.0f} s; rerun the command to resume")
            since, got = now, 0
