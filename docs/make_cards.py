"""Write docs/cards.md: the list of all models, protocols and data sets, made from their cards."""

from __future__ import annotations

from pathlib import Path

from medbench.cli.commands.ls import COLUMNS, Kind
from medbench.cli.listing import listed
from medbench.cli.output import as_text

HEAD = """# Models, protocols and data sets

medbench comes with a card for each of these. `medbench show NAME` prints a card in full.
`make docs` writes this page.
"""


def page() -> str:
    """Return the page: one table for each kind of card."""
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
