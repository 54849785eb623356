"""Protocols: one module each. This registry imports none of them until one is run."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medbench.protocols.base import Context, Outcome


@dataclass(frozen=True)
class Kind:
    """A kind of protocol.

    Attributes:
        module: Where its `run(context)` is.
        version: Of its code, part of every run key: raised when the same settings give other numbers.
        seeded: Whether it draws anything. What draws nothing has one unit, not five equal ones.
    """

    module: str
    version: int
    seeded: bool

    def run(self, context: Context) -> dict[int, Outcome]:
        """Run the protocol; returns seed -> outcome."""
        found: dict[int, Outcome] = importlib.import_module(self.module).run(context)
        return found


KINDS = {
    "linear-frozen": Kind("medbench.protocols.linear_frozen", version=1, seeded=True),
    "knn": Kind("medbench.protocols.knn", version=1, seeded=False),
}
