"""Exit status and the two lines of every kind of mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer

from medbench import cli
from medbench.errors import DataError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Give the command line a command `break` that raises."""

    def install(error: BaseException) -> None:
        app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

        def broken() -> None:
            raise error

        app.command("break")(broken)
        app.callback()(lambda: None)
        monkeypatch.setattr(cli, "app", app)

    return install


def test_a_persons_mistake_is_two_lines_and_status_2(medbench, failing):
    failing(DataError("labels.csv:3: no such grade", "use 0 to 4"))
    done = medbench("break")
    assert (done.status, done.out) == (2, "")
    assert done.err == "error: labels.csv:3: no such grade\nhint: use 0 to 4\n"


def test_debug_shows_the_traceback_wherever_it_stands(medbench, failing):
    failing(DataError("bad", "fix it"))
    for words in (("--debug", "break"), ("break", "--debug")):
        done = medbench(*words)
        assert done.status == 2
        assert "Traceback" in done.err
        assert done.err.endswith("error: bad\nhint: fix it\n")


def test_an_unexpected_error_is_two_lines_and_status_1(medbench, failing):
    failing(ZeroDivisionError("by\nzero"))
    done = medbench("break")
    assert done.status == 1
    assert done.err == "error: internal error: ZeroDivisionError: by zero\nhint: rerun with --debug for a traceback\n"


def test_interruption_is_130(medbench, failing):
    failing(KeyboardInterrupt())
    done = medbench("break")
    assert done.status == 130
    assert "Traceback" not in done.err


def test_a_commands_own_exit_status_is_kept(medbench, failing):
    failing(typer.Exit(1))
    assert medbench("break").status == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sow"], "show"),
        (["ls", "models", "--jsn"], "--json"),
        (["ls", "model"], "models"),
        (["data", "chek"], "check"),
    ],
)
def test_wrong_usage_is_status_2_and_names_what_is_near(medbench, words, told):
    done = medbench(*words)
    assert done.status == 2
    assert told in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("kind", ["model", "protocol", "dataset"])
def test_unknown_names_in_run_suggest_near_ones(medbench, kind):
    names = {"model": "toy-vit", "protocol": "knn", "dataset": "toy"}
    near = names[kind]
    names[kind] += "x"
    done = medbench("run", *(word for k, v in names.items() for word in (f"--{k}", v)))
    assert done.status == 2
    first, second = done.err.splitlines()
    assert first == f"error: unknown {kind} '{names[kind]}'"
    assert near in second


def test_version(medbench):
    from medbench import __version__

    assert medbench("--version").out == f"medbench {__version__}\n"


def apps() -> list[tuple[tuple[str, ...], typer.core.TyperGroup]]:
    """Return the words and the group of `medbench`, and of each of its commands that has commands."""
    top = typer.main.get_command(cli.app)
    assert isinstance(top, typer.core.TyperGroup)
    inner = [((name,), app) for name, app in top.commands.items() if isinstance(app, typer.core.TyperGroup)]
    return [((), top), *inner]


def test_the_apps_are_found():
    assert [words for words, _ in apps()] == [(), ("data",), ("weights",), ("results",)]


@pytest.mark.parametrize(("words", "app"), apps(), ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_no_summary_is_cut_at_80_columns(medbench, monkeypatch, words, app):
    monkeypatch.setenv("COLUMNS", "80")
    done = medbench(*words, "--help")
    assert done.status == 0
    listed = dict(line.split(maxsplit=1) for line in done.out.split("Commands:\n")[1].splitlines())
    assert list(listed) == list(app.commands)
    for name, command in app.commands.items():
        summary = (command.help or "").split("\n")[0]
        assert listed[name] == summary, "the first line of the help text, in full"
        assert 10 <= len(summary) <= 45


def test_no_help_text_refers_to_another_option(medbench):
    for words, app in apps():
        for name in app.commands:
            text = medbench(*words, name, "--help").out
            assert "Likewise" not in text
            assert "Instead of" not in text


def test_python_m_medbench_is_the_same():
    done = subprocess.run([sys.executable, "-m", "medbench", "show", "toyy"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown card 'toyy'\nhint: did you mean: ")


def test_a_pipe_that_closes_early_ends_quietly():
    command = f"{sys.executable} -m medbench show toy | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.startswith("dataset toy")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_openmp_threads_sleep_while_they_wait():
    code = "from medbench.cli import main; main(['--version']); import torch"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**{k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}, "OMP_DISPLAY_ENV": "TRUE"},
    )
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
