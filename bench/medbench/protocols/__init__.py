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
        images: Whether it trains or times networks on images: those of one input a sample, all processes taking part.
        sweep: Setting of which a request can name several values, each of which is a job of its own.
        first: Protocol that the sweep's least value is, if it is another one's.
        last: Protocol that the sweep's greatest value is.
        second: Setting that names a further model.
        also: Kinds of the protocols whose work it takes up; a request may hold their settings.
    """

    module: str
    version: int
    images: bool = False
    sweep: str = ""
    first: str = ""
    last: str = ""
    second: str = ""
    also: tuple[str, ...] = ()

    def run(self, context: Context) -> dict[int, Outcome]:
        """Run the protocol; returns seed -> outcome."""
        found: dict[int, Outcome] = importlib.import_module(self.module).run(context)
        return found


KINDS = {
    "linear-frozen": Kind("medbench.protocols.linear_frozen", version=2),
    "linear-probe": Kind("medbench.protocols.linear_probe", version=1),
    "knn": Kind("medbench.protocols.knn", version=1),
    "linear-unfrozen": Kind("medbench.protocols.linear_unfrozen", version=1, images=True),
    "lp-ft": Kind("medbench.protocols.lp_ft", version=1, images=True),
    "deit-frozen": Kind("medbench.protocols.deit", version=1, images=True, second="classifier"),
    "deit-unfrozen": Kind("medbench.protocols.deit", version=1, images=True, second="classifier"),
    "freeze": Kind(
        "medbench.protocols.freeze",
        version=1,
        images=True,
        sweep="frozen",
        first="linear-unfrozen",
        last="linear-frozen",
    ),
    "decapitate-frozen": Kind(
        "medbench.protocols.deit",
        version=1,
        images=True,
        sweep="kept",
        last="deit-frozen",
        second="classifier",
    ),
    "decapitate-unfrozen": Kind(
        "medbench.protocols.deit",
        version=1,
        images=True,
        sweep="kept",
        last="deit-unfrozen",
        second="classifier",
    ),
    "timing": Kind("medbench.protocols.timing", version=1, images=True, sweep="classifier", second="stack"),
    "dino-pretrain": Kind("medbench.protocols.dino_pretrain", version=1, images=True),
    "cka": Kind(
        "medbench.protocols.cka",
        version=1,
        images=True,
        second="second",
        also=("linear-unfrozen", "deit-frozen", "deit-unfrozen"),
    ),
    "cka-models": Kind("medbench.protocols.cka_models", version=1, images=True, also=("linear-unfrozen",)),
}
