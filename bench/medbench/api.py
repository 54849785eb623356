"""The public functions, one for each command; those that `medbench.ELSEWHERE` names lie in their own modules."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.data.load import load_dataset as load_dataset
from medbench.data.load import read_labels
from medbench.errors import MedbenchError
from medbench.models.load import load_model as load_model
from medbench.records import store
from medbench.runs.jobs import Options as Options
from medbench.runs.jobs import Plan, Result
from medbench.runs.plan import make_plan
from medbench.storage import files, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from medbench.models.text import TextEncoder
    from medbench.records import Record
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
    model: str | Iterable[str], protocol: str | Iterable[str], dataset: str | Iterable[str], **options: Any
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


def list_models() -> list[str]:
    """Return the names of all model cards on the search path, sorted."""
    from medbench import cards

    return cards.names("models")


def list_protocols() -> list[str]:
    """Return the names of all protocol cards on the search path, sorted."""
    from medbench import cards

    return cards.names("protocols")


def list_datasets() -> list[str]:
    """Return the names of all data set cards on the search path, sorted."""
    from medbench import cards

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
        name: `dataset/<name>`, `ranks/<study>` or a paper's table such as `wacv2024/table1`; `medbench ls tables` has
            all.
        options: `runs` (the run store), `published` (the paper's numbers too), `include_random` (random weights too),
            `intervals` (95 %, from stored predictions), `preset` (a paper's table with another preset),
            `metrics` (only these metrics; for a data set also metrics that no record holds, such as
            `sensitivity@specificity=0.9`), `models` and `protocols` (for a data set: only these, comma lists as in the
            command), `per_class` (for a data set: one row for each class of each run), `by` (for
            a data set: one row for each subgroup, such as `sex,age:40:60`) with `min_group`, `labels` and `data_root`,
            as in the command.

    Raises:
        MedbenchError: There is no such table, or nothing has been run on the data set.
    """
    from functools import partial

    from medbench.report.figures.predictions.runs import Selection
    from medbench.report.subgroups.by import FEWEST, By
    from medbench.report.tables import lookup
    from medbench.report.tables.choose import chosen

    labels, root, fewest = (
        options.pop(key, usual) for key, usual in (("labels", None), ("data_root", None), ("min_group", FEWEST))
    )
    if (by := options.get("by")) is not None:
        read = partial(read_labels, labels or name.partition("/")[2], root)
        options["by"] = By(by, read, fewest, stored=labels is None)
    models, protocols = options.pop("models", ""), options.pop("protocols", "")
    options["selection"] = Selection(models, protocols) if models or protocols else None
    found = lookup.table(name, **options)
    return (found if by is not None or options.get("per_class") else chosen(found, options.get("metrics", ()))).frame()


def figure(name: str, to: Path | None = None, formats: str | Sequence[str] = "png", **options: Any) -> list[Path]:
    """Draw a figure, write it and its data (CSV), and return the paths of the files.

    Args:
        name: The figure, such as `wacv2024/figure4` or `ranks/<study>`; `medbench ls figures` lists them.
        to: The folder to write to; None: `figures`, next to the run store.
        formats: `png`, `svg`, `pdf`: one, several, or a comma list.
        options: `runs` (the run store), `published`, `include_random`, `ref` and `preset`, as in the command. `out` is
            an old name for `to`.

    Raises:
        MedbenchError: There is no such figure or format, or the folder cannot be written.
    """
    from medbench.report.figures import draw as figures

    to = options.pop("out", to)
    data = figures.figure_data(name, **options)
    wanted = formats.split(",") if isinstance(formats, str) else formats
    return figures.write_figure(data, to or figures.figures_dir(options.get("runs")), wanted)


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


def write_features(model: str, dataset: str, to: Path | str, **options: Any) -> FeatureTable:
    """Write the pooled features of a data set's images to a file, and return them.

    Args:
        model: A model, or its card file.
        dataset: A data set whose samples are single images; as for `run`.
        to: The file; its ending says how it is written: .parquet, .npz or .safetensors.
        options: As for `run`: `preset`, `weights`, `image_size`, `data_root`, `device` and so on.

    Raises:
        MedbenchError: Something in the request is wrong.
    """
    from medbench.runs.export_features import export_features

    return export_features(model, dataset, Path(to), _options(options))


def write_report(
    runs: Path | None = None,
    to: Path | None = None,
    dataset: str = "*",
    include_random: bool = False,
    thumbnails: int = 8,
    data_root: Path | None = None,
    data: Sequence[str] = (),
) -> Path:
    """Write one HTML file with everything in a run store and return its path. The file needs no network.

    Args:
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
        to: The file, or a folder for `report.html`; None: `report.html` next to the run store.
        dataset: A glob: only data sets whose names match.
        include_random: Show results of random weights in papers' tables and figures too, marked.
        thumbnails: How many of the worst-classified images each page shows, if the data are on this machine.
        data_root: The folder of the data sets; None: `MEDBENCH_DATA`.
        data: Your own data sets: a CSV of labels, a folder of class folders, or a card file each.

    Raises:
        MedbenchError: Nothing has been run, one of `data` is missing, or the folder cannot be written.
    """
    from medbench import progress
    from medbench.data.checks.thumbnails import Thumbnails
    from medbench.report.html import report

    pictures = Thumbnails(data_root, data) if thumbnails else None
    path = report.write_report(runs, to, dataset, include_random, pictures, thumbnails)
    for line in pictures.notes() if pictures is not None else ():
        progress.say(f"note: {line}")
    return path
