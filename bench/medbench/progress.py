"""Progress bars with rate and time left: rich on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
PLAIN_EVERY = 20.0  # seconds between lines where there is no terminal


@contextlib.contextmanager
def quiet(hush: bool = True) -> Iterator[None]:
    """Show no progress inside this block."""
    token = _quiet.set(hush)
    try:
        yield
    finally:
        _quiet.reset(token)


def say(line: str) -> None:
    """Print one line about the work to standard error, unless quiet."""
    if not _quiet.get():
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


@contextlib.contextmanager
def bar(what: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)` for a piece of work of `total` steps, `done` of which were done before.

    The rate counts the steps of this block alone.
    """
    if _quiet.get():
        yield _silent
    elif sys.stderr.isatty():
        with _rich_bar(what, total, unit, done) as advance:
            yield advance
    else:
        yield _plain(what, total, unit, done)


def _silent(n: int = 1) -> None:
    """Show nothing."""


@contextlib.contextmanager
def _rich_bar(what: str, total: int, unit: str, done: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    start = time.perf_counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(what, total=total, completed=done, rate="")
        new = 0

        def advance(n: int = 1) -> None:
            nonlocal new
            new += n
            rate = new / max(time.perf_counter() - start, 1e-9)
            display.update(task, advance=n, rate=f"{rate:,.1f} {unit}/s")

        yield advance


def _plain(what: str, total: int, unit: str, done: int) -> Callable[[int], None]:
    start = last = time.perf_counter()
    new = 0

    def advance(n: int = 1) -> None:
        nonlocal new, last
        new += n
        now = time.perf_counter()
        if now - last >= PLAIN_EVERY:
            last = now
            rate = new / (now - start)
            say(f"{what}: {done + new:,}/{total:,} {unit}, {rate:,.1f}/s, {(total - done - new) / rate:,.0f} s left")

    return advance
