"""`medbench compare`: two (model, protocol) rows over data sets and seeds, from stored predictions."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from medbench.cli import complete, options
from medbench.cli.commands.table import write_table

FIRST = ("difference", "p", "p_holm")
"""The columns that a terminal shows first, because a narrow one leaves out others."""


def compare(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="MODEL, MODEL/PROTOCOL or MODEL/PROTOCOL/PRESET,KEY=VALUE.", autocompletion=complete.rows
        ),
    ],
    b: Annotated[
        str, typer.Argument(metavar="B", help="The other row, in the same form.", autocompletion=complete.rows)
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set names, comma lists or globs; default: all data sets with results of both.",
            autocompletion=complete.datasets,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            "--metric",
            help="Metrics, separated by commas, such as sensitivity@specificity=0.9,ece; default: the primary metric "
            "of each data set.",
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Compare only results of this preset.")] = None,
    form: options.TableFormat = None,
    random: options.Random = False,
    draws: Annotated[
        int | None, typer.Option(help="Number of bootstrap samples and of permutations; default: 2000.")
    ] = None,
    runs: options.Runs = None,
    out: options.OutRuns = None,
) -> None:
    """Compare two rows on the same test images.

    The table shows the differences with intervals, the p-values and the minimal detectable difference.
    """
    from medbench.errors import unknown
    from medbench.report.tables.render import FORMATS

    if form is not None and form not in FORMATS:
        raise unknown("format", form, FORMATS)
    from medbench.report.comparison.compare import compare as compared
    from medbench.stats.bootstrap import DRAWS

    found = compared(a, b, dataset, metric, preset, random, DRAWS if draws is None else draws, runs or out)
    if form is None and sys.stdout.isatty():
        found = found.led_by(*FIRST)
    write_table(found, form, intervals=True)
