"""The report: one self-contained HTML file of everything in a run store."""

from __future__ import annotations

from pathlib import Path

from medbench.report.html.content import collected
from medbench.report.html.render_page import rendered
from medbench.report.html.run_page import Pictures
from medbench.storage import files, paths

__all__ = ["THUMBNAILS", "Pictures", "report_file", "write_report"]

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

    Args:
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
        to: The file, or a folder for `report.html`; None: `report.html` next to the run store.
        dataset: A glob: only data sets of such names.
        include_random: Show random weights in papers' tables and figures too, marked.
        pictures: Gives thumbnails of images that are on this machine; None: none are shown.
        thumbnails: How many of the worst-classified images each page shows.

    Raises:
        MedbenchError: Nothing was run.
        OutputError: The folder is read-only or full.
    """
    place = paths.runs_dir(runs)
    target = report_file(runs) if to is None else to / report_file().name if to.is_dir() else to
    with files.atomic(target) as part:  # opened first: an unwritable folder fails at once
        part.write_text(rendered(collected(place, dataset, include_random, pictures, thumbnails)), encoding="ascii")
    return target
