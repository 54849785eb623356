"""The public functions: one for each command."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench import cards, metrics
from medbench.data.layouts.own.card import write_card as write_own_card
from medbench.data.layouts.own_columns import own_columns
from medbench.data.load import find_own, read_labels
from medbench.data.load import load_dataset as load_dataset
from medbench.errors import MedbenchError
from medbench.models.load import load_model as load_model
from medbench.records import hub, merge, store
from medbench.runs.jobs import Options as Options
from medbench.runs.jobs import Plan, Result
from medbench.runs.plan import make_plan
from medbench.storage import files, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from medbench.data.checks.check import CheckReport
    from medbench.models.text import TextEncoder
    from medbench.records import Record
    from medbench.records.hub import Pushed
    from medbench.records.merge import Merged
    from medbench.storage.arrays.feature_files import FeatureTable


class RunFailedError(MedbenchError):
    """Some units failed; the others are finished."""


def carry_out(plan: Plan, told: Callable[[list[Record]], None] = lambda _: None) -> Result:
    """Run the missing units of a plan, then rewrite the tables of its data sets.

    If nothing is missing, the records are read and torch is not imported. `told` is called with each job's records.
    """
    if not plan.todo:
        found = [job.records() for job in plan.jobs]
        for records in found:
            told(records)
        result = Result(records=[record for records in found for record in records])
    else:
        from medbench.runs.execute import execute

        result = execute(plan, told)
    if result.writer:
        result.tables = _write_tables(plan, result.records)
    return result


def _write_tables(plan: Plan, records: list[Record]) -> list[Path]:
    """Write the tables of the records' data sets that are older than a record, as after a kill, or are not there."""
    tables, written = paths.tables_dir(plan.options.runs), []
    files.sweep(tables)
    for name in sorted({record.unit.dataset for record in records}):
        newest = max((r.path / store.RECORD).stat().st_mtime for r in records if r.path and r.unit.dataset == name)
        made = [tables / f"{name}.{ending}" for ending in ("md", "csv")]
        if not all(path.is_file() and path.stat().st_mtime >= newest for path in made):
            from medbench.report.tables.dataset_table import write_dataset_tables

            written += write_dataset_tables(plan.options.runs, tables, name)
    return written


def run(
    model: str | Path | Iterable[str | Path],
    protocol: str | Path | Iterable[str | Path],
    dataset: str | Path | Iterable[str | Path],
    **options: Any,
) -> list[Record]:
    """Run models x protocols x data sets and return one record per seed; finished units are read, not run again.

    Args:
        model: Name, comma list, glob or card file of models; or a list of these.
        protocol: Name, comma list, glob or card file of protocols; or a list of these.
        dataset: Name, comma list, glob or card file of data sets, a CSV of labels, or a folder of class folders; or a
            list of these.
        options: Fields of `Options`, and settings of the protocols, such as `k=5` or `epochs=10`: the same as
            `set={"k": 5}`, which also takes nested ones (`augment.hue`). Where a name is both, it is the option. `set`
            is another name for `changes`, `out` an old name for `runs`; paths may be strings.

    Raises:
        MedbenchError: The request is wrong, or a job needs something fixed first.
        RunFailedError: Jobs failed; the others were finished first.
    """
    result = carry_out(make_plan(model, protocol, dataset, _options(options)))
    if result.mistakes:
        raise result.mistakes[0][1]
    if result.failures:
        raise RunFailedError("; ".join(f"{job}: {error}" for job, error in result.failures), "see: medbench status")
    return result.records


def _options(words: dict[str, Any]) -> Options:
    """Return the options that keywords of `run` stand for."""
    from medbench.cards.recipes import SETTINGS

    options = set(Options.__dataclass_fields__)
    settings = {name for schema in SETTINGS.values() for name in schema.model_fields} - options
    found = {{"set": "changes", "out": "runs"}.get(name, name): value for name, value in words.items()}
    if strange := sorted(found.keys() - options - settings):
        near = [name for word in strange for name in get_close_matches(word, options | settings | {"set"}, n=2)]
        known = f"did you mean: {', '.join(near)}" if near else f"options: {', '.join(sorted(options))}, set"
        raise MedbenchError(f"unknown option: {', '.join(strange)}", f"{known}. Settings: medbench show PROTOCOL")
    extra = {name: found.pop(name) for name in settings & found.keys()}
    changes = dict(found.pop("changes", None) or {})
    if twice := sorted(extra.keys() & changes.keys()):
        raise MedbenchError(f"given twice: {', '.join(twice)}", "give a setting as a keyword or in `set`, not both")
    for name in ("data_root", "runs"):
        if (path := found.pop(name, None)) is not None:
            found[name] = Path(path)
    return Options(**found, changes=changes | extra)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


def list_models() -> list[str]:
    """Return the names of all model cards on the search path, sorted."""
    return cards.names("models")


def list_protocols() -> list[str]:
    """Return the names of all protocol cards on the search path, sorted."""
    return cards.names("protocols")


def list_datasets() -> list[str]:
    """Return the names of all data set cards on the search path, sorted."""
    return cards.names("datasets")


def load_text_model(name: str | Path, weights: str | Path | None = None) -> TextEncoder:
    """Return the frozen text tower of a vision-language model, on the CPU.

    Args:
        name: Name of a model card, or a card file.
        weights: None for the official file, a path, or `random`.

    Raises:
        MedbenchError: The card has no text tower, or the file is missing, damaged or of another architecture.
    """
    from medbench.models.text import load_text

    return load_text(name, weights)


def table(name: str, **options: Any) -> pd.DataFrame:
    """Return a table as a DataFrame: one row per row of the table, with mean, std and n of every column.

    Args:
        name: `dataset/<name>`, `ranks/<study>` or a paper's table (`wacv2024/table1`); all: `medbench ls tables`.
        options: `runs` (the run store), `published` (the paper's numbers too), `include_random` (random weights too),
            `intervals` (95 %, from stored predictions), `preset` (a paper's table with another preset),
            `metrics` (only these metrics, also ones that no record holds, such as `sensitivity@specificity=0.9`; for a
            study: rank by these), `models` and `protocols` (for a data set: only these, comma lists as in the
            command), `per_class` (for a data set: one row for each class of each run), `by` (for a data set: one row
            for each subgroup, such as `sex,age:40:60`) with `min_group`, `labels`, `data_root`, as in the command.

    Raises:
        MedbenchError: There is no such table, or nothing has been run on the data set.
    """
    from medbench.report.figures.predictions.runs import Selection
    from medbench.report.subgroups.by import FEWEST, By
    from medbench.report.tables import lookup
    from medbench.report.tables.choose import chosen, only_asked

    labels, root, fewest = (
        options.pop(key, usual) for key, usual in (("labels", None), ("data_root", None), ("min_group", FEWEST))
    )
    if (by := options.get("by")) is not None:
        read = partial(read_labels, str(labels or name.partition("/")[2]), _path(root))
        options["by"] = By(by, read, fewest, stored=labels is None)
    if isinstance(options.get("metrics"), str):
        options["metrics"] = options["metrics"].split(",")
    models, protocols = options.pop("models", ""), options.pop("protocols", "")
    options["selection"] = Selection(models, protocols) if models or protocols else None
    found = lookup.table(name, **options)
    rows = by is not None or bool(options.get("per_class"))
    return (found if only_asked(name, rows=rows) else chosen(found, options.get("metrics", ()))).frame()


def figure(name: str, to: str | Path | None = None, formats: str | Sequence[str] = "png", **options: Any) -> list[Path]:
    """Draw a figure, write it and its data (CSV), and return the paths of the files.

    Args:
        name: The figure, such as `wacv2024/figure4` or `ranks/<study>`; `medbench ls figures` lists them.
        to: The folder to write to; None: `figures`, next to the run store.
        formats: `png`, `svg`, `pdf`: one, several, or a comma list.
        options: `runs` (the run store), `published`, `include_random`, `ref`, `preset`, `models`, `protocols`,
            `class_name` and `metric`, as in the command. `out` is an old name for `to`.

    Raises:
        MedbenchError: There is no such figure or format, or the folder cannot be written.
    """
    from medbench.report.figures import draw as figures

    to = options.pop("out", to)
    data = figures.figure_data(name, **options)
    wanted = formats.split(",") if isinstance(formats, str) else formats
    return figures.write_figure(data, _path(to) or figures.figures_dir(options.get("runs")), wanted)


def compare(a: str, b: str, **options: Any) -> pd.DataFrame:
    """Return the paired comparison of two rows as a DataFrame: one row per data set, and their mean.

    Args:
        a: `MODEL`, `MODEL/PROTOCOL` or `MODEL/PROTOCOL/SETTINGS`, such as `dinov2/knn/fixed,k=5`.
        b: What `a` is compared with, written in the same way.
        options: `dataset`, `metric`, `preset`, `include_random`, `draws` and `runs`, as in the command.

    Raises:
        MedbenchError: Nothing was run under one of the names, or there is nothing to compare.
    """
    from medbench.report.comparison.compare import compare as compared

    return compared(a, b, **options).frame()


def write_report(
    runs: str | Path | None = None,
    to: str | Path | None = None,
    dataset: str = "*",
    include_random: bool = False,
    thumbnails: int = 8,
    data_root: str | Path | None = None,
    data: str | Path | Sequence[str | Path] = (),
) -> Path:
    """Write one HTML file with everything in a run store and return its path. The file needs no network.

    Args:
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
        to: The file, or a folder for `report.html`; None: `report.html` next to the run store.
        dataset: A glob: only data sets whose names match.
        include_random: Show results of random weights in papers' tables and figures too, marked.
        thumbnails: How many of the worst-classified images each page shows, if the data are on this machine.
        data_root: The folder of the data sets; None: `MEDBENCH_DATA`.
        data: Your own data sets, one or several: a CSV of labels, a folder of class folders, or a card file each.

    Raises:
        MedbenchError: Nothing has been run, one of `data` is missing, or the folder cannot be written.
    """
    from medbench import progress
    from medbench.data.checks.thumbnails import Thumbnails
    from medbench.report.html import report

    own = [str(one) for one in ([data] if isinstance(data, (str, Path)) else data)]
    pictures = Thumbnails(_path(data_root), own) if thumbnails else None
    path = report.write_report(_path(runs), _path(to), dataset, include_random, pictures, thumbnails)
    for line in pictures.notes() if pictures is not None else ():
        progress.say(f"note: {line}")
    return path


def write_leaderboard(to: str | Path, runs: str | Path | None = None, include_random: bool = False) -> list[Path]:
    """Write the results of a run store as static web pages and return the files; the last one is the index.

    Args:
        to: The folder; pages of an earlier call are deleted if their data set has no results any more.
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
        include_random: Show results of random weights too, apart from the others.

    Raises:
        MedbenchError: Nothing has been run, or the folder cannot be written.
    """
    from medbench.report.html import leaderboard

    return leaderboard.write_leaderboard(paths.runs_dir(runs), Path(to), include_random)


def write_card(
    dataset: str | Path,
    name: str | None = None,
    data_root: str | Path | None = None,
    force: bool = False,
    **columns: Any,
) -> Path:
    """Write the card `datasets/NAME.yaml` of data of your own, and return its path; the command is `medbench init`.

    Args:
        dataset: A CSV of labels, or a folder of class folders. Of two, a class such as `normal` is the negative one.
        name: The data set's name; None: after the folder and the file.
        data_root: The folder of the images; None: that of the CSV.
        force: Replace a card that is there.
        columns: What would be inferred: `image`, `label` (several with commas), `group`, `split_column`, `task`,
            `metric`.

    Raises:
        MedbenchError: The data cannot be read, or there is a card of this name already.
    """
    source = find_own(str(dataset), _path(data_root), own_columns(**columns))
    metrics.get(source.card.metric, source.card.task)  # refuses one that does not go with the labels
    return write_own_card(source.card, source.root, source.tables, name, force=force)


def write_features(model: str | Path, dataset: str | Path, to: str | Path, **options: Any) -> FeatureTable:
    """Write the pooled features of a data set's images to a file, and return them: ids, and one row for each image.

    Args:
        model: One model.
        dataset: One data set whose samples are single images.
        to: The file: .parquet, .npz or .safetensors.
        options: Fields of `Options`, as for `run`.

    Raises:
        MedbenchError: Something in the request is wrong.
    """
    from medbench.runs.export_features import export_features

    return export_features(str(model), str(dataset), Path(to), _options(options))


def push_results(
    repo: str, dataset: str = "*", public: bool = False, predictions: bool = True, runs: str | Path | None = None
) -> Pushed:
    """Upload records and predictions as a dataset repository of the Hugging Face hub; no image, no weights file.

    Args:
        repo: OWNER/NAME; it is made if there is none.
        dataset: A glob: only data sets whose names match.
        public: Make a new repository public.
        predictions: Include the predictions. They name the images and patients of the test set.
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.

    Raises:
        MedbenchError: Nothing has been run, no right to write, or no network.
    """
    return hub.push(paths.runs_dir(runs), repo, dataset, public=public, predictions=predictions)


def pull_results(repo: str, theirs: bool = False, runs: str | Path | None = None) -> Merged:
    """Download results from the hub into a run store, and return which are new, conflicting or refused.

    Args:
        repo: OWNER/NAME, or OWNER/NAME@REVISION.
        theirs: Where numbers differ, take theirs.
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.

    Raises:
        MedbenchError: There is no such repository, no right to read it, no network, or no record in it.
    """
    return hub.pull(repo, paths.runs_dir(runs), theirs=theirs)


def merge_results(source: str | Path, theirs: bool = False, runs: str | Path | None = None) -> Merged:
    """Take over results, and missing predictions, of another run store; return which are new, conflicting or refused.

    Args:
        source: Another run store, or a folder that was pulled.
        theirs: Where numbers differ, take theirs.
        runs: The run store that gets them; None: `MEDBENCH_RUNS` or `results/runs`.

    Raises:
        MedbenchError: There are no records in the source.
    """
    return merge.merge(Path(source), paths.runs_dir(runs), str(source), theirs=theirs)


def status(runs: str | Path | None = None) -> pd.DataFrame:
    """Return what is finished, failed and planned, one row for each row of a table, with the errors of failed units.

    Args:
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
    """
    import pandas as pd

    from medbench.records.status import statuses

    return pd.DataFrame(statuses(paths.runs_dir(runs)))


def check_data(dataset: str | Path, data_root: str | Path | None = None, **options: Any) -> CheckReport:
    """Check a local copy of a data set against its card: counts, missing, damaged and duplicate images, splits.

    Args:
        dataset: A data set, its card file, a CSV of labels, or a folder of class folders.
        data_root: The folder of the data sets; None: `MEDBENCH_DATA`.
        options: `split_name`, `images` (False: do not decode them), `near_radius` (None: no near duplicates),
            `missing`, `pairs` and `allow_outside`, as in the command; for your own data, the `columns` of `write_card`.

    Raises:
        MedbenchError: There is no such data set, or its labels cannot be read.
    """
    from medbench.data.checks.check import check

    named = {key: options.pop(key) for key in signature(own_columns).parameters if key in options}
    if (metric := named.get("metric")) is not None:
        metrics.get(metric, named.get("task"))
    return check(str(dataset), data_root, columns=own_columns(**named), **options)
