"""Intervals and p that were computed before: bootstraps of large test splits take seconds each, and tables are redone.

A value is kept under the digest of all that it depends on: the code's version, the metric, the draws, and of each
group its records' keys with size and time of the predictions. So nothing ever has to be thrown away.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from medbench import progress
from medbench.errors import OutputError
from medbench.records.groups import Group
from medbench.records.store import PREDICTIONS
from medbench.storage import files, paths

STATISTICS = 5
"""Version of what is computed; raise it with every change of `stats` or `metrics` that alters an interval or a p."""

Numbers = Mapping[str, float]


class _Counter:
    """The work of one table: the bar that counts it appears with the first value that is not kept yet."""

    def __init__(self, what: str, total: int, stack: contextlib.ExitStack) -> None:
        self.what, self.total, self.stack = what, total, stack
        self.done = 0
        self.bar: progress.Advance | None = None

    def begin(self) -> None:
        if self.bar is None:
            self.bar = self.stack.enter_context(progress.bar(self.what, self.total, "comparisons", self.done))

    def advance(self, n: int = 1) -> None:
        n = min(n, self.total - self.done)
        self.done += n
        if self.bar is not None:
            self.bar(n)


_work: ContextVar[_Counter | None] = ContextVar("work", default=None)


@contextlib.contextmanager
def counted(what: str, total: int) -> Iterator[None]:
    """Show a bar over the values asked for inside this block, from the first one that has to be computed.

    Args:
        what: What the bar says.
        total: The most values that will be asked for; the bar ends full where it were fewer.
    """
    with contextlib.ExitStack() as stack:
        work = _Counter(what, total, stack)
        token = _work.set(work)
        try:
            yield
            work.advance(total)
        finally:
            _work.reset(token)


def cached_numbers(
    what: str, names: Sequence[str], metric: str, draws: int, groups: Sequence[Group], make: Callable[[], Numbers]
) -> Numbers:
    """Return what `make` returns, from an earlier call where nothing that it depends on has changed.

    Args:
        what: Kind of the value.
        names: The numbers it consists of; nan stands for one that is undefined.
        metric: The metric.
        draws: Bootstrap draws.
        groups: The groups whose predictions it is computed from, in order.
        make: Computes it; an empty mapping says that there is none.
    """
    work = _work.get()
    place = _place(what, metric, draws, groups)
    found = None if place is None else _read(place, names)
    if found is None:
        if work is not None:
            work.begin()
        found = make()
        if place is not None:
            _write(place, found)
    if work is not None:
        work.advance()
    return found


def _place(what: str, metric: str, draws: int, groups: Sequence[Group]) -> Path | None:
    """Return the file of a value; None where a record's predictions are not there."""
    members = []
    for group in groups:
        for record in group.records:
            if record.path is None:
                return None
            try:
                about = (record.path / PREDICTIONS).stat()
            except OSError:
                return None
            members.append([record.key, about.st_size, about.st_mtime_ns])
        members.append([])
    name = files.digest({"version": STATISTICS, "what": what, "metric": metric, "draws": draws, "groups": members})
    return paths.home() / "inference" / f"{name}.json"


def _read(place: Path, names: Sequence[str]) -> Numbers | None:
    """Return the numbers in a file; None where there is none, or it is damaged."""
    try:
        found = json.loads(place.read_bytes())["values"]
        if set(found) not in ({*names}, set()):
            return None
        return {name: _number(found[name]) for name in names if name in found}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return value


def _write(place: Path, found: Numbers) -> None:
    """Keep the numbers; where that cannot be, they are computed again next time."""
    if any(math.isinf(value) for value in found.values()):
        return
    values = {name: None if math.isnan(value) else value for name, value in found.items()}
    with contextlib.suppress(OutputError, OSError):
        files.write_json(place, {"values": values})
