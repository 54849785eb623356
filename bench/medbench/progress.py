"""Progress bars with rate and time left, and how work stops.

Bars are rich's on a terminal, and a plain line every 20 seconds elsewhere.

SIGINT (Ctrl-C), SIGTERM and SIGUSR2 (of a cluster, before a time limit) raise `Stopped` at once, but inside `steps`
only after the step that is being made: whoever makes steps saves first. A second signal never waits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from medbench.errors import visible

if TYPE_CHECKING:
    from rich.progress import Progress

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
_log: ContextVar[Path | None] = ContextVar("log", default=None)
_display: ContextVar[Progress | None] = ContextVar("display", default=None)
_stopping: ContextVar[_Stopping | None] = ContextVar("stopping", default=None)
NARROW = 100  # columns of a terminal on which bars are short, so that names and numbers fit
PLAIN_EVERY = 20.0  # seconds between lines when standard error is not a terminal


SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR2] if hasattr(signal, "SIGUSR2") else []))
"""What stops work in order."""


class Stopped(BaseException):
    """The person or the system stopped the work by a signal, which is the argument."""

    @property
    def signal(self) -> int:
        """Number of the signal."""
        return int(self.args[0])


@dataclass
class _Stopping:
    """The signal that came while a step was made, and how many loops of steps are running."""

    signal: int = 0
    loops: int = 0


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


def is_first() -> bool:
    """Tell whether this process is the one that prints and writes, of several that torchrun or Slurm started."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def logged(file: Path, wanted: bool = True) -> Iterator[None]:
    """Also write each message of this block to `file`, with the time, even if quiet; only if `wanted`.

    Inside another such block its file stays: a task of a cluster has a log of its own.
    """
    token = _log.set((_log.get() or file) if wanted else None)
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
    if _quiet.get():
        return
    if (display := _display.get()) is not None:
        display.console.print(line, markup=False, highlight=False, soft_wrap=True)  # above the bars
    else:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Turn `SIGNALS` into `Stopped` inside this block; it has an effect in the main thread alone."""
    if _stopping.get() is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    state, owner = _Stopping(), os.getpid()

    def stop(number: int, _: Any) -> None:
        if os.getpid() != owner:  # a loader process, forked from this one, which ends it
            if number != signal.SIGINT:
                os._exit(128 + number)
        elif state.loops and not state.signal:
            state.signal = number
            say("stopping after this step; to stop at once, press Ctrl-C again")
        else:
            raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    token = _stopping.set(state)
    try:
        yield
    finally:
        _stopping.reset(token)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def steps() -> Iterator[Callable[[], int]]:
    """Let a loop of steps end cleanly: yield a function that returns the signal on which to save and leave, or 0.

    Raises:
        Stopped: At the end of the block, if it was to be left.
    """
    state = _stopping.get() or _Stopping()
    state.loops += 1
    try:
        yield lambda: state.signal
    finally:
        state.loops -= 1
    if state.signal:
        raise Stopped(state.signal)


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
        with _shown() as display:
            yield _rich(display, what, total, unit, done)
    else:
        yield _plain(what, total, unit, done)


def _silent(n: int = 1, note: str = "") -> None:
    """Show nothing."""


@contextlib.contextmanager
def _shown() -> Iterator[Progress]:
    """Yield the display of all bars that are shown now; a bar inside another one is a line below it while it lasts."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    if (outer := _display.get()) is not None:
        inside = set(outer.task_ids)
        yield outer
        for task in set(outer.task_ids) - inside:
            outer.remove_task(task)
        return
    console = Console(stderr=True)
    names = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    columns = (
        TextColumn("{task.description}", table_column=names),
        BarColumn(bar_width=8 if console.width < NARROW else 40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, expand=console.width < NARROW) as display:
        token = _display.set(display)
        try:
            yield display
        finally:
            _display.reset(token)


def _rich(display: Progress, what: str, total: int, unit: str, done: int) -> Advance:
    task, start, new = display.add_task(what, total=total, completed=done, rate="", note=""), time.perf_counter(), 0

    def advance(n: int = 1, note: str = "") -> None:
        nonlocal new
        new += n
        rate = new / max(time.perf_counter() - start, 1e-9)
        display.update(task, advance=n, rate=f"{rate:,.1f} {unit}/s" if rate >= 1 else f"{60 * rate:,.1f} {unit}/min")
        if note:
            display.update(task, note=note)

    return advance


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
