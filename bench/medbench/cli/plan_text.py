"""Plans and their results as text: for `run` with all its options, `table --fill` and `figure --fill`."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.cli import output
from medbench.cli.cost_text import absent_lines, cost_data, cost_lines
from medbench.cli.options import seeds_of

if TYPE_CHECKING:
    from medbench.cards import PaperCard
    from medbench.data.layouts.own.taken import Taken
    from medbench.errors import MedbenchError
    from medbench.papers.cells import CellSpec
    from medbench.records import Record
    from medbench.runs.estimate import Estimate
    from medbench.runs.fill_paper import Filling
    from medbench.runs.jobs import Options, Plan, Result

FEW = 3  # number of cells that are named for each reason


def say_taken(name: str, taken: Taken, say: Callable[[str], None] = output.note) -> None:
    """Say what files of the user's own were taken for; nothing for a card that is written."""
    if taken.lines:
        say(f"how medbench reads {name}:")
    for line in taken.text():
        say(line)


def say_sources(plan: Plan) -> None:
    """Say what each of a plan's data sets was taken for, once, unless quiet; and what is doubtful in it."""
    from medbench import progress

    for data in {(job.dataset.card.name, job.dataset.root): job.dataset for job in plan.jobs}.values():
        if not progress.is_quiet():
            say_taken(data.card.name, data.taken)


def fill_one(
    paper: PaperCard,
    place: str,
    runs: Path | None,
    how: Mapping[str, Any],
    *,
    seeds: str | None,
    preset: str | None,
    dry_run: bool,
    calibrate: bool = False,
) -> int | None:
    """Run the missing units of one table or figure; return the exit status, or None after a dry run.

    `how` has further fields of `Options`, `seeds` is the text of `--seeds`, `preset` replaces the paper's.
    """
    from medbench.runs.jobs import Options
    from medbench.storage import paths

    options = Options(runs=paths.runs_dir(runs), download=not dry_run, **how)
    done = fill(paper, [place], options, seeds=seeds_of(seeds), preset=preset, dry_run=dry_run, calibrate=calibrate)
    return None if done is None else complain(done[1])


def fill(
    paper: PaperCard,
    places: Iterable[str] | None,
    options: Options,
    *,
    seeds: Sequence[int] | int | None = None,
    preset: str | None = None,
    choose: Sequence[tuple[str, str | None]] = (),
    dry_run: bool = False,
    calibrate: bool = False,
    as_json: bool = False,
    told: Callable[[list[Record]], None] = lambda _: None,
    carry: Callable[[Plan, Callable[[list[Record]], None]], Result] | None = None,
) -> tuple[Plan, Result] | None:
    """Show the plan of a paper's cells and run it; return None after a dry run.

    The plan goes to standard error, which a pipe does not read; the plan of a dry run goes to standard output, as JSON
    if `as_json`. `places` are names of tables and figures (None: all); `seeds` (a number or a list) and `preset`
    replace the paper's; `choose` has pairs of (`model`, `protocol` or `dataset`; comma list of names and globs) that a
    cell must match. `calibrate` measures models that have not run here yet. `told` is called with each job's records
    when the job ends. `carry` runs the plan; None: this process runs it.
    """
    from medbench import progress
    from medbench.api import carry_out
    from medbench.papers.cells import wanted_of
    from medbench.records import store
    from medbench.records.store import gc_paused
    from medbench.runs import fill_paper as cells
    from medbench.runs.estimate import estimate
    from medbench.runs.planning.absent import absent

    every = cells.adapted(wanted_of(paper), options, seeds, preset)
    wanted = cells.adapted(chosen(wanted_of(paper, places), choose), options, seeds, preset)
    listed = None if isinstance(seeds, int) or seeds is None else list(seeds)
    with gc_paused():
        records = list(store.read_all(options.runs))
        found = cells.plan_filling(wanted, records, options, listed, max(one.seeds for one in every))
        cost = estimate(found.plan, records, calibrate=calibrate)
        later = absent(found.waiting, records, options, calibrate=calibrate) if dry_run and found.waiting else None
        del records
    if dry_run and as_json:
        output.write_json({**plan_data(found.plan), **_filling_data(found, cost), **cost_data(cost, later)})
        return None
    write = output.write if dry_run else output.note
    for line in [*lines(found, cost), *absent_lines(later)] if progress.is_first() else ():
        write(line)
    return None if dry_run else (found.plan, (carry or carry_out)(found.plan, told))


def print_plan(plan: Plan, calibrate: bool, as_json: bool) -> None:
    """Print the plan of a dry run and what it costs; `calibrate` measures models that have not run here yet."""
    from medbench.records import store
    from medbench.runs.estimate import estimate

    cost = estimate(plan, store.read_all(plan.options.runs) if plan.todo else (), calibrate=calibrate)
    if as_json:
        output.write_json({**plan_data(plan), **cost_data(cost, None)})
        return
    for line in [*job_lines(plan), *(cost_lines(cost) if plan.todo else ())]:
        output.write(line)


def print_absent(
    error: MedbenchError, names: tuple[str, str, str], options: Options, calibrate: bool, as_json: bool
) -> None:
    """Print what a request will cost that lacks nothing but data or weights; of other errors, nothing.

    `names` are those of models, protocols and data sets.
    """
    from medbench.errors import is_absence, parts_of
    from medbench.records import store
    from medbench.runs.jobs import Plan
    from medbench.runs.planning.absent import absent, cells_of

    if not is_absence(error):
        return
    later = absent(cells_of(*names, options), store.read_all(options.runs), options, calibrate=calibrate)
    further = bool(options.test_on or options.corrupt)
    if as_json:
        blocked = [{"error": part.message, "hint": part.hint} for part in parts_of(error)]
        more = {"blocked": blocked, "further_test_sets_not_counted": further}
        output.write_json({**plan_data(Plan([], options)), **more, **cost_data(None, later)})
        return
    for line in list(absent_lines(later))[1:]:
        output.write(line)
    if further:
        output.write("not included: the further test sets of --test-on and --corrupt")


def _safe(name: str) -> str:
    """Return the name of a model or data set as folders carry it: `medmnist/pathmnist` is `medmnist--pathmnist`."""
    from medbench.cards.catalogues.medmnist import is_medmnist_name, safe_name

    return safe_name(name) if is_medmnist_name(name) else name.replace("/", "--")


def chosen(wanted: list[CellSpec], choose: Sequence[tuple[str, str | None]]) -> list[CellSpec]:
    """Return the cells that match the given models, protocols and data sets.

    Raises:
        CardError: A name or glob matches no cell of the paper.
    """
    from medbench.errors import unknown

    for field, words in choose:
        if words is None:
            continue
        named = {getattr(one, field) for one in wanted}
        patterns = [_safe(word.strip()) for word in words.split(",") if word.strip()]
        for pattern in patterns:
            if not fnmatch.filter(named, pattern):
                raise unknown(f"{field} of this paper", pattern, named)
        wanted = [one for one in wanted if any(fnmatch.fnmatchcase(getattr(one, field), p) for p in patterns)]
    return wanted


def lines(filling: Filling, cost: Estimate) -> Iterator[str]:
    """Yield the plan as lines: what is done, what will be run, what it costs, and what cannot be run."""
    there, todo, blocked = (len(part) for part in (filling.there, filling.todo, filling.blocked))
    yield f"{there} cells done, {todo} to run, {blocked} cannot run now"
    if filling.plan.jobs:
        yield from ("", "to run:")
        yield from (f"  {line}" for line in job_lines(filling.plan))
        yield from cost_lines(cost)
    if filling.blocked:
        yield from ("", "cannot run now:")
        yield from (f"  {line}" for line in _blocked_lines(filling))


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return a plan for scripts: its jobs, and of each unit its folder in the run store and whether it is done."""
    from medbench.records.groups import TESTED
    from medbench.records.store import folder_of

    jobs = [
        {
            "model": job.model.name,
            "protocol": job.protocol.name,
            "dataset": job.dataset.card.name,
            "split": job.dataset.split_name,
            "preset": job.options.preset,
            "options": job.changes,
            "image_size": job.image_size,
            "precision": job.precision,
            "group": job.group,
            "units": [
                {
                    "dataset": unit.dataset,
                    **{name: unit.options[name] for name in TESTED if name in unit.options},
                    "seed": unit.seed,
                    "key": key,
                    "folder": folder_of(job.options.runs, unit, key),
                    "done": done,
                }
                for (unit, key), done in zip(job.all_units, finished, strict=True)
            ],
        }
        for job, finished in zip(plan.jobs, plan.finished, strict=True)
    ]
    done = [is_done for finished in plan.finished for is_done in finished]
    return {"jobs": jobs, "units": len(done), "done": sum(done), "todo": len(done) - sum(done)}


def _filling_data(filling: Filling, cost: Estimate) -> dict[str, Any]:
    """Return what a paper's plan has besides its jobs, for scripts."""
    blocked = [{"cell": one.name, "error": error.message, "hint": error.hint} for one, error in filling.blocked]
    return {"cells_done": len(filling.there), "blocked": blocked, "forwards": cost.forwards, "hours": cost.hours}


def job_lines(plan: Plan) -> Iterator[str]:
    """Yield one line per job, then the totals."""
    total = done = 0
    for job, finished in zip(plan.jobs, plan.finished, strict=True):
        total, done = total + len(finished), done + sum(finished)
        state = "done" if all(finished) else f"{len(finished) - sum(finished)} of {len(finished)} units to do"
        yield f"{job.name} [{job.options.preset}, {job.image_size} px, {job.precision}] {job.group[:12]}: {state}"
        corrupted = [str(shift.corruption) for shift in job.shifts if shift.corruption]
        if corrupted:
            images = job.dataset.sizes["test"]
            yield f"  tested on its {images} test images in {len(corrupted)} corruptions: {', '.join(corrupted)}"
        for shift in (shift for shift in job.shifts if not shift.corruption):
            gone = f", {sum(shift.dropped.values())} left out" if shift.dropped else ""
            scored = f", {len(shift.columns)} of {job.dataset.n_classes} classes" if shift.closed else ""
            yield f"  tested on {shift.name}: {shift.dataset.sizes['test']} images{gone}{scored}"
    jobs, units = ("" if count == 1 else "s" for count in (len(plan.jobs), total))
    yield f"{len(plan.jobs)} job{jobs}, {total} unit{units}, {done} done, {total - done} to do"
    yield from precision_lines(plan)


def precision_lines(plan: Plan) -> Iterator[str]:
    """Say where another machine would plan other units of the same request."""
    open_ = {job.precision for job in plan.jobs if job.settings.precision is None}
    if plan.options.precision == "auto" and open_:
        here = open_.pop()
        there = "bf16 on one with a GPU" if here == "fp32" else "fp32 on one without a GPU"
        advice = f"these are different units; to get the same on both: --precision {here}"
        yield f"precision auto is {here} on this machine, but {there}: {advice}"


def _blocked_lines(filling: Filling) -> Iterator[str]:
    """Yield each reason once, with the cells that cannot be run and what to do about it."""
    from medbench.errors import parts_of

    reasons: dict[tuple[str, str], list[str]] = {}
    for one, error in ((one, part) for one, whole in filling.blocked for part in parts_of(whole)):
        reasons.setdefault((error.message, error.hint), []).append(one.name)
    for (message, hint), names in reasons.items():
        more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
        yield " ".join(message.split())
        yield f"  affects {len(names)} cell{'s' * (len(names) > 1)}: {'; '.join(names[:FEW])}{more}"
        for i, line in enumerate(hint.splitlines()):
            yield f"  {'hint: ' if i == 0 else '      '}{line}"


def complain(result: Result, write: Callable[[str], None] = output.note) -> int:
    """Print the errors of a run and return its exit status: 2 for a user's mistake, 1 for a failed job."""
    for job, mistake in result.mistakes:
        write(f"error: {job}: {mistake.message}")
        write(f"hint: {mistake.hint}")
    for job, error in result.failures:
        write(f"failed: {job}: {error}")
    if result.failures:
        write("hint: see medbench status (Slurm tasks: medbench status --jobs); to try again, run the same command")
    return 2 if result.mistakes else 1 if result.failures else 0


def teller(*, as_json: bool) -> Callable[[list[Record]], None]:
    """Return what prints the records of a job when it ends: as JSON lines, or as its result and its new notes."""
    said: set[str] = set()

    def tell(records: list[Record]) -> None:
        if as_json:
            for record in records:
                output.write(record.model_dump_json())
            return
        groups: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            groups[record.group].append(record)
        for same in (same for same in groups.values() if same[0].corruption is None):
            output.write(_line(same))
        for line in _corrupted_lines(groups.values()):
            output.write(line)
        for text in dict.fromkeys(w for r in records for w in r.warnings if w not in said):
            output.write(f"  note: {text}")
            said.add(text)

    return tell


def _corrupted_lines(groups: Iterable[list[Record]]) -> Iterator[str]:
    """Yield a line for each data set that was corrupted: the mean over its corruptions, the lowest and the highest."""
    from medbench.stats import summary

    found: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    metric = ""
    for same in groups:
        mean, unit, metric = summary(r.score for r in same)[0], same[0].unit, same[0].metric
        if same[0].corruption is not None and mean is not None:
            found[unit.model, unit.protocol, unit.dataset][same[0].corruption] = mean
    for place, means in found.items():
        least, most = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
        ends = f"on average, {means[least]:.3f} ({least}) to {means[most]:.3f} ({most})"
        n, mean = len(means), sum(means.values()) / len(means)
        what = f"{n} corruption{'s' * (n > 1)}: {metric} {mean:.3f}"
        yield f"{' · '.join(place)}, {what} {ends if n > 1 else f'({least})'}"


def print_summary(plan: Plan, result: Result) -> None:
    """Print how many units were run, and the paths of the files."""
    if result.records:
        skipped = len(result.records) - result.made
        output.write(f"{result.made} units run, {skipped} already done; records in {plan.options.runs}")
    for path in result.tables:
        if path.suffix == ".md":
            output.write(f"table: {path}")


def _line(records: list[Record]) -> str:
    """Return one job's line: what was run, the primary metric over its seeds, and the chosen hyper-parameters."""
    from medbench.records.groups import Group
    from medbench.stats import summary

    first, unit = records[0], records[0].unit
    mean, deviation, n = summary(r.score for r in records)
    spread = f" ± {deviation:.3f}" if deviation is not None else ""
    group = Group(tuple(records))
    draw = f", seed {unit.seed}" if group.shots and len(records) == 1 else ""  # each draw of shots is a job of its own
    texts = f"; {group.spread}" if group.spread else ""
    text = f"{mean:.3f}{spread} (n = {n}{draw}{texts})" if mean is not None else "undefined on this test split"
    marks = (" [random weights]" if unit.weights == "random" else "") + (" [toy data]" if unit.toy else "")
    chosen = "".join(
        f"; {name} {_brief(first.chosen[name])}" for name in ("learning_rate", "k") if name in first.chosen
    )
    where = unit.dataset if first.test_on is None else f"{unit.dataset}, tested on {first.test_on}"
    return f"{unit.model} · {unit.protocol}{group.with_shots} · {where}{marks}: {first.metric} {text}{chosen}"


def _brief(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
