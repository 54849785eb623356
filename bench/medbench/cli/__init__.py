"""The command line: each command calls public functions; `main` prints errors as two lines."""

from __future__ import annotations

import errno
import functools
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from medbench.cli import data, weights
from medbench.cli.cluster import jobs, work
from medbench.cli.commands import compare, demo, doctor, figure, init, ls, report, show, status, table, validate
from medbench.cli.commands.run import run
from medbench.cli.sharing import features, leaderboard, results
from medbench.errors import MedbenchError, visible
from medbench.progress import Stopped, stoppable

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that steer a terminal: the messages of the command-line library repeat what was typed."""

app = typer.Typer(
    name="medbench",
    help="Which pretrained vision model works best on my medical image classification task, and can I trust the "
    "number?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from medbench import __version__

        typer.echo(f"medbench {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. It can stand anywhere on the command line.")
    ] = False,
) -> None: ...


app.command()(run)
app.command()(table.table)
app.command()(figure.figure)
app.command()(compare.compare)
app.command()(report.report)
app.command()(status.status)
app.command()(ls.ls)
app.command()(show.show)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")
app.command()(init.init)
app.command()(features.features)
app.add_typer(results.app, name="results")
app.command()(leaderboard.leaderboard)
app.command()(validate.validate)
app.command()(doctor.doctor)
app.command()(demo.demo)
app.command()(jobs.logs)
app.command()(jobs.cancel)
app.command()(work.work)


@functools.cache
def _command(of: typer.Typer) -> Any:
    """Return the parser of the command line; Typer builds it from all commands, which takes a while."""
    return typer.main.get_command(of)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0: done; 1: a unit failed, or an internal error; 2: wrong usage, or a bad card, path or value; 130 or 143:
    stopped by SIGINT (Ctrl-C) or SIGTERM. A user's mistake is printed as `error: …` and `hint: …` on standard error.

    Args:
        argv: Arguments without the program's name; None: those of this process.
    """
    # By default OpenMP's threads spin while they wait, which trebles the CPU time where others use the cores too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args  # removed here, so that it can be added at the end of a command that failed
    args = [arg for arg in args if arg != "--debug"]
    if odd := next(filter(STEERING.search, args), None):
        _complain(
            f"'{visible(odd)}' contains a control character",
            "type it without that character; if a file has this name, rename it",
            debug,
        )
        return 2
    try:
        with stoppable():
            _command(app).main(args=args, prog_name="medbench", obj=args)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except Stopped as stop:
        sys.stderr.write("stopped; run the same command again to resume\n")
        return 128 + stop.signal
    except KeyboardInterrupt:
        return 130
    except MedbenchError as error:
        _complain(error.message, error.hint, debug)
        return 2
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            return _internal(error, debug)
        _complain(f"the path '{visible(str(error.filename))[:80]}…' is too long", "choose a shorter one", debug)
        return 2
    except Exception as error:  # noqa: BLE001 the last resort: --debug shows the traceback
        return _internal(error, debug)
    return 0


def _internal(error: Exception, debug: bool) -> int:
    text = visible(" ".join(str(error).split()))
    _complain(f"internal error: {type(error).__name__}: {text}", "rerun with --debug for a traceback", debug)
    return 1


def _complain(message: str, hint: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""))
