"""Progress bars with rate and time left: rich on a terminal, a plain line every 20 seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

from medbench.errors import visible

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
_log: ContextVar[Path | None] = ContextVar("log", default=None)
PLAIN_EVERY = 20.0  # seconds between lines when standard error is not a terminal


class Advance(Protocol):
    """Counts finished steps; `note` is shown next to the count, such as the metric of an epoch."""

    def __call__(self, n: int = 1, note: str = "") -> None: ...  # noqa: D102


@contextlib.contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Show no progress and no messages inside this block, if `wanted`."""
    token = _quiet.set(wanted)
    try:
        yield
    finally:
        _quiet.reset(token)


def is_quiet() -> bool:
    """Tell whether progress and messages are switched off here."""
    return _quiet.get()


@contextlib.contextmanager
def logged(file: Path, wanted: bool = True) -> Iterator[None]:
    """Also write each message of this block to `file`, with the time, even if quiet; only if `wanted`."""
    token = _log.set(file if wanted else None)
    try:
        yield
    finally:
        _log.reset(token)


def say(line: str) -> None:
    """Print one line to standard error, unless quiet, and add it to the log file, if there is one."""
    line = visible(line)
    if (file := _log.get()) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
    if not _quiet.get():
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


@contextlib.contextmanager
def bar(what: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Advance]:
    """Yield `advance(n, note)`, which shows the progress of a task.

    Args:
        what: Name of the task.
        total: Number of steps.
        unit: What a step is, in the plural.
        done: Number of steps that were finished earlier; the rate does not count them.
    """
    what = visible(what)
    if _quiet.get():
        yield _silent
    elif sys.stderr.isatty():
        with _rich_bar(what, total, unit, done) as advance:
            yield advance
    else:
        yield _plain(what, total, unit, done)


def _silent(n: int = 1, note: str = "") -> None:
    """Show nothing."""


@contextlib.contextmanager
def _rich_bar(what: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    start = time.perf_counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(what, total=total, completed=done, rate="", note="")
        new = 0

        def advance(n: int = 1, note: str = "") -> None:
            nonlocal new
            new += n
            rate = new / max(time.perf_counter() - start, 1e-9)
            display.update(task, advance=n, rate=f"{rate:,.1f} {unit}/s")
            if note:
                display.update(task, note=note)

        yield advance


def _plain(what: str, total: int, unit: str, done: int) -> Advance:
    start = last = time.perf_counter()
    new, said = 0, ""

    def advance(n: int = 1, note: str = "") -> None:
        nonlocal new, last, said
        new, said = new + n, note or said
        now = time.perf_counter()
        if n and now - last >= PLAIN_EVERY:
            last = now
            rate = new / (now - start)
            left = (total - done - new) / max(rate, 1e-9)
            say(f"{what}: {done + new:,}/{total:,} {unit}, {rate:,.1f}/s, {left:,.0f} s left" + (said and f"; {said}"))

    return advance
