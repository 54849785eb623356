"""The findings of a check as one HTML page that shows duplicates next to each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medbench.cards.dataset import SPLITS
from medbench.data.checks.check import CheckReport
from medbench.data.checks.findings import Finding, Member
from medbench.data.checks.near_duplicates import ALIKE, SIDE
from medbench.data.checks.thumbnails import thumbnail
from medbench.storage import files, html_pages

SETS = 60
"""Sets of images that are shown of each finding."""

MEMBERS = 8
"""Images that are shown of each set."""

IDS = 200  # names listed of a finding without images
THUMB = 168  # pixels: longest side


@dataclass(frozen=True)
class _Set:
    """Images that belong together, as the page shows them."""

    members: list[Member]

    @property
    def shown(self) -> list[Member]:
        return self.members[:MEMBERS]

    @property
    def differ(self) -> bool:
        return len({member.label for member in self.members}) > 1

    @property
    def grouped(self) -> bool:
        return any(member.group != member.id for member in self.members)

    @property
    def title(self) -> str:
        splits = [name for name in SPLITS if any(member.split == name for member in self.members)]
        parts = [f"{len(self.members)} images"]
        parts += [f"the first {MEMBERS} shown"] if len(self.members) > MEMBERS else []
        parts += ["labels disagree"] if self.differ else []
        parts += [f"in {' and '.join(splits)}"] if len(splits) > 1 else []
        return ", ".join(parts)


def write_page(report: CheckReport, file: Path) -> None:
    """Write the page of a report.

    Raises:
        OutputError: The folder is read-only or full.
    """
    files.write_text(file, page(report))


def page(report: CheckReport) -> str:
    """Return the page of a report: findings, counts, and the first `SETS` sets of each finding about duplicates.

    A set that two findings are about is shown under the first of them.
    """
    return html_pages.render(
        "check.html",
        report=report,
        sections=list(_sections(report.findings)),
        summary=lambda finding: finding.text.split(": ", 1)[0],
        thumbnail=lambda member: thumbnail(report.root / member.path, channels=3, side=THUMB),
        most_ids=IDS,
        side=SIDE,
        alike=ALIKE,
    )


def _sections(findings: list[Finding]) -> Iterator[tuple[Finding, str, list[_Set]]]:
    """Yield (finding, remarks, sets to show) of the findings about duplicates."""
    seen: set[tuple[str, ...]] = set()
    for finding in findings:
        if not finding.sets:
            continue
        new = [members for members in finding.sets if tuple(member.id for member in members) not in seen]
        shown = new[:SETS]
        seen |= {tuple(member.id for member in members) for members in shown}
        remarks = []
        if above := len(finding.sets) - len(new):
            remarks.append(f"{above:,} of them are shown above." if new else "All of them are shown above.")
        if len(new) > SETS:
            remarks.append(f"The first {SETS} of {len(new):,} are shown; to list all: medbench data check --json.")
        yield finding, " ".join(remarks), [_Set(members) for members in shown]
