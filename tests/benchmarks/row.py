"""One line of the benchmark table, and timing by turns."""

from __future__ import annotations

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


def by_turns(*pieces: Callable[[], object], rounds: int = 4) -> list[float]:
    """Return the least seconds of each piece: one warm-up each, then all by turns; what disturbs only adds."""
    for piece in pieces:
        piece()
    seconds: list[list[float]] = [[] for _ in pieces]
    for _ in range(rounds):
        for piece, kept in zip(pieces, seconds, strict=True):
            start = time.perf_counter()
            piece()
            kept.append(time.perf_counter() - start)
    return [min(kept) for kept in seconds]
