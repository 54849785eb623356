"""What a kind of protocol is: its code, its version, and what a plan must know of it. `recipes` lists the kinds."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A kind of protocol, declared by the class of its settings.

    Attributes:
        name: What protocol cards call it.
        version: Version of its code, part of every run key: raised when the same settings give other numbers.
        module: Its module in `medbench.protocols`, with dots in packages; empty: the name's, `-` written as `_`.
        function: The module's function that runs it.
        seeded: Whether each seed is a unit of its own. What draws nothing has one unit, not five equal ones.
        images: Whether networks see images in each epoch, and every process takes part. Otherwise the images go
            through the encoder once, and their features are kept and shared.
        tokens: Whether these features are the patch tokens, which are removed at the end of the plan.
        sweep: Setting of which a request can name several values; each value is a job of its own.
        first: Kind of protocol that the least value of the sweep equals, if there is one.
        last: Kind of protocol that the greatest value of the sweep equals, if there is one.
        second: Setting that names a further model.
        tunes: Kinds of the protocols whose fine-tuned network it may take up; a request may hold their settings.
        thaws: Whether it changes the encoder's own layers, batch norms too.
        keeps: Whether its product are weights: those of the first seed are always kept.
        timed: Whether its numbers depend on the device, which is part of the key then.
        classifies: Whether its result is scores of classes; only then can it be tested on other data sets.
        pairs: Whether it learns from images with texts. The model that it makes can be used on all data sets, not only
            on the one it was trained on.
    """

    name: str
    version: int = 1
    module: str = ""
    function: str = "run"
    seeded: bool = True
    images: bool = True
    tokens: bool = False
    sweep: str = ""
    first: str = ""
    last: str = ""
    second: str = ""
    tunes: tuple[str, ...] = ()
    thaws: bool = False
    keeps: bool = False
    timed: bool = False
    classifies: bool = True
    pairs: bool = False

    @property
    def beyond_pooled(self) -> bool:
        """Whether it uses more of the encoder than its pooled vector; if so, a sample must be one image."""
        return self.images or self.tokens

    def run(self, context: Any) -> Any:
        """Run the protocol on a `Context` of its settings; returns seed -> `Outcome`."""
        module = importlib.import_module(f"medbench.protocols.{self.module or self.name.replace('-', '_')}")
        return getattr(module, self.function)(context)
