"""One line of the benchmark table, and timing by turns: wall-clock time and CPU time."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    what: str
    ours: str
    against: str
    ratio: float | None
    aim: str
    met: bool

    def line(self) -> str:
        ratio = "" if self.ratio is None else f", ratio {self.ratio:.2f}"
        return (
            f"{self.what}: {self.ours} against {self.against}{ratio}; aim {self.aim}: {'met' if self.met else 'MISSED'}"
        )

    def cells(self) -> str:
        ratio = "–" if self.ratio is None else f"{self.ratio:.2f}"
        return f"| {self.what} | {self.ours} | {self.against} | {ratio} | {self.aim} | {'yes' if self.met else 'no'} |"


@dataclass(frozen=True)
class Cost:
    """Least wall-clock seconds, and least seconds of CPU time (user and system, ended children included)."""

    wall: float
    cpu: float


def cost_of(piece: Callable[[], object]) -> Cost:
    """Run a piece once."""
    start, worked = time.perf_counter(), cpu_seconds()
    piece()
    return Cost(time.perf_counter() - start, cpu_seconds() - worked)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def costs_by_turns(*pieces: Callable[[], object], rounds: int = 4) -> list[Cost]:
    """Return the least cost of each piece: one warm-up each, then all by turns; disturbances only add to it."""
    for piece in pieces:
        piece()
    costs: list[list[Cost]] = [[] for _ in pieces]
    for _ in range(rounds):
        for piece, kept in zip(pieces, costs, strict=True):
            kept.append(cost_of(piece))
    return [Cost(min(one.wall for one in kept), min(one.cpu for one in kept)) for kept in costs]


def by_turns(*pieces: Callable[[], object], rounds: int = 4) -> list[float]:
    """Return the least seconds of each piece, measured by `costs_by_turns`."""
    return [cost.wall for cost in costs_by_turns(*pieces, rounds=rounds)]
