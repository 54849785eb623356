"""Options that several commands share: one name, one meaning, one help text.

`--runs` is the run store and `--to` is where something is written. Older commands used `--out` for both; it still works
there, as `OutRuns` or `OutTo`, and is not shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import complete

Runs = Annotated[Path | None, typer.Option("--runs", help="Run store; default: MEDBENCH_RUNS or results/runs.")]
OutRuns = Annotated[Path | None, typer.Option("--out", hidden=True, help="Old name of --runs.")]
OutTo = Annotated[Path | None, typer.Option("--out", hidden=True, help="Old name of --to.")]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TableFormat = Annotated[
    str | None, typer.Option("--format", metavar="text|md|csv|latex|html|json", help="Default: a table for people.")
]
Published = Annotated[bool, typer.Option("--published", help="Show the paper's own numbers too.")]
Random = Annotated[bool, typer.Option("--random", help="Include results of random weights, marked.")]

Dataset = Annotated[
    str,
    typer.Argument(
        metavar="D", help="A data set, its card file, a labels CSV or a folder.", autocompletion=complete.datasets
    ),
]
DataRoot = Annotated[Path | None, typer.Option("--data-root", help="Folder of the data sets; default: MEDBENCH_DATA.")]
AllowOutside = Annotated[bool, typer.Option("--allow-outside", help="Allow image paths outside the data folder.")]

Label = Annotated[
    str | None,
    typer.Option("--label", help="Own data: column of the class; several, with commas: one column per class."),
]
Image = Annotated[str | None, typer.Option("--image", help="Own data: column of the image's path.")]
Group = Annotated[str | None, typer.Option("--group", help="Own data: column of what a split keeps together: patient.")]
SplitColumn = Annotated[str | None, typer.Option("--split-column", help="Own data: column of train, val and test.")]
TaskKind = Annotated[
    str | None,
    typer.Option("--task", metavar="binary|multiclass|ordinal|multilabel", help="Own data: what the labels are."),
]
Metric = Annotated[str | None, typer.Option("--metric", help="Own data: primary metric; default: by the task.")]
Missing = Annotated[
    str, typer.Option("--missing", metavar="stop|leave-out", help="Stop at images that are missing, or leave them out.")
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
    str | None, typer.Option("--preset", help="Preset of the protocols; default: paper, or the paper card's own.")
]
Seeds = Annotated[
    str | None,
    typer.Option("--seeds", help="A number of seeds, or a list like 0,1,2; default: 5, or the paper card's own."),
]
WeightsFile = Annotated[
    str | None,
    typer.Option("--weights", metavar="FILE|random", help="Weights file or `random`; default: the official file."),
]
ImageSize = Annotated[
    int | None, typer.Option("--image-size", help="Side of the input in pixels; default: the model's.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:i.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Number of loader processes.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")]
Calibrate = Annotated[
    bool,
    typer.Option(
        "--calibrate", help="With --dry-run: measure models that have not run here, a few seconds each, for the hours."
    ),
]
Fill = Annotated[bool, typer.Option("--fill", help="First run the missing units; see --dry-run.")]
RandomWeights = Annotated[
    str | None, typer.Option("--weights", metavar="random", help="Fill with random weights, marked: a trial.")
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
        raise MedbenchError(f"--seeds {text}: not a number or a list", "e.g. --seeds 5 or --seeds 0,1,2") from error
