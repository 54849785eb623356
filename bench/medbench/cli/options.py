"""Options that several commands share: one name, one meaning, one help text.

`--runs` is the run store and `--to` is where something is written. Older commands used `--out` for both; it still works
there, as `OutRuns` or `OutTo`, and is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import complete

Runs = Annotated[Path | None, typer.Option("--runs", help="Run store; default: MEDBENCH_RUNS or results/runs.")]
OutRuns = Annotated[Path | None, typer.Option("--out", hidden=True, help="Old name of --runs.")]
OutTo = Annotated[Path | None, typer.Option("--out", hidden=True, help="Old name of --to.")]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TableFormat = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="text|md|csv|latex|html|json", help="Output format; default: a table for reading."
    ),
]
Published = Annotated[bool, typer.Option("--published", help="Also show the numbers published in the paper.")]
Random = Annotated[bool, typer.Option("--random", help="Also show results of random weights, with a mark.")]

Dataset = Annotated[
    str,
    typer.Argument(
        metavar="D", help="A data set, its card file, a labels CSV or a folder.", autocompletion=complete.datasets
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        help="Folder of the data sets, or of a single one; default: MEDBENCH_DATA. Labels CSV: folder of its images.",
    ),
]
AllowOutside = Annotated[bool, typer.Option("--allow-outside", help="Allow image paths outside the data folder.")]

Label = Annotated[
    str | None,
    typer.Option("--label", help="Own data: column of the class; or one column per class, separated by commas."),
]
Image = Annotated[str | None, typer.Option("--image", help="Own data: column of the image path.")]
Group = Annotated[
    str | None,
    typer.Option("--group", help="Own data: column of the patient (or other group) whose images stay in one split."),
]
SplitColumn = Annotated[
    str | None, typer.Option("--split-column", help="Own data: column that says train, val or test.")
]
TaskKind = Annotated[
    str | None, typer.Option("--task", metavar="binary|multiclass|ordinal|multilabel", help="Own data: kind of labels.")
]
Metric = Annotated[str | None, typer.Option("--metric", help="Own data: primary metric; default: that of the task.")]
Missing = Annotated[
    str, typer.Option("--missing", metavar="stop|leave-out", help="If images are missing: stop, or run without them.")
]

Corrupt = Annotated[
    str | None,
    typer.Option(
        metavar="all|NAME[:SEVERITY],…",
        help="Also test on corrupted test images, e.g. jpeg,blur:3,noise:1:2 (severities 1 to 5).",
        autocompletion=complete.corruptions,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", help="Preset of the protocols; default: paper, or the preset that the paper's card names."
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        "--seeds", help="Number of seeds, or a list such as 0,1,2; default: 5, or the number in the paper's card."
    ),
]
WeightsFile = Annotated[
    str | None,
    typer.Option("--weights", metavar="FILE|random", help="Weights file, or `random`; default: the official file."),
]
ImageSize = Annotated[int | None, typer.Option("--image-size", help="Input size in pixels; default: the model's.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:i.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Number of data loader processes.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")]
Calibrate = Annotated[
    bool,
    typer.Option(
        "--calibrate", help="With --dry-run: measure the speed of models that have not run here, a few seconds each."
    ),
]
Fill = Annotated[bool, typer.Option("--fill", help="Run the missing units first; to see them: --dry-run.")]
RandomWeights = Annotated[
    str | None,
    typer.Option("--weights", metavar="random", help="--fill: use random weights, as a trial; results are marked."),
]


def seeds_of(text: str | None) -> int | list[int] | None:
    """Return what `--seeds` asks for: a number, a list (`3,` lists one seed), or None if it was not given.

    Raises:
        MedbenchError: The text is neither a number nor a list.
    """
    from medbench.errors import MedbenchError

    if text is None:
        return None
    try:
        return [int(part) for part in text.removesuffix(",").split(",")] if "," in text else int(text)
    except ValueError as error:
        raise MedbenchError(
            f"--seeds {text}: not a number, and not a list of numbers", "e.g. --seeds 5 or --seeds 0,1,2"
        ) from error


def check_named(command: str, name: str | None, given: Mapping[str, object]) -> None:
    """Refuse options that say what a table or figure shows where none is named: the list of names ignores them.

    Args:
        command: `table` or `figure`.
        name: What is named.
        given: Option as typed -> its value; empty, False or None: it was not given.

    Raises:
        MedbenchError: An option was given without a name.
    """
    from medbench.errors import MedbenchError

    options = [option for option, value in given.items() if value]
    if name is None and options:
        many = len(options) > 1
        raise MedbenchError(
            f"{', '.join(options)} need{'s' * (not many)} the name of a {command}",
            f"medbench {command} dataset/NAME {options[0]} …; all names: medbench {command}",
        )


def check_calibrate(calibrate: bool, dry_run: bool, on: str | None = None, example: str = "") -> None:
    """Refuse `--calibrate` where nothing is estimated.

    Args:
        calibrate: Whether it is asked for.
        dry_run: Whether there is a dry run.
        on: Who runs the jobs; None: this process.
        example: A command that works; empty: none is named.

    Raises:
        MedbenchError: There is no dry run, or the jobs run elsewhere.
    """
    from medbench.errors import MedbenchError

    if calibrate and on is not None:
        raise MedbenchError(
            f"--calibrate and --on {on} cannot be combined: it measures this machine", "remove one of them"
        )
    if calibrate and not dry_run:
        raise MedbenchError(
            "--calibrate has no effect without --dry-run: a run measures itself",
            example or "add --dry-run, or remove --calibrate",
        )


def check_fill(command: str, name: str | None, fill: bool, dry_run: bool, calibrate: bool = False) -> None:
    """Refuse `--fill` without a name or for a data set, `--dry-run` without `--fill`, `--calibrate` without both.

    Raises:
        MedbenchError: One of them.
    """
    from medbench.errors import MedbenchError

    example = f"e.g. medbench {command} {name or f'wacv2024/{command}1'} --fill --dry-run"
    if fill and name is None:
        raise MedbenchError(f"--fill needs the name of a {command}", example)
    kind, _, dataset = (name or "").partition("/")
    if fill and kind == "dataset":
        raise MedbenchError(
            f"--fill: {name} shows all finished runs, so nothing is missing in it",
            f"medbench run --model MODEL --protocol PROTOCOL --dataset {dataset}",
        )
    if dry_run and not fill:
        raise MedbenchError("--dry-run has no effect without --fill", example)
    check_calibrate(calibrate, dry_run, example=f"{example} --calibrate")
