"""Draw the picture in docs/example from the records there, and write their table into README.md."""

from __future__ import annotations

import os
import re
from pathlib import Path

import medbench
from medbench.report.tables import lookup

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = re.compile(r"(?<=<!-- results:begin -->\n).*(?=<!-- results:end -->)", re.S)
"""The part of README.md that holds the table."""


def draw() -> list[Path]:
    """Write the picture and the data behind it; the current folder is `docs/example` or a copy of it."""
    return medbench.figure("example/figure1", include_random=True)


def table() -> str:
    """Return the table as Markdown; the current folder is `docs/example` or a copy of it."""
    return lookup.render(lookup.table("example/table1", intervals=True), "md")


if __name__ == "__main__":
    os.chdir(ROOT / "docs" / "example")
    draw()
    text = README.read_text(encoding="utf-8")
    README.write_text(RESULTS.sub(lambda _: table(), text), encoding="utf-8")
