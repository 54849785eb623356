"""Exit status and the two lines of every kind of mistake."""

from __future__ import annotations

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
    failing(DataError("bad", "mend"))
    for words in (("--debug", "break"), ("break", "--debug")):
        done = medbench(*words)
        assert done.status == 2
        assert "Traceback" in done.err
        assert done.err.endswith("error: bad\nhint: mend\n")


def test_an_unexpected_error_is_two_lines_and_status_1(medbench, failing):
    failing(ZeroDivisionError("by\nzero"))
    done = medbench("break")
    assert done.status == 1
    assert done.err.splitlines()[0] == "error: ZeroDivisionError: by zero"
    assert "--debug" in done.err.splitlines()[1]
    assert len(done.err.splitlines()) == 2


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


def test_help_and_version(medbench):
    done = medbench("--help")
    assert done.status == 0
    for command in ("run", "table", "ls", "show", "status", "data", "weights", "validate", "doctor", "demo"):
        assert f"\n  {command} " in done.out
    from medbench import __version__

    assert medbench("--version").out == f"medbench {__version__}\n"


def test_every_command_has_a_help_text(medbench):
    for command in ("run", "table", "ls", "show", "status", "validate", "doctor", "demo"):
        assert medbench(command, "-h").out.split("\n")[2].strip()
    for command in ("check", "prepare", "split", "synth", "card", "download"):
        assert medbench("data", command, "-h").out.split("\n")[2].strip()


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
