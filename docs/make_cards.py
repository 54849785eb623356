"""Write docs/cards.md: what ships, as the cards themselves say it."""

from __future__ import annotations

from pathlib import Path

from medbench.cli.commands.ls import COLUMNS, Kind
from medbench.cli.listing import listed
from medbench.cli.output import as_text

HEAD = """# Cards that ship with medbench

Made by `make docs` from the cards; `medbench show NAME` has each in full.
"""


def page() -> str:
    """Return the page: one table for each kind of card, and the papers' tables."""
    parts = [HEAD]
    for kind, title in ((Kind.models, "Models"), (Kind.protocols, "Protocols"), (Kind.datasets, "Data sets")):
        rows, errors = listed(kind.value)
        assert not errors, errors
        columns = COLUMNS[kind]
        parts += [f"\n## {title}\n", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        parts += ["| " + " | ".join(as_text(row[c]).replace("|", "\\|") for c in columns) + " |" for row in rows]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("cards.md").write_text(page(), encoding="utf-8")
