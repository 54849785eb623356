"""The findings of a check as one page for a browser: duplicates side by side, to be looked at before they are believed.

The page loads nothing: thumbnails are part of it, and its policy forbids the rest.
"""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from medbench.data.checks.check import CheckReport
from medbench.data.checks.findings import Finding, Member
from medbench.data.checks.near_duplicates import ALIKE, SIDE
from medbench.data.splits.split_file import SPLITS
from medbench.storage import files

SETS = 60
"""Sets of images that are shown of each finding."""

MEMBERS = 8
"""Images that are shown of each set."""

IDS = 200  # names listed of a finding without pictures
THUMB = 168  # pixels: longest side
QUALITY = 80

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2126; background: #f4f5f6; margin: 0 auto; max-width: 1180px;
  padding: 24px; }
h1 { font-size: 22px; margin: 0 0 4px; }
h2 { font-size: 17px; margin: 36px 0 4px; }
p { margin: 4px 0 10px; max-width: 75ch; overflow-wrap: anywhere; }
.dim { color: #5c6670; }
table { border-collapse: collapse; background: #fff; border: 1px solid #d9dde1; margin: 12px 0; }
th, td { padding: 4px 12px; text-align: right; border-bottom: 1px solid #eceef0; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
.list td { text-align: left; vertical-align: top; white-space: nowrap; }
.list td:last-child { white-space: normal; overflow-wrap: anywhere; }
.badge { display: inline-block; border-radius: 4px; padding: 0 7px; font-size: 13px; background: #e6e9ec; }
.error { background: #b3261e; color: #fff; }
.warning { background: #f3c64b; }
.note { background: #dbe7f3; }
.train { background: #dceaf9; }
.val { background: #e3f3df; }
.test { background: #f6e1f1; }
.differs { background: #b3261e; color: #fff; }
.sets { display: flex; flex-wrap: wrap; gap: 14px; align-items: flex-start; }
.set { background: #fff; border: 1px solid #d9dde1; border-radius: 8px; padding: 10px 12px; }
.set > div { display: flex; flex-wrap: wrap; gap: 12px; }
.set h3 { font-size: 13px; font-weight: 600; margin: 0 0 8px; color: #5c6670; }
figure { margin: 0; width: 168px; font-size: 13px; }
figure img, .gone { width: 168px; height: 168px; object-fit: contain; background: #000; display: block; }
.gone { background: #e6e9ec; color: #5c6670; line-height: 168px; text-align: center; }
figcaption { padding-top: 5px; overflow-wrap: anywhere; }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


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
    title = f"{report.name}: data check"
    seen: set[tuple[str, ...]] = set()
    sections = [_section(finding, report.root, seen) for finding in report.findings if finding.sets]
    parts = [
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{_text(title)}</title>',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n</head>\n<body>',
        f"<h1>{_text(title)}</h1>",
        f'<p class="dim">{_text(str(report.root))}{", split " + _text(report.split) if report.split else ""}</p>',
        _list(report.findings),
        _counts(report),
        *sections,
        _foot() if sections else "",
    ]
    return "\n".join(part for part in parts if part) + "\n</body>\n</html>\n"


def _text(text: object) -> str:
    return html.escape(str(text))


def _badge(text: str, style: str = "") -> str:
    return f'<span class="badge {style}">{_text(text)}</span>'


def _list(findings: list[Finding]) -> str:
    if not findings:
        return "<p>Nothing was found: the copy is as its card says.</p>"
    return f'<table class="list">{"".join(map(_line, findings))}</table>'


def _line(finding: Finding) -> str:
    kind = _text(finding.kind)
    if finding.sets:
        what = f'{_text(_summary(finding))} (<a href="#{kind}">look at them</a>)'
    else:
        what = _text(finding.text) + _names(finding.ids)
    return f"<tr><td>{_badge(finding.severity, finding.severity)}</td><td>{kind}</td><td>{what}</td></tr>"


def _summary(finding: Finding) -> str:
    return finding.text.split(": ", 1)[0]


def _names(ids: list[str]) -> str:
    if len(ids) < 2:
        return ""
    more = f" and {len(ids) - IDS:,} more" if len(ids) > IDS else ""
    names = ", ".join(map(_text, ids[:IDS]))
    return f"<details><summary>{len(ids):,} samples</summary>{names}{more}</details>"


def _counts(report: CheckReport) -> str:
    if not report.rows:
        return ""
    head = "".join(f"<th>{_text(name)}</th>" for name in report.columns)
    rows = ("".join(f"<td>{_cell(value)}</td>" for value in row) for row in report.rows)
    return f"<h2>Images per class</h2>\n<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _cell(value: str | int | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else _text(value)


def _section(finding: Finding, root: Path, seen: set[tuple[str, ...]]) -> str:
    new = [members for members in finding.sets if tuple(member.id for member in members) not in seen]
    shown = new[:SETS]
    seen |= {tuple(member.id for member in members) for members in shown}
    remarks = []
    if above := len(finding.sets) - len(new):
        remarks.append(f"{above:,} of them: see above." if new else "See above.")
    if len(new) > SETS:
        remarks.append(f"The first {SETS} of {len(new):,} are shown; all are in medbench data check --json.")
    kind = _text(finding.kind)
    return (
        f'<h2 id="{kind}">{_badge(finding.severity, finding.severity)} {_text(_summary(finding))}</h2>\n'
        f'<p class="dim">{kind}. {_text(" ".join(remarks))}</p>\n'
        f'<div class="sets">{"".join(_set(members, root) for members in shown)}</div>'
    )


def _set(members: list[Member], root: Path) -> str:
    differ = len({member.label for member in members}) > 1
    grouped = any(member.group != member.id for member in members)
    splits = [name for name in SPLITS if any(member.split == name for member in members)]
    said = [f"{len(members)} images"]
    said += [f"the first {MEMBERS} shown"] if len(members) > MEMBERS else []
    said += ["labels disagree"] if differ else []
    said += [f"in {' and '.join(splits)}"] if len(splits) > 1 else []
    figures = "".join(_figure(member, root, differ, grouped) for member in members[:MEMBERS])
    return f'<div class="set"><h3>{", ".join(said)}</h3><div>{figures}</div></div>\n'


def _figure(member: Member, root: Path, differ: bool, grouped: bool) -> str:
    badges = _badge(member.label, "differs" if differ else "")
    badges += f" {_badge(member.split, member.split)}" if member.split else ""
    group = f'<br><span class="dim">group {_text(member.group)}</span>' if grouped else ""
    name = _text(member.id).replace("/", "/<wbr>").replace("_", "_<wbr>")
    return f"<figure>{_thumbnail(root / member.path)}<figcaption>{name}<br>{badges}{group}</figcaption></figure>\n"


def _thumbnail(path: Path) -> str:
    from medbench.data.images import decode
    from medbench.errors import MedbenchError

    try:
        image = decode.open_image(path, 3, THUMB)
    except MedbenchError:
        return '<div class="gone">cannot be read</div>'
    image.thumbnail((THUMB, THUMB))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=QUALITY)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}">'


def _foot() -> str:
    return (
        f'<p class="dim">Near duplicates are found on {SIDE} x {SIDE} grey pixels, by details that correlate by {ALIKE}'
        " or more. Images that differ in a small mark alone, or follow one another in a film, count as one: look before"
        " you take any out. Members of a set are joined by pairs.</p>"
    )
