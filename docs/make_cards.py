"""Write docs/cards.md (all models, protocols, data sets and prompts) and docs/card-fields.md (what a card may hold)."""

from __future__ import annotations

from pathlib import Path

from medbench.cards.find import SCHEMAS
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


if __name__ == "__main__":
    Path(__file__).with_name("cards.md").write_text(page(), encoding="utf-8")
    Path(__file__).with_name("card-fields.md").write_text(fields_page(), encoding="utf-8")
