"""What is wrong with image files: empty, unreadable, or the same bytes twice."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medbench import hashes, progress
from medbench.cards.dataset import DatasetCard
from medbench.data import dataset
from medbench.errors import DataError, MedbenchError

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning", "note"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        kind: E.g. `missing`, `unreadable`, `duplicates`, `duplicate-labels`, `duplicates-across`, `groups-across`,
            `counts`, `labels`, `split`.
        severity: `error`: a run would fail or be wrong; `warning`: it would run, with a doubt; `note`: to know.
        text: What was found, for people.
        ids: The samples concerned; for pairs and groups, those of one after the other.
    """

    kind: str
    severity: Severity
    text: str
    ids: list[str] = field(default_factory=list)


def listed(names: Iterable[str], n: int = 3) -> str:
    """Return the first `n` names and how many more there are."""
    names = list(names)
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def unreadable(card: DatasetCard, root: Path, samples: pd.DataFrame, decode: bool) -> list[Finding]:
    """Find empty files and, if `decode`, those that cannot be read as images, with the reason."""
    paths, ids = samples["path"].tolist(), samples["id"].tolist()
    look = _decoder(card.channels) if decode else _size
    workers = min(8, os.cpu_count() or 1)
    faults: list[tuple[int, str]] = []
    with progress.bar(f"checking {card.name}", len(paths)) as advance, ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), 256):
            batch = [root / path for path in paths[start : start + 256]]
            for offset, reason in enumerate(pool.map(look, batch)):
                if reason:
                    faults.append((start + offset, reason))
            advance(len(batch))
    if not faults:
        return []
    text = f"{len(faults)} images cannot be read: " + listed(f"{paths[at]} ({reason})" for at, reason in faults)
    return [Finding("unreadable", "error", text, [ids[at] for at, _ in faults])]


def _size(file: Path) -> str:
    try:
        return "" if file.stat().st_size else "empty file"
    except OSError as error:
        return error.strerror or "cannot be read"


def _decoder(channels: Literal[1, 3]) -> Callable[[Path], str]:
    from medbench.data import decode

    def look(file: Path) -> str:
        if reason := _size(file):
            return reason
        try:
            decode.open_image(file, channels).close()
        except decode.Unreadable as error:
            return error.reason
        except MedbenchError as error:
            return error.message
        return ""

    return look


def duplicates(card: DatasetCard, root: Path, samples: pd.DataFrame) -> list[Finding]:
    """Find byte-identical images, those whose labels disagree, and those that stand in two splits."""
    try:
        content = hashes.file_digests([root / path for path in samples["path"]], f"hashing {card.name}")
    except DataError as error:
        return [Finding("unreadable", "error", str(error))]
    same: dict[str, list[int]] = defaultdict(list)
    for position, sha in enumerate(content):
        same[sha].append(position)
    sets = [positions for positions in same.values() if len(positions) > 1]
    if not sets:
        return []
    targets = dataset.targets_of(samples, card)
    assigned, ids, groups = (samples[name].tolist() for name in ("split", "id", "group"))
    differ = [s for s in sets if any(not np.array_equal(targets[s[0]], targets[other]) for other in s[1:])]
    across = [s for s in sets if len({assigned[at] for at in s} - {""}) > 1]
    apart = [s for s in sets if len({groups[at] for at in s}) > 1]

    def finding(kind: str, severity: Severity, what: str, found: list[list[int]]) -> Finding:
        names = [" = ".join(_labelled(card, targets, assigned, ids, at) for at in s) for s in found]
        shown = "; ".join(names[:8]) + (f"; and {len(names) - 8} more" if len(names) > 8 else "")
        return Finding(kind, severity, f"{len(found)} {what}: {shown}", [ids[at] for s in found for at in s])

    findings = [finding("duplicates", "note", "sets of byte-identical images", sets)]
    if differ:
        findings.append(
            finding("duplicate-labels", "warning", "sets of byte-identical images whose labels disagree", differ)
        )
    if across:
        findings.append(finding("duplicates-across", "warning", "sets of byte-identical images in two splits", across))
    if apart and any(g != i for g, i in zip(groups, ids, strict=True)):
        findings.append(finding("duplicates-apart", "warning", "sets of byte-identical images in two groups", apart))
    return findings


def _labelled(
    card: DatasetCard,
    targets: Any,
    assigned: list[str],
    ids: list[str],
    at: int,
) -> str:
    names = card.class_names
    target = targets[at]
    label = names[int(target)] if target.ndim == 0 else "+".join(n for n, hot in zip(names, target, strict=True) if hot)
    return f"{ids[at]} [{label or 'none'}{', ' + assigned[at] if assigned[at] else ''}]"
