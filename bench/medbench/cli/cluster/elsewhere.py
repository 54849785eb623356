"""`--on`: the tasks of a plan on a cluster, on the GPUs of this machine, or as shell lines."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.cli import output
from medbench.errors import MedbenchError, unknown

if TYPE_CHECKING:
    from medbench.records import Record
    from medbench.runs.cluster.site import Site
    from medbench.runs.cluster.submit import Prepared
    from medbench.runs.jobs import Options, Plan, Result

Tasks = Callable[[str, int], Callable[[], Any]]
"""Stage and number of a task -> what its process runs."""
ENGINES = ("slurm", "node", "commands")


@dataclass(frozen=True)
class Elsewhere:
    """Where the tasks of a run go.

    Attributes:
        engine: `slurm`, `node` or `commands`.
        site: The cluster; None: this machine.
        gpus: `node`: numbers of GPUs, each repeated for the tasks that it takes at once.
        wait: `slurm`: whether to wait until all tasks have ended.
    """

    engine: str
    site: Site | None
    gpus: tuple[int, ...] = ()
    wait: bool = False

    @classmethod
    def of(
        cls, engine: str | None, site: Path | None, gpus: str | None, per_gpu: int, *, wait: bool
    ) -> Elsewhere | None:
        """Return what the options say; None without `--on`.

        Raises:
            MedbenchError: An option does not go with the engine, or there is no site file.
        """
        if wait and engine != "slurm":
            raise MedbenchError("--wait works only with --on slurm", "remove it, or add --on slurm")
        if engine is not None and engine not in ENGINES:
            raise unknown("engine", engine, ENGINES)
        if site and engine not in ("slurm", "commands"):
            raise MedbenchError("--site works only with --on slurm and --on commands", "remove it, or change --on")
        if (gpus is not None or per_gpu != 1) and engine != "node":
            raise MedbenchError("--gpus and --per-gpu work only with --on node", "remove them, or add --on node")
        if engine is None:
            return None
        from medbench.runs.cluster.site import find_site

        asked = site or os.environ.get("MEDBENCH_SITE")
        found = find_site(site) if engine == "slurm" or (engine == "commands" and asked) else None
        return cls(engine, found, _numbers(gpus, per_gpu) if engine == "node" else (), wait)

    def options(self, how: Options) -> Options:
        """Return the options of a plan for the machine that runs it."""
        from medbench.runs.cluster.submit import for_site

        return how if self.site is None else for_site(how, self.site)

    def start(self, plan: Plan, told: Callable[[list[Record]], None], *, dry_run: bool, as_json: bool) -> Result:
        """Give the plan's tasks to the engine; return what is known of them when it has them, or has done them."""
        from medbench.runs.cluster.engines import slurm
        from medbench.runs.cluster.submit import NothingToSubmitError, alive

        if self.engine == "slurm" and not dry_run:
            slurm.check(self.site)
        runs = plan.options.runs
        try:
            done, names = self._given(plan, dry_run=dry_run, as_json=as_json)
        except NothingToSubmitError as nothing:
            message = nothing.message if plan.jobs else "nothing to submit: none of these jobs can run now"
            output.note(message)
            if as_json:
                output.write_json(_no_data(self, nothing.queued) if dry_run else {"submission": None, "jobs": []})
            done, names = _nothing(), alive(runs) if nothing.queued and self.wait and not dry_run else []
        return _waited(runs, names) if self.wait and names else done

    def _given(self, plan: Plan, *, dry_run: bool, as_json: bool) -> tuple[Result, list[str]]:
        """Hand the tasks to the engine; return their results so far, and the names of submissions to Slurm."""
        from medbench.cli.cluster.work import Worker
        from medbench.runs.cluster.submit import alive
        from medbench.storage.locks import exclusive

        lock = plan.options.runs / ".locks" / "submitting.lock"
        with exclusive(lock, "another command is submitting; waiting for it"):
            made = self._prepared(plan)
            for line in _lines(made, self.site):
                output.note(line)
            if dry_run:
                if as_json:
                    output.write_json(_data(made, self))
                shutil.rmtree(made.folder)
                return _nothing(), []
            if self.site is not None and self.engine == "slurm":
                worker = functools.partial(Worker, made.folder)
                earlier = alive(plan.options.runs) if made.queued and self.wait else []
                return _nothing(), [
                    *earlier,
                    self._slurm(made, self.site, plan.options.command, worker, as_json=as_json),
                ]
        if self.engine == "commands":
            return self._commands(made, as_json=as_json), []
        return self._node(made, as_json=as_json), []

    def _prepared(self, plan: Plan) -> Prepared:
        from medbench.records import store
        from medbench.runs.cluster import submit
        from medbench.runs.device import choose_device

        device = self.site.device if self.site else choose_device(plan.options.device)
        chunk = self.site.chunk_minutes if self.site else 1.0
        records = store.read_all(plan.options.runs)
        return submit.prepare(plan, records, device, chunk, needs=self.engine == "commands")

    def _slurm(self, made: Prepared, site: Site, command: str, worker: Tasks, *, as_json: bool) -> str:
        from medbench.runs.cluster import submit

        submission = submit.to_slurm(made, site, command, worker)
        jobs = list(dict.fromkeys(task.job.partition("_")[0] for task in submission.tasks))
        if as_json:
            output.write_json({"submission": submission.name, "jobs": jobs})
        else:
            output.write(f"submitted {submission.name}: {len(submission.tasks)} tasks, Slurm jobs {', '.join(jobs)}")
        output.note(
            "see them: medbench status --jobs; cancel them: medbench cancel; to submit lost tasks again, run the "
            "same command"
        )
        return submission.name

    def _commands(self, made: Prepared, *, as_json: bool) -> Result:
        from medbench.runs.cluster.engines.commands import last_line, lines

        found, last = list(lines(made.stages, made.folder, self.site)), last_line(made.folder, self.site)
        if as_json:
            output.write_json({"submission": made.name, "lines": found, "last": last})
        else:
            output.write("\n".join(found))
        output.note(f"run the lines on any machine, in any order; when all are done, run: {last}")
        return _nothing()

    def _node(self, made: Prepared, *, as_json: bool) -> Result:
        from joblib import cpu_count

        from medbench.cli.cluster.work import tables
        from medbench.runs.cluster.engines import node
        from medbench.runs.jobs import Result

        runs = made.jobs[0].options.runs
        logs = runs / "logs" / made.name

        def command(stage: str, number: int) -> list[str]:
            return [sys.executable, "-m", "medbench", "work", str(made.folder), stage, str(number)]

        failed = node.run(made.stages, self.gpus, logs / "processes", cpu_count(), command)
        wrote = tables(made.folder)
        tasks = sum(len(stage.tasks) for stage in made.stages)
        if as_json:
            output.write_json({"submission": made.name, "tasks": tasks, "failed": failed})
        else:
            output.write(f"{tasks} tasks, {len(failed)} failed; records in {runs}")
        if not failed:
            return wrote
        places = {name: (logs / f"{name}.txt", logs / "processes" / f"{name}.txt") for name in failed}
        log = {name: own if own.is_file() else printed for name, (own, printed) in places.items()}
        return Result(failures=[(name, f"{why}; see {log[name]}") for name, why in failed.items()])


def _numbers(gpus: str | None, per_gpu: int) -> tuple[int, ...]:
    """Return the GPUs of a comma list, or all of this machine, each repeated for the tasks that it takes at once."""
    if per_gpu < 1:
        raise MedbenchError(f"--per-gpu {per_gpu} is below 1", "give the number of tasks that share one GPU, 1 or more")
    if gpus is None:
        from medbench.runs.device import has_gpu

        if not has_gpu():
            return ()
        import torch

        return tuple(range(torch.cuda.device_count())) * per_gpu
    words = [word.strip() for word in gpus.split(",")]
    if not all(word.isdecimal() for word in words):
        raise MedbenchError(f"--gpus {gpus}: not a list of numbers", "for example --gpus 0,1,2,3")
    return tuple(int(word) for word in words) * per_gpu


def _lines(made: Prepared, site: Site | None) -> Iterator[str]:
    """Yield what will be submitted: stages, tasks, and the most hours they may take."""
    for stage in made.stages:
        after = f", after {' and '.join(stage.after)}" if stage.after else ""
        jobs = sum(len(task.jobs) for task in stage.tasks)
        yield f"{stage.name}: {len(stage.tasks)} tasks for {jobs} jobs{after}"
    if made.queued:
        yield f"{made.queued} units are already queued and are not submitted again"
    if site is not None:
        from medbench.runs.cluster.submit import hours

        yield "; ".join(
            f"{kind}: at most {spent:.1f} {'GPU hours' if site.classes[kind].gpus else 'hours'}"
            for kind, spent in hours(made, site).items()
        )


def _data(made: Prepared, place: Elsewhere) -> dict[str, Any]:
    """Return what will be submitted, for scripts; a task with an estimate of 0 minutes gets those of its class."""
    from medbench.runs.cluster.submit import hours, units_of

    site, stages = place.site, []
    for stage in made.stages:
        tasks = []
        for number, task in enumerate(stage.tasks):
            units = [unit.model_dump(mode="json") | {"key": key} for unit, key in units_of(made, stage, number)]
            own = site.resources(stage.kind, task.model).model_dump() if site else None
            jobs = [made.jobs[job].name for job in task.jobs]
            tasks.append({"jobs": jobs, "minutes": task.minutes, "resources": own, "units": units})
        stages.append({"name": stage.name, "class": stage.kind, "after": stage.after, "tasks": tasks})
    spent = hours(made, site) if site else {}
    gpu = sum(number for kind, number in spent.items() if site and site.classes[kind].gpus)
    return {
        "engine": place.engine,
        "queued": made.queued,
        "stages": stages,
        "hours": spent if site else None,
        "gpu_hours": gpu if site else None,
    }


def _no_data(place: Elsewhere, held: int) -> dict[str, Any]:
    """Return what `_data` does, for a request of which nothing is to be submitted."""
    none = {"hours": {}, "gpu_hours": 0} if place.site else {"hours": None, "gpu_hours": None}
    return {"engine": place.engine, "queued": held, "stages": [], **none}


def _nothing() -> Result:
    """Return the result of a command that ends before its tasks do."""
    from medbench.runs.jobs import Result

    return Result()


def _waited(runs: Path, names: list[str]) -> Result:
    """Wait for submissions; return what failed."""
    from medbench.progress import Stopped
    from medbench.runs.cluster.wait import wait
    from medbench.runs.jobs import Result

    try:
        ended = wait(runs, names)
    except Stopped:
        output.note("the tasks continue; see them: medbench status --jobs; cancel them: medbench cancel")
        raise
    output.note(f"all tasks have ended, {len(ended)} of them failed or were lost")
    return Result(failures=[(f"{one.task} ({one.job}), {one.state}", one.why) for one in ended])
