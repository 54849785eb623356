"""From the cells of a paper to a plan: what is there, what can be run, what waits, and what cannot be run and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from medbench import cards, files
from medbench.cards.wanted import Wanted, lacking
from medbench.data.dataset import find_source
from medbench.errors import CardError, MedbenchError
from medbench.models.files import locate
from medbench.protocols import KINDS
from medbench.records import Record
from medbench.report.commands import Commands
from medbench.report.fitting import Found, seeds_there
from medbench.runs.plan import Job, Options, Plan, Result, make_plan
from medbench.runs.settings import fitting


@dataclass(frozen=True)
class Filling:
    """How the cells of a paper stand.

    Attributes:
        plan: The jobs of what can be run, in an order that shares work.
        there: Cells that are filled already.
        todo: Cells that the plan fills.
        waiting: Cells of a model that the plan has to train first.
        blocked: Cells that cannot be run now, each with the reason.
    """

    plan: Plan
    there: list[Wanted] = field(default_factory=list)
    todo: list[Wanted] = field(default_factory=list)
    waiting: list[Wanted] = field(default_factory=list)
    blocked: list[tuple[Wanted, MedbenchError]] = field(default_factory=list)


def adapted(
    wanted: Iterable[Wanted], options: Options, seeds: int | Sequence[int] | None = None, preset: str | None = None
) -> list[Wanted]:
    """Return cells as a person wants them run: with another preset or number of seeds, and with further settings.

    Settings that a cell's kind of protocol does not have are left out, unless no protocol of the paper has them.

    Args:
        wanted: Cells of a paper.
        options: Of the run; its `changes` come on top of each cell's own.
        seeds: Instead of the paper's.
        preset: Instead of the paper's.
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
    wanted: Sequence[Wanted],
    records: Iterable[Record],
    options: Options,
    seeds: Sequence[int] | None = None,
    started: bool = False,
) -> Filling:
    """Tell for each cell whether it is filled, can be run now, or why not, and plan what can.

    One cell that cannot be run (a data set or a weights file that is not on disk, a protocol of a later version) does
    not stop the others.

    Args:
        wanted: Cells, as `adapted` gives them.
        records: What has been run.
        options: How to run; its preset, seeds and changes are the cells' own.
        seeds: The seeds themselves, where they are listed and not just counted.
        started: Whether the models that had to be trained first have had their turn.

    Raises:
        MedbenchError: `weights` names a file, which can be one model's alone.
    """
    if options.weights not in (None, "random"):
        raise MedbenchError(
            f"--weights {options.weights}: a paper has many models, and this is one file",
            "leave it out for the official files, or give --weights random for a trial",
        )
    found = Found(records if options.overwrite != "always" else ())
    filling = Filling(Plan([], options))
    ready: list[Wanted] = []
    for one in wanted:
        if seeds_there(found, one) >= _needed(one):
            filling.there.append(one)
        elif lack := lacking(one):
            named = ", ".join(f"{kind.removesuffix('s')} {name}" for kind, name in lack)
            filling.blocked.append((one, CardError(f"not in this version of medbench: {named}")))
        elif (start := one.start) is not None and not started and not seeds_there(found, start):
            filling.waiting.append(one)
            ready += [start] if start.key not in {other.key for other in ready} else []
        else:
            ready.append(one)
    jobs = _Planner(options, seeds).jobs(ready, filling)
    return dataclasses.replace(filling, plan=Plan(jobs, options))


def fill(filling: Filling, seeds: Sequence[int] | None = None) -> Result:
    """Run the plan of a filling, then the cells that waited for it."""
    from medbench.runs import carry_out

    result = carry_out(filling.plan)
    if filling.waiting:
        later = plan_filling(filling.waiting, (), filling.plan.options, seeds, started=True)
        result = _joined(result, carry_out(later.plan))
        result.mistakes += [(one.name, error) for one, error in later.blocked]
    return result


class _Planner:
    """Makes the jobs of cells, looking at each data set and each weights file once."""

    def __init__(self, options: Options, seeds: Sequence[int] | None) -> None:
        self.options, self.seeds = options, seeds
        self.commands = Commands()
        self.refused: dict[str, MedbenchError | None] = {}

    def jobs(self, ready: list[Wanted], filling: Filling) -> list[Job]:
        """Return the jobs of cells, each once; notes in `filling` which cells they fill and which cannot be run."""
        batches: dict[str, list[Wanted]] = {}
        for one in ready:
            if (error := self._refusal(one)) is not None:
                filling.blocked.append((one, error))
                continue
            alone = one.model if "@" in one.model else ""
            recipe = [one.dataset, one.preset, one.seeds, self.commands.changes(one), alone]
            batches.setdefault(files.canonical(recipe), []).append(one)
        found: dict[str, Job] = {}
        for cells in batches.values():
            for one, jobs in self._planned(cells):
                if isinstance(jobs, MedbenchError):
                    filling.blocked.append((one, jobs))
                else:
                    filling.todo.append(one)
                    found.update((job.group, job) for job in jobs if job.group not in found)
        return sorted(found.values(), key=lambda job: (job.dataset.card.name, job.model.name, job.image_size))

    def _planned(self, cells: list[Wanted]) -> list[tuple[Wanted, list[Job] | MedbenchError]]:
        """Return the jobs of each of several cells of one recipe; a cell that is refused is told from the others."""
        try:
            jobs = self._plan(cells)
        except MedbenchError as error:
            if len(cells) == 1:
                return [(cells[0], error)]
            return [pair for one in cells for pair in self._planned([one])]
        if len(cells) == 1:
            return [(cells[0], jobs)]
        return [
            (one, [job for job in jobs if (job.model.name, job.protocol.name) == (one.model, one.protocol)])
            for one in cells
        ]

    def _plan(self, cells: list[Wanted]) -> list[Job]:
        first = cells[0]
        options = dataclasses.replace(
            self.options,
            preset=first.preset,
            seeds=self.seeds if self.seeds is not None and len(self.seeds) == first.seeds else first.seeds,
            changes=self.commands.changes(first),
        )
        models, protocols = ([*dict.fromkeys(getattr(one, part) for one in cells)] for part in ("model", "protocol"))
        return make_plan(models, protocols, first.dataset, options).jobs

    def _refusal(self, one: Wanted) -> MedbenchError | None:
        """Return why a cell cannot be run here: its data set or its model's weights are not on disk."""
        for name, look in (
            (f"data set {one.dataset}", lambda: find_source(one.dataset, self.options.data_root)),
            (f"model {one.model}", lambda: self._weights(one.model)),
        ):
            if name not in self.refused:
                self.refused[name] = _error_of(look)
            if (error := self.refused[name]) is not None:
                return error
        return None

    def _weights(self, model: str) -> None:
        if "@" not in model:  # those are what medbench trained itself
            locate(cards.find_model(model), self.options.weights, download=self.options.download)


def _error_of(look: Callable[[], object]) -> MedbenchError | None:
    try:
        look()
    except MedbenchError as error:
        return error
    return None


def _needed(one: Wanted) -> int:
    """Return how many units a cell needs: a protocol that draws nothing has one."""
    try:
        kind = KINDS.get(cards.find_protocol(one.protocol).kind)
    except MedbenchError:
        return one.seeds
    return 1 if kind is not None and not kind.seeded else one.seeds


def _joined(first: Result, second: Result) -> Result:
    return Result(
        records=first.records + second.records,
        made=first.made + second.made,
        mistakes=first.mistakes + second.mistakes,
        failures=first.failures + second.failures,
        tables=list(dict.fromkeys(first.tables + second.tables)),
    )
