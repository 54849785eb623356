"""Draw the pictures in docs/example from the records there, and write their table into README.md."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import medbench
from medbench.report.tables import lookup
from medbench.report.tables.render import render_md

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
TABLE = re.compile(r"(?<=<!-- table:begin -->\n\n).*(?=\n<!-- table:end -->)", re.S)
"""The part of README.md that holds the table."""
FEW_SHOT = "dataset/idrid-small/few-shot"
"""The figure of docs/vision-language.md."""
NOTES = 3
"""Notes of the table that README.md shows; the command prints the others too."""


def table() -> str:
    """Return the table as Markdown, made from the run store below the current folder; of its notes, the legend."""
    made = lookup.table("example/table1", intervals=True)
    return render_md(dataclasses.replace(made, notes=made.notes[:NOTES]))


if __name__ == "__main__":
    os.chdir(ROOT / "docs" / "example")
    medbench.figure("example/figure1", include_random=True)
    medbench.figure(FEW_SHOT)
    text = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda _: table(), text), encoding="utf-8")
