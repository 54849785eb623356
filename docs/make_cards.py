"""Write the pages of the reference: cards, their fields, settings of protocols, commands and Python functions."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path

import typer
from click import Command

import medbench
from medbench.cards.find import SCHEMAS
from medbench.cards.recipes import SETTINGS, Settings
from medbench.cli import app
from medbench.cli.card_fields import Part, parts_of
from medbench.cli.commands.ls import COLUMNS, Kind
from medbench.cli.listing import listed
from medbench.cli.output import as_text

HEAD = """# Models, protocols, data sets and prompts

medbench comes with a card for each of these. `medbench show NAME` prints a card in full.
`make docs` writes this page.
"""


FIELDS = """# The fields of cards

A card is a YAML file. `medbench show card dataset` (or `model`, `protocol`, `paper`, `study`, `prompts`) prints these
lists in a terminal, and `medbench show card knn` the settings of a kind of protocol. `medbench validate FILE` checks a
card. `make docs` writes this page.
"""
SETTING = """# Settings of protocols

A setting is changed by `--set NAME=VALUE`, or in a protocol card of your own. Presets change several at once:
`medbench show PROTOCOL` lists them with their values. `medbench show card KIND` prints one list in a terminal.
`make docs` writes this page.
"""
COMMANDS = """# Commands

What `medbench COMMAND --help` prints. `make docs` writes this page.
"""
PYTHON = """# Python

Each command that makes results or reads them is a function of the package `medbench`. It returns what the command
prints. Paths may be strings or `pathlib.Path`. A mistake raises `medbench.errors.MedbenchError`, whose text and `hint`
are the two lines of the command. `make docs` writes this page.

```python
import medbench

records = medbench.run("toy-cnn", "knn", "toy")
records[0].metrics["accuracy"]
medbench.table("dataset/toy", include_random=True)  # a pandas DataFrame
```
"""
TITLES = {
    "models": "Model",
    "datasets": "Data set",
    "protocols": "Protocol",
    "papers": "Paper",
    "studies": "Study",
    "prompts": "Prompts",
}
LISTS = {Kind.models: "Models", Kind.protocols: "Protocols", Kind.datasets: "Data sets", Kind.prompts: "Prompts"}


def page() -> str:
    """Return the page: one table for each kind of card."""
    parts = [HEAD]
    for kind, title in LISTS.items():
        rows, errors = listed(kind.value)
        assert not errors, errors
        columns = COLUMNS[kind]
        parts += [f"\n## {title}\n", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        parts += ["| " + " | ".join(as_text(row[c]).replace("|", "\\|") for c in columns) + " |" for row in rows]
    return "\n".join(parts) + "\n"


def fields_page() -> str:
    """Return the reference: one list of fields for each mapping in a card."""
    parts = [FIELDS]
    for name, schema in SCHEMAS.items():
        parts.append(f"\n## {TITLES[name]}\n")
        for part in parts_of(schema):
            parts += [f"\n### {part.place}\n"] if part.place else []
            parts += [part.text.replace("\n- ", "\n\n- ", 1), "", *_bullets(part)]
    return "\n".join(parts) + "\n"


def _bullets(part: Part) -> list[str]:
    return [f"- **{one.name}** ({one.takes.replace('|', 'or')}; {one.default}): {one.text}" for one in part.fields]


def settings_page() -> str:
    """Return the settings of each kind of protocol; those that others have, too, are listed once."""
    parts = [SETTING]
    known: set[object] = set()
    for name, schema in {"all protocols": Settings, **dict(sorted(SETTINGS.items()))}.items():
        parts.append(f"\n## {name}\n")
        for part in parts_of(schema):
            new = tuple(one for one in part.fields if (part.place, one) not in known)
            known |= {(part.place, one) for one in new} if schema is Settings or part.place else set()
            parts += [f"\n### {name}: {part.place}\n"] if part.place and new else []
            parts += [part.text.replace("\n- ", "\n\n- ", 1), "", *_bullets(replace(part, fields=new))] if new else []
    return "\n".join(parts) + "\n"


def commands_page() -> str:
    """Return the help of each command."""
    parts = [COMMANDS]
    top = typer.main.get_command(app)
    for name, command in top.commands.items():
        inner = getattr(command, "commands", {})
        listed = {f"{name} {sub}": one for sub, one in inner.items()} if inner else {name: command}
        for path, one in listed.items():
            parts += [f"\n## medbench {path}\n", *_help(one)]
    return "\n".join(parts) + "\n"


def _help(command: Command) -> list[str]:
    """Return what a command does, and a table of its arguments and options."""
    lines = [*(command.help or "").strip().splitlines(), ""]
    shown = [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
    if not shown:
        return lines
    lines += ["| argument or option | meaning |", "|---|---|"]
    for one in shown:
        spelt = (
            "`, `".join([*one.opts, *one.secondary_opts]) if one.param_type_name == "option" else str(one.name).upper()
        )
        text = " ".join((getattr(one, "help", "") or "").split()).replace("|", "\\|")
        lines.append(f"| `{spelt}` | {text} |")
    return lines


def python_page() -> str:
    """Return signature and docstring of each public name of the package."""
    parts = [PYTHON]
    for name in sorted(set(medbench.__all__) - {"__version__"}, key=str.lower):
        one = getattr(medbench, name)
        parts.append(f"\n## medbench.{name}\n")
        if inspect.isfunction(one):
            head = inspect.getsource(one).partition('    """')[0].removeprefix("def ").rstrip().removesuffix(":")
            parts.append(f"```text\n{head}\n```\n")
        parts += _docstring(inspect.getdoc(one) or "")
    return "\n".join(parts) + "\n"


def _docstring(text: str) -> list[str]:
    """Return a docstring of Google's style as Markdown: its lists become bullets."""
    lines, inside = list[str](), False
    for line in text.splitlines():
        if head := re.fullmatch(r"(Args|Attributes|Raises|Returns):", line):
            lines += [f"{head[1]}:", ""]
            inside = True
        elif inside and (entry := re.fullmatch(r"    (\w+): (.*)", line)):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        elif inside:
            lines.append("  " + line.strip() if line else "")
        else:
            lines.append(line)
    return lines


PAGES = {
    "cards.md": page,
    "card-fields.md": fields_page,
    "settings.md": settings_page,
    "commands.md": commands_page,
    "python.md": python_page,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        Path(__file__).with_name(name).write_text(make(), encoding="utf-8")
