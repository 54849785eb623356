"""The commands that fill the cells of a paper's table, and the cards that this version lacks."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

from medbench import cards
from medbench.cards import ProtocolCard, Settings
from medbench.cards.find import trained
from medbench.cards.resolve import dataset_entry, fitting, related, resolve
from medbench.errors import MedbenchError
from medbench.papers.cells import CellSpec, lacking
from medbench.storage import files

KINDS = ("models", "protocols", "datasets")


class Commands:
    """Makes the commands that run cells of papers; the cards of this version are looked up once."""

    def __init__(self) -> None:
        self.known = {kind: set(cards.names(kind)) for kind in KINDS}
        self._defaults: dict[str, str | None] = {}
        self._weightless: dict[str, bool] = {}
        self._recipes: dict[str, ProtocolCard] = {}
        self._settings: dict[str, Settings] = {}

    def cell(self, one: CellSpec) -> str | None:
        """Return the command that fills one cell; None if no run can fill it."""
        return self._command([one]) if self.fills(one) else None

    def fills(self, one: CellSpec) -> bool:
        """Tell whether a run can fill a cell: this version has the cards, and the model has weights to load."""
        if lacking(one, self.known):
            return False
        if one.model not in self._weightless:
            self._weightless[one.model] = cards.find_model(trained(one.model)[0]).weights is None
        return not self._weightless[one.model]

    def table(self, name: str, missing: Iterable[CellSpec]) -> list[str]:
        """Return the command that fills all cells of a table, then one command per recipe that fills a part of them.

        All of them skip finished units.
        """
        batches: dict[str, list[CellSpec]] = {}
        for one in missing:
            if self.fills(one):
                recipe = [one.protocol, one.preset, one.seeds, self.changes(one)]
                batches.setdefault(files.canonical(recipe), []).append(one)
        parts = [self._command(cells) for cells in batches.values()]
        return [f"medbench table {name} --fill", *parts] if parts else []

    def lacking(self, missing: Iterable[CellSpec], empty: Iterable[CellSpec]) -> list[str]:
        """Return notes on what no run can fill.

        Args:
            missing: Cells that lack something: the cards that this version does not have are named.
            empty: Cells that show nothing: models without weights are named.
        """
        lack = dict.fromkeys(pair for one in missing for pair in lacking(one, self.known))
        parts = [
            f"{kind} {', '.join(name for k, name in lack if k == kind)}"
            for kind in KINDS
            if any(k == kind for k, _ in lack)
        ]
        found = [f"not in this version of medbench, so these cells cannot run yet: {'; '.join(parts)}"] * bool(parts)
        none = dict.fromkeys(one.model for one in empty if not lacking(one, self.known) and not self.fills(one))
        return found + [f"without weights, so their results are shown only with --random: {', '.join(none)}"] * bool(
            none
        )

    def changes(self, one: CellSpec) -> dict[str, Any]:
        """Return a cell's settings on top of the preset, with the paper's split if it is not the default split."""
        if one.dataset not in self._defaults:
            try:
                self._defaults[one.dataset] = cards.find_dataset(one.dataset).splits.default
            except MedbenchError:
                self._defaults[one.dataset] = None
        usual = self._defaults[one.dataset] in (None, one.split) or one.split is None
        return dict(one.set) if usual else {**one.set, "split": one.split}

    def recipe(self, one: CellSpec) -> ProtocolCard:
        """Return the card of a cell's protocol."""
        if one.protocol not in self._recipes:
            self._recipes[one.protocol] = cards.find_protocol(one.protocol)
        return self._recipes[one.protocol]

    def settings(self, one: CellSpec) -> Settings:
        """Return the settings of a cell.

        Raises:
            CardError: A setting or the preset is unknown, or a value does not fit.
        """
        changes = self.changes(one)
        key = files.canonical([one.protocol, one.preset, one.dataset, changes])
        if key not in self._settings:
            recipe = self.recipe(one)
            own = fitting(recipe.kind, changes, related(recipe.kind))
            self._settings[key] = resolve(recipe, one.preset, dataset_entry(one.dataset), own)
        return self._settings[key]

    def _command(self, cells: list[CellSpec]) -> str:
        first = cells[0]
        models = ",".join(dict.fromkeys(one.model for one in cells))
        datasets = ",".join(dict.fromkeys(one.dataset for one in cells))
        words = [f"medbench run --model {models} --protocol {first.protocol} --dataset {datasets}"]
        words += [f"--preset {first.preset}"] if first.preset != "paper" else []
        # One repeat: the protocol uses no seeds; `--seeds` would change the networks that it takes up.
        words += [f"--seeds {first.seeds}"] if first.seeds not in (1, 5) else []
        return " ".join(
            words + [f"--set {shlex.quote(f'{key}={_yaml(value)}')}" for key, value in self.changes(first).items()]
        )


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else files.canonical(value)
