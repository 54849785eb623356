"""Plan the cells of a paper: which are filled, which can be run now, and which cannot and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from medbench import cards
from medbench.cards.find import trained
from medbench.cards.recipes import KINDS
from medbench.cards.resolve import fitting
from medbench.data.load import open_dataset
from medbench.data.pairs import open_pairs
from medbench.errors import CardError, MedbenchError, is_absence, joined
from medbench.models.weights.locate import locate
from medbench.papers.cells import CellSpec, lacking
from medbench.papers.commands import Commands
from medbench.papers.matching import RecordIndex, draws_nothing, repeats_of, seeds_there
from medbench.records import Record
from medbench.runs.jobs import Job, Options, Plan
from medbench.runs.plan import make_plan
from medbench.storage import files


@dataclass(frozen=True)
class Filling:
    """The state of a paper's cells.

    Attributes:
        plan: The jobs of the cells that can be run, in an order that shares work.
        there: Cells that are filled already.
        todo: Cells that the plan fills.
        blocked: Cells that cannot be run now, each with the reason.
    """

    plan: Plan
    there: list[CellSpec] = field(default_factory=list)
    todo: list[CellSpec] = field(default_factory=list)
    blocked: list[tuple[CellSpec, MedbenchError]] = field(default_factory=list)

    @property
    def waiting(self) -> list[CellSpec]:
        """The cells that can be run as soon as their data or weights are there."""
        return [one for one, error in self.blocked if is_absence(error)]


def adapted(
    wanted: Iterable[CellSpec], options: Options, seeds: int | Sequence[int] | None = None, preset: str | None = None
) -> list[CellSpec]:
    """Return cells with the user's changes: another preset or number of seeds, and further settings.

    Settings that a cell's kind of protocol does not have are left out, unless no protocol of the paper has them.
    The `changes` of the options are added to each cell's own; `seeds` and `preset` replace the paper's.
    """
    found = list(wanted)
    number = None if seeds is None else len(dataclasses.replace(options, seeds=seeds).seed_list)
    names = {one.protocol for one in found} & set(cards.names("protocols")) if options.changes else set()
    kinds = {name: cards.find_protocol(name).kind for name in names}
    changes = {name: fitting(kind, options.changes, kinds.values()) for name, kind in kinds.items()}
    return [
        dataclasses.replace(
            one,
            set={**one.set, **changes.get(one.protocol, {})},
            seeds=one.seeds if number is None else number,
            preset=preset or one.preset,
        )
        for one in found
    ]


def plan_filling(
    wanted: Sequence[CellSpec],
    records: Iterable[Record],
    options: Options,
    seeds: Sequence[int] | None = None,
    repeats: int | None = None,
) -> Filling:
    """Tell for each cell whether it is filled, can be run now, or why not; plan those that can be run.

    A cell that cannot be run (a data set or a weights file is missing, a protocol is of a later version) does not stop
    the others.

    Args:
        wanted: Cells, as returned by `adapted`.
        records: What has been run.
        options: Of the run; preset, seeds and changes are those of each cell.
        seeds: The seeds, if they were listed and not only counted.
        repeats: Number of seeds of the networks that protocols without seeds use; None: the largest of these cells.

    Raises:
        MedbenchError: `weights` names a file, which fits one model only.
    """
    if options.weights not in (None, "random"):
        raise MedbenchError(
            f"--weights {options.weights} is one file, but a paper has many models",
            "remove it to use the official files, or give --weights random for a trial",
        )
    found = RecordIndex(records if options.overwrite != "always" else ())
    planner = _Planner(options, seeds)
    filling = Filling(Plan([], options))
    ready: list[CellSpec] = []
    for one in wanted:
        if seeds_there(found, one) >= repeats_of(one):
            filling.there.append(one)
        elif lack := lacking(one, planner.commands.known):
            named = ", ".join(f"{kind.removesuffix('s')} {name}" for kind, name in lack)
            filling.blocked.append((one, CardError(f"not in this version of medbench: {named}")))
        else:
            ready.append(one)
    jobs = planner.jobs(_with_seeds_of_others(ready, repeats), filling)
    return dataclasses.replace(filling, plan=Plan(jobs, options))


class _Planner:
    """Makes the jobs of cells; checks each recipe, each data set and each weights file once."""

    def __init__(self, options: Options, seeds: Sequence[int] | None) -> None:
        self.options, self.seeds = options, seeds
        self.commands = Commands()
        self.refused: dict[str, MedbenchError | None] = {}

    def jobs(self, ready: list[CellSpec], filling: Filling) -> list[Job]:
        """Return the jobs of cells, each once; note in `filling` which cells they fill and which cannot be run."""
        batches: dict[str, list[CellSpec]] = {}
        for one, error in self._refusals(ready):
            if error is not None:
                filling.blocked.append((one, error))
                continue
            recipe = [one.dataset, one.preset, one.seeds, self.commands.changes(one)]
            batches.setdefault(files.canonical(recipe), []).append(one)
        found: dict[tuple[str, str], Job] = {}
        for cells in batches.values():
            for job in self._planned(cells, filling):
                known = found.setdefault(_place(job), job)
                found[_place(job)] = dataclasses.replace(known, keep=tuple(sorted({*known.keep, *job.keep})))
        # The sort is stable: a job stays after those that it needs, which have the same model and data.
        return sorted(found.values(), key=lambda job: (job.dataset.card.name, trained(job.model.name)[0]))

    def _planned(self, cells: list[CellSpec], filling: Filling) -> list[Job]:
        """Return the jobs of several cells of one recipe; a refused cell does not stop the others."""
        try:
            jobs = self._plan(cells)
        except MedbenchError as error:
            if len(cells) == 1:
                filling.blocked.append((cells[0], error))
                return []
            return [job for one in cells for job in self._planned([one], filling)]
        filling.todo.extend(cells)
        pairs = {(one.model, one.protocol) for one in cells}
        kept: set[tuple[str, str]] = set()
        for job in reversed(jobs):  # a job comes after those that it needs
            if (job.model.name, job.protocol.name) in pairs or _place(job) in kept:
                kept |= {_place(job), *map(_place, job.needs)}
        return [job for job in jobs if _place(job) in kept]

    def _plan(self, cells: list[CellSpec]) -> list[Job]:
        first = cells[0]
        options = dataclasses.replace(
            self.options,
            preset=first.preset,
            seeds=self.seeds if self.seeds is not None and len(self.seeds) == first.seeds else first.seeds,
            changes=self.commands.changes(first),
        )
        models, protocols = ([*dict.fromkeys(getattr(one, part) for one in cells)] for part in ("model", "protocol"))
        return make_plan(models, protocols, first.dataset, options).jobs

    def _refusals(self, ready: list[CellSpec]) -> list[tuple[CellSpec, MedbenchError | None]]:
        """Return each cell with all that keeps it from being run here: settings, data set, weights of its model.

        Settings and labels of all cells are read before the first weights file is downloaded, and only weights that a
        cell without such a fault needs are downloaded.
        """
        faults = [[*self._refused(self._recipe(one)), *self._refused(self._data(one))] for one in ready]
        for one, found in zip(ready, faults, strict=True):
            if not found:
                found += self._refused(self._weights(one, download=self.options.download))
        for one, found in zip(ready, faults, strict=True):
            if found:
                found += self._refused(self._weights(one, download=False))
        return [(one, joined(found) if found else None) for one, found in zip(ready, faults, strict=True)]

    def _refused(self, look: tuple[str, Callable[[], object]]) -> list[MedbenchError]:
        """Return the error of a look, by its name; it is taken once."""
        name, take = look
        if name not in self.refused:
            self.refused[name] = _error_of(take)
        error = self.refused[name]
        return [] if error is None else [error]

    def _recipe(self, one: CellSpec) -> tuple[str, Callable[[], object]]:
        name = files.canonical(["recipe", one.protocol, one.preset, one.dataset, self.commands.changes(one)])
        return name, lambda: self.commands.settings(one)

    def _data(self, one: CellSpec) -> tuple[str, Callable[[], object]]:
        pairs = KINDS[self.commands.recipe(one).kind].pairs
        read, how = open_pairs if pairs else open_dataset, self.options
        return f"data set {one.dataset} {pairs}", lambda: read(
            one.dataset, how.data_root, allow_outside=how.allow_outside, missing=how.missing
        )

    def _weights(self, one: CellSpec, *, download: bool) -> tuple[str, Callable[[], object]]:
        def look() -> None:
            if not trained(one.model)[1]:  # medbench trains those itself
                locate(cards.find_model(one.model), self.options.weights, download=download)

        return f"model {one.model} {download}", look


def _place(job: Job) -> tuple[str, str]:
    """Return what identifies a job: its group, and its split where each seed has its own."""
    return job.group, job.dataset.split_digest


def _error_of(look: Callable[[], object]) -> MedbenchError | None:
    try:
        look()
    except MedbenchError as error:
        return error
    return None


def _with_seeds_of_others(cells: list[CellSpec], repeats: int | None) -> list[CellSpec]:
    """Return the cells; those of protocols without seeds get the others' number of seeds.

    It is the number of seeds of the networks that they use: another number would mean networks of other units.
    """
    most = repeats or max((one.seeds for one in cells), default=1)
    return [dataclasses.replace(one, seeds=most) if draws_nothing(one) else one for one in cells]
