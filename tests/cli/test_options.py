"""Options mean one thing in every command; old names still work and are not shown."""

from __future__ import annotations

from collections import defaultdict

import pytest
import typer

from medbench import cli
from medbench.cli.options import seeds_of
from medbench.errors import MedbenchError

ONE_MEANING = (
    "--runs",
    "--data-root",
    "--seeds",
    "--device",
    "--precision",
    "--allow-outside",
    "--dry-run",
    "--random",
)
OF_A_RUN_STORE = [
    "cancel",
    "compare",
    "demo",
    "doctor",
    "figure",
    "leaderboard",
    "logs",
    "ls",
    "report",
    "results merge",
    "results pull",
    "results push",
    "run",
    "status",
    "table",
]


def options_of_commands() -> dict[str, list[typer.core.TyperOption]]:
    """Return the options of every command, by the command's words."""
    found: dict[str, list[typer.core.TyperOption]] = {}

    def visit(words: str, command: typer.core.TyperCommand | typer.core.TyperGroup) -> None:
        if isinstance(command, typer.core.TyperGroup):
            for name, inner in command.commands.items():
                visit(f"{words} {name}".strip(), inner)
        else:
            found[words] = [param for param in command.params if isinstance(param, typer.core.TyperOption)]

    visit("", typer.main.get_command(cli.app))
    return found


def test_an_option_has_the_same_text_in_every_command():
    texts = defaultdict(set)
    for options in options_of_commands().values():
        for option in options:
            texts[option.opts[0]].add(option.help)
    assert {name: len(texts[name]) for name in ONE_MEANING} == dict.fromkeys(ONE_MEANING, 1)


def test_the_run_store_is_runs_in_every_command_that_has_one():
    commands = options_of_commands()
    assert sorted(words for words, found in commands.items() if any(o.opts == ["--runs"] for o in found)) == (
        OF_A_RUN_STORE
    )


def test_every_option_has_a_text_and_out_is_hidden_everywhere():
    hidden = []
    for words, options in options_of_commands().items():
        for option in options:
            assert option.help, f"{words} {option.opts[0]}"
            if option.hidden:
                hidden.append((words, option.opts, option.help))
    assert {(words, text) for words, _, text in hidden} == {
        *((words, "Old name of --runs.") for words in ("compare", "demo", "report", "run", "status", "table")),
        *((words, "Old name of --to.") for words in ("figure", "data split", "data synth")),
    }
    assert all(names == ["--out"] for _, names, _ in hidden)


@pytest.mark.parametrize("words", options_of_commands())
def test_help_does_not_show_old_names(medbench, words):
    done = medbench(*words.split(), "--help")
    assert done.status == 0
    assert "--out" not in done.out


@pytest.mark.parametrize("option", ["--to", "--out"])
def test_a_split_file_is_written_to_the_place_named(medbench, tmp_path, option):
    done = medbench("data", "split", "toy-binary", "--name", "stratified", option, tmp_path / "s.csv")
    assert done.status == 0, done.err
    assert (tmp_path / "s.csv").read_text().startswith("#")
    assert f"split file: {tmp_path / 's.csv'}\n" in done.out


@pytest.mark.parametrize("option", ["--to", "--out"])
def test_a_twin_is_written_to_the_place_named(medbench, tmp_path, option):
    assert medbench("data", "synth", "aptos", "--n", "20", option, tmp_path / "twin").status == 0
    assert (tmp_path / "twin" / "train.csv").is_file()


@pytest.mark.parametrize("option", ["--to", "--out"])
def test_a_figure_is_written_to_the_place_named(medbench, runs, tmp_path, option):
    done = medbench("figure", "wacv2024/figure2", "--runs", runs, "--format", "svg", option, tmp_path / "here")
    assert done.status == 0, done.err
    assert sorted(path.name for path in (tmp_path / "here/wacv2024").iterdir()) == ["figure2.csv", "figure2.svg"]


@pytest.mark.parametrize("option", ["--runs", "--out"])
def test_the_run_store_of_table_and_report(medbench, runs, option):
    assert "0.6" in medbench("table", "dataset/toy", option, runs).out
    done = medbench("report", option, runs, "--thumbnails", "0")
    assert done.status == 0, done.err
    assert (runs.parent / "report.html").is_file()


@pytest.mark.parametrize(
    ("text", "seeds"), [(None, None), ("5", 5), ("0,1,2", [0, 1, 2]), ("3,", [3]), ("2,2", [2, 2])]
)
def test_seeds(text, seeds):
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "1.5", "1,,2", ","])
def test_seeds_that_are_neither_a_number_nor_a_list(text):
    with pytest.raises(MedbenchError, match="not a number, and not a list of numbers"):
        seeds_of(text)
