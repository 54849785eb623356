"""What is wrong with image files: empty, unreadable, the same bytes twice, or nearly the same picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy.typing as npt

from medbench import progress
from medbench.cards.dataset import DatasetCard
from medbench.data import dataset
from medbench.errors import MedbenchError, few
from medbench.storage.files import open_regular

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning", "note"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first."""

SHOWN, SHOWN_MEMBERS = 4, 4  # sets, and images of one, that a text names


@dataclass(frozen=True)
class Member:
    """One image of a set that a finding is about.

    Attributes:
        id: The sample.
        path: Its file, below the data folder.
        label: Name of its class, or of its findings joined by `+`; `none` if it has none.
        split: Its split; empty if it is left out.
        group: Its patient or lesion; the id where none is known.
    """

    id: str
    path: str
    label: str
    split: str
    group: str

    def __str__(self) -> str:
        """Return its short name in a text."""
        return f"{self.id} [{self.label}{', ' + self.split if self.split else ''}]"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        kind: E.g. `missing`, `unreadable`, `doubt` (of own files), `duplicates`, `duplicate-labels`,
            `duplicates-across`, `near-duplicates`, `near-duplicate-labels`, `near-across`, `groups-across`,
            `absent-train`, `absent-val`, `absent-test`, `counts`, `labels`, `split`.
        severity: `error`: a run would fail or be wrong; `warning`: it would run, with a doubt; `note`: to know.
        text: What was found, for people.
        ids: The samples concerned; for pairs and groups, those of one after the other.
        sets: Of duplicates, the images that belong together.
    """

    kind: str
    severity: Severity
    text: str
    ids: list[str] = field(default_factory=list)
    sets: list[list[Member]] = field(default_factory=list)


def unreadable(
    card: DatasetCard, root: Path, samples: pd.DataFrame, decode: bool, known: dict[str, str] | None = None
) -> list[Finding]:
    """Find empty files and, if `decode`, those that cannot be read as images, with the reason.

    Args:
        card: The data set.
        root: Its folder.
        samples: The rows whose files are there.
        decode: Whether to decode the images.
        known: Sample id -> reason, where all have been decoded before.
    """
    paths, ids = samples["path"].tolist(), samples["id"].tolist()
    if known is None:
        faults = _looked_at(card, root, paths, decode)
    else:
        faults = [(at, known[name]) for at, name in enumerate(ids) if name in known]
    if not faults:
        return []
    text = f"{len(faults)} images cannot be read: " + few(f"{paths[at]} ({reason})" for at, reason in faults)
    return [Finding("unreadable", "error", text, [ids[at] for at, _ in faults])]


def _looked_at(card: DatasetCard, root: Path, paths: list[str], decode: bool) -> list[tuple[int, str]]:
    from joblib import cpu_count

    look = _decoder(card.channels) if decode else _size
    workers = min(8, cpu_count())
    faults: list[tuple[int, str]] = []
    with progress.bar(f"checking {card.name}", len(paths)) as advance, ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), 256):
            batch = [root / path for path in paths[start : start + 256]]
            for offset, reason in enumerate(pool.map(look, batch)):
                if reason:
                    faults.append((start + offset, reason))
            advance(len(batch))
    return faults


def _size(file: Path) -> str:
    try:
        with open_regular(file) as opened:
            return "" if opened.read(1) else "empty file"
    except OSError as error:
        return error.strerror or "cannot be read"


def _decoder(channels: Literal[1, 3]) -> Callable[[Path], str]:
    from medbench.data.images import decode
    from medbench.data.images.depth import MissingDecoderError, Unreadable

    def look(file: Path) -> str:
        if reason := _size(file):
            return reason
        try:
            decode.open_image(file, channels).close()
        except Unreadable as error:
            return error.reason
        except MissingDecoderError as error:
            return f"{error.what} needs a decoder: {error.hint}"
        except MedbenchError as error:
            return error.message
        return ""

    return look


def duplicates(card: DatasetCard, samples: pd.DataFrame, content: Sequence[str]) -> list[Finding]:
    """Find byte-identical images, those whose labels disagree, and those that are in two splits or groups.

    Args:
        card: The data set.
        samples: The rows whose files are there.
        content: Digest of each of these files.
    """
    sets, of = _alike(content), _Sets(card, samples, " = ")
    differ, apart = ([s for s in sets if test(s)] for test in (of.differ, of.apart))
    return [
        *of.finding("duplicates", "note", "sets of byte-identical images", sets),
        *of.finding("duplicate-labels", "warning", "sets of byte-identical images with different labels", differ),
        *duplicates_across(card, samples, content),
        *of.finding("duplicates-apart", "warning", "sets of byte-identical images in different groups", apart),
    ]


def duplicates_across(card: DatasetCard, samples: pd.DataFrame, content: Sequence[str]) -> list[Finding]:
    """Find byte-identical images that are in two splits; see `duplicates`."""
    if not (sets := _alike(content)):
        return []
    of = _Sets(card, samples, " = ")
    across = [positions for positions in sets if of.across(positions)]
    return of.finding("duplicates-across", "warning", "sets of byte-identical images in different splits", across)


def _alike(content: Sequence[str]) -> list[list[int]]:
    """Return the positions of each digest that is there more than once."""
    same: dict[str, list[int]] = defaultdict(list)
    for position, sha in enumerate(content):
        same[sha].append(position)
    return [positions for positions in same.values() if len(positions) > 1]


def near_duplicates(card: DatasetCard, samples: pd.DataFrame, clusters: Sequence[Sequence[int]]) -> list[Finding]:
    """Find what is doubtful about clusters of near duplicates: two splits, labels that disagree, or that they are.

    Labels that disagree within one known group (a patient's follow-up images) are to know, and no more.

    Args:
        card: The data set.
        samples: The rows whose files are there.
        clusters: Positions of images that belong together.
    """
    of = _Sets(card, samples, " ~ ")
    across = [c for c in clusters if of.across(c)]
    within = [c for c in clusters if not of.across(c)]
    differ = [c for c in clusters if of.differ(c)]
    doubtful = any(of.apart(c) or not of.grouped for c in differ)
    what, known = "sets of near-duplicate images", "" if doubtful else ", each in one group"
    labels = f"{what} with different labels{known}"
    return [
        *of.finding("near-duplicate-labels", "warning" if doubtful else "note", labels, differ),
        *of.finding("near-across", "warning", f"{what} in different splits", across),
        *of.finding("near-duplicates", "note", f"{what} within a split", within),
    ]


class _Sets:
    """Sets of positions in a samples table, and findings made of them."""

    def __init__(self, card: DatasetCard, samples: pd.DataFrame, sign: str) -> None:
        self.names, self.sign = card.class_names, sign
        self.targets: npt.NDArray[Any] = dataset.targets_of(samples, card)
        self.ids, self.paths, self.splits, self.groups = (
            samples[column].tolist() for column in ("id", "path", "split", "group")
        )
        self.grouped = self.groups != self.ids

    def differ(self, positions: Sequence[int]) -> bool:
        """Tell whether labels disagree."""
        return bool((self.targets[list(positions)] != self.targets[positions[0]]).any())

    def across(self, positions: Sequence[int]) -> bool:
        """Tell whether they are in two splits."""
        return len({self.splits[at] for at in positions} - {""}) > 1

    def apart(self, positions: Sequence[int]) -> bool:
        """Tell whether they are in two groups, if groups are known."""
        return self.grouped and len({self.groups[at] for at in positions}) > 1

    def finding(self, kind: str, severity: Severity, what: str, sets: Sequence[Sequence[int]]) -> list[Finding]:
        """Return the finding about these sets; none if there are none."""
        if not sets:
            return []
        members = [[self._member(at) for at in positions] for positions in sets]
        shown = "; ".join(map(self._text, members[:SHOWN]))
        more = f"; and {len(sets) - SHOWN} more" if len(sets) > SHOWN else ""
        ids = [member.id for positions in members for member in positions]
        one = what.replace("sets", "set", 1) if len(sets) == 1 else what
        return [Finding(kind, severity, f"{len(sets)} {one}: {shown}{more}", ids, members)]

    def _text(self, members: list[Member]) -> str:
        more = f" and {len(members) - SHOWN_MEMBERS} more" if len(members) > SHOWN_MEMBERS else ""
        return self.sign.join(map(str, members[:SHOWN_MEMBERS])) + more

    def _member(self, at: int) -> Member:
        target = self.targets[at]
        hot = [n for n, value in zip(self.names, target, strict=True) if value] if target.ndim else []
        label = "+".join(hot) if target.ndim else self.names[int(target)]
        return Member(self.ids[at], self.paths[at], label or "none", self.splits[at], self.groups[at])
