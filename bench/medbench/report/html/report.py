"""The report: one self-contained HTML file of everything in a run store."""

from __future__ import annotations

from pathlib import Path

from medbench.report.html.content import collected
from medbench.report.html.render_page import rendered
from medbench.report.html.run_page import Pictures
from medbench.storage import files, paths

THUMBNAILS = 8
"""Of the worst images, on each page."""


def report_file(runs: Path | None = None) -> Path:
    """Return where the report is written by default: `report.html` next to the run store."""
    return paths.runs_dir(runs).parent / "report.html"


def write_report(
    runs: Path | None = None,
    to: Path | None = None,
    dataset: str = "*",
    include_random: bool = False,
    pictures: Pictures | None = None,
    thumbnails: int = THUMBNAILS,
) -> Path:
    """Write the report of a run store and return its path; the same records give the same bytes.

    The arguments are those of `medbench.write_report`, except `pictures`, which gives thumbnails; None: none are shown.

    Raises:
        MedbenchError: Nothing was run.
        OutputError: The folder is read-only or full.
    """
    place = paths.runs_dir(runs)
    target = report_file(runs) if to is None else to / report_file().name if to.is_dir() else to
    with files.atomic(target) as part:  # opened first: an unwritable folder fails at once
        part.write_text(rendered(collected(place, dataset, include_random, pictures, thumbnails)), encoding="ascii")
    return target
