"""Groups of records: one group has the records of all seeds of one row of a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medbench import stats
from medbench.records import Record
from medbench.storage import files

TESTED = ("test_on", "test_part", "closed", "corrupt")
"""Options that say which other test set was used, and how; they do not change the training."""
DIGEST = re.compile(r"[0-9a-f]{64}")
SEEN_MARK = "‡"
SEEN = f"{SEEN_MARK} contamination: the model was pre-trained on images of this data set"

LEAK, LACK, ABSENT = "leak: ", "missing class: ", "absent class: "
"""How the warnings begin that are about the split: what its parts share, what training lacks, what val or test lack."""
FLAW_MARK = "¶"
FLAW = (
    f"{FLAW_MARK} error in the split: a group or identical images in different splits, or no training image of a class"
)


Summary = tuple[float | None, float | None, int]
"""Mean, sample standard deviation and number of the seeds for which a metric is defined."""

GroupKey = tuple[str, str, str, str]
"""Data set, model, protocol and digest of a group."""

Tested = tuple[str, str, int, str]
"""What groups of records must share so that their results compare."""


@dataclass(frozen=True)
class Group:
    """Records that differ only in their seed, sorted by seed."""

    records: tuple[Record, ...]

    @cached_property
    def first(self) -> Record:
        """The first record; use it for what all records share."""
        return self.records[0]

    @cached_property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.records)

    @property
    def seeds(self) -> list[int]:
        """The seeds, ascending."""
        return [record.unit.seed for record in self.records]

    @cached_property
    def place(self) -> GroupKey:
        """What distinguishes it from all other groups; two cards can describe the same network and file."""
        return place_of(self.first)

    @cached_property
    def weights(self) -> str:
        """`official`, `random`, or `file` with the start of its digest, so that two files make two rows."""
        unit = self.first.unit
        if unit.weights != "file":
            return unit.weights
        digests = (v for path, v in leaves(self.first.material) if "weights" in path and DIGEST.fullmatch(str(v)))
        return f"file {next(digests, '')[:8]}".rstrip()

    @cached_property
    def label(self) -> tuple[str, ...]:
        """What distinguishes rows: model, protocol, data set, preset, options, weights, content of the data."""
        unit = self.first.unit
        return (unit.model, unit.protocol, unit.dataset, unit.preset, self.options, self.weights, self.content)

    @cached_property
    def content(self) -> str:
        """What identifies the data: the digest of ids, pixels, targets and patients; the task; the classes."""
        card = self.first.material.get("dataset")
        about = [card.get("task"), card.get("classes")] if isinstance(card, Mapping) else []
        return files.canonical([self.first.material.get("data"), *about])

    @property
    def data(self) -> str:
        """The content of the data as people tell it apart: the beginning of the digest."""
        return str(self.first.material.get("data") or "unknown")[:8]

    @cached_property
    def drawn(self) -> Tested:
        """The content of the data, the split, the number of test images, and the split's digest, or template."""
        record = self.first
        images = record.n["test"].images if "test" in record.n else 0
        rows = [record.material.get("split", "")]
        if (elsewhere := record.material.get("test_on")) is not None:
            rows.append(elsewhere)
        return self.content, str(self.split), images, str(rows[0]) if len(rows) == 1 else files.canonical(rows)

    @property
    def tested(self) -> Tested:
        """As `drawn`, for the test images alone, if the records have their digest: few shots share them."""
        content, split, images, template = self.drawn
        found = [str(record.provenance.get("data", {}).get("test_digest", "")) for record in self.records]
        if not all(found):
            return content, split, images, template
        return content, found[0], images, template if len(set(found)) > 1 else ""

    @property
    def options(self) -> str:
        """The changed options, as `key=value` pairs."""
        return spelt(self.first.unit.options)

    @property
    def settings(self) -> str:
        """The preset and the changed options."""
        return "; ".join(filter(None, (self.first.unit.preset, self.options)))

    @cached_property
    def shots(self) -> int | str | None:
        """Training samples of each class: a number, 0 (texts alone) or `all`; None: the protocol has no shots."""
        unit, protocol = self.first.unit, self.first.material.get("protocol", {})
        shots: int | str | None = unit.options.get("shots")
        return 0 if shots is None and protocol.get("kind", unit.protocol) == "zero-shot" else shots

    @property
    def with_shots(self) -> str:
        """` with 5 shots`, as titles say it; empty for what did not learn from shots."""
        return f" with {self.shots} shot{'s' * (self.shots != 1)}" if self.shots else ""

    @property
    def split(self) -> str | None:
        """The name of the data split, if the records have it."""
        split = self.first.provenance.get("data", {}).get("split")
        return None if split is None else str(split)

    @property
    def newest(self) -> float:
        """When its last record was written, in seconds since the epoch; 0 for records that were not read from disk."""
        found = [r.path / "record.json" for r in self.records if r.path is not None]
        return max((path.stat().st_mtime for path in found if path.exists()), default=0.0)

    @property
    def contaminated(self) -> bool:
        """Whether it is known that the model's pre-training has seen the data set."""
        return any(text.startswith("contamination:") for text in self.first.warnings)

    @property
    def flawed(self) -> bool:
        """Whether groups or identical images are in different splits, or train lacks a class."""
        return any(text.startswith((LEAK, LACK)) for record in self.records for text in record.warnings)

    def summary(self, metric: str) -> Summary:
        """Return (mean, sample standard deviation, n) of a metric on the test split."""
        return stats.summary(record.metrics.get(metric) for record in self.records)

    def warnings(self) -> list[str]:
        """Return the records' warnings and origins, each once; a warning of only some seeds says how many."""
        counted: dict[str, int] = {}
        for record in self.records:
            taken = [f"results from {record.origin}"] if record.origin else []
            for text in dict.fromkeys([*taken, *record.warnings]):
                counted[text] = counted.get(text, 0) + 1
        return [text if k == self.n else f"{text} ({k} of {self.n} seeds)" for text, k in counted.items()]

    @property
    def spread(self) -> str:
        """The lowest and the highest primary metric over the sets of texts that were tried; empty: there is one set."""
        if not self.first.spread:
            return ""
        own = str(self.first.chosen.get("prompts", "these"))
        sets = {own: self.summary(self.first.metric)[0]}
        sets |= {
            name: stats.summary(record.spread.get(name) for record in self.records)[0] for name in self.first.spread
        }
        known = {name: value for name, value in sets.items() if value is not None}
        if len(known) < 2:
            return ""
        least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        return f"{known[least]:.3f} ({least}) to {known[most]:.3f} ({most}) over {len(known)} sets of texts"

    def left_out(self) -> list[str]:
        """Return one line per set of classes that metrics leave out because the test split has none of them."""
        metrics: dict[tuple[str, ...], list[str]] = {}
        for name, classes in self.first.absent.items():
            metrics.setdefault(tuple(classes), []).append(name)
        return [
            f"{', '.join(names)} computed without {', '.join(c)} (absent from test)" for c, names in metrics.items()
        ]


def place_of(record: Record) -> GroupKey:
    """Return what the records of one group share, and those of no other group."""
    return record.unit.dataset, record.unit.model, record.unit.protocol, record.group


def natural(text: str) -> list[tuple[bool, int | str]]:
    """Return a sort key for texts: numbers in them are compared by value."""
    return [(not part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", text.lower())]


def collect(records: Iterable[Record]) -> list[Group]:
    """Return the groups of records, sorted by label and digest."""
    found: dict[GroupKey, list[Record]] = {}
    for record in records:
        found.setdefault(place_of(record), []).append(record)
    groups = [Group(tuple(sorted(members, key=lambda r: (r.unit.seed, r.key)))) for members in found.values()]
    return sorted(groups, key=lambda g: (g.label, g.first.group))


def summaries(groups: Sequence[Group], metrics: Sequence[str]) -> list[list[Summary]]:
    """Return the `summary` of each metric for each group: the same numbers as one call for each, computed at once."""
    import numpy as np

    found: list[list[Summary]] = [[] for _ in groups]
    for n in {group.n for group in groups}:
        places = [i for i, group in enumerate(groups) if group.n == n]
        rows = [[list(map(record.metrics.get, metrics)) for record in groups[i].records] for i in places]
        values = np.ascontiguousarray(np.array(rows, np.float64).swapaxes(1, 2))  # groups, metrics, seeds
        means = values.mean(axis=2).tolist()
        deviations = values.std(axis=2, ddof=1).tolist() if n > 1 else [[None] * len(metrics)] * len(places)
        undefined = np.isnan(values).sum(axis=2).tolist()
        for k, i in enumerate(places):
            numbers = zip(metrics, means[k], deviations[k], undefined[k], strict=True)
            found[i] = [groups[i].summary(name) if none else (mean, std, n) for name, mean, std, none in numbers]
    return found


def shared_tests(groups: Sequence[Group]) -> list[Tested]:
    """Return a key for each group; groups with equal keys have the same test images, so their results compare.

    Records of earlier versions have no digest of their test images; they take that of other records of the same split.
    """
    known = {group.drawn: group.tested for group in groups if group.tested != group.drawn}
    return [known.get(group.drawn, group.drawn) for group in groups]


def pick(groups: Iterable[Group]) -> tuple[list[Group], list[str]]:
    """Keep one group per label: the one with most seeds, then the newest.

    Returns:
        The kept groups, in order, and one note for each label with further groups, which names the fields of the key
        in which they differ.
    """
    labels: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        labels.setdefault(group.label, []).append(group)
    kept, notes = [], []
    for same in labels.values():
        best = same[0] if len(same) == 1 else max(same, key=rank_of)
        kept.append(best)
        if others := [group for group in same if group is not best]:
            fields = sorted({f for other in others for f in differing(best.first.material, other.first.material)})
            notes.append(
                f"{title(best)}: {len(others)} more with the same label but other {', '.join(fields) or 'keys'}; "
                f"shown is the one with most seeds ({best.n}), then the newest (group {best.first.group[:12]})"
            )
    return kept, notes


def rank_of(group: Group) -> tuple[int, float, str]:
    """Return the sort key for groups of one label: number of seeds, then time, then digest."""
    return group.n, group.newest, group.first.group


def title(group: Group) -> str:
    """Return a group's name for notes: model · protocol (settings)."""
    unit = group.first.unit
    return f"{unit.model} · {unit.protocol} ({group.settings})"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) for each leaf of nested mappings; a list is a leaf."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return the paths at which two materials differ, except the seed."""
    one, two = dict(leaves(a)), dict(leaves(b))
    return sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k) and k.split(".")[-1] != "seed")


def spelt(options: Mapping[str, Any]) -> str:
    """Return changed options as `key=value` pairs, sorted by their names."""
    return ", ".join(f"{key}={plain(options[key])}" for key in sorted(options))


def plain(value: Any) -> str:
    """Return a setting's value as users type it: a string unchanged, anything else as canonical JSON."""
    return value if isinstance(value, str) else files.canonical(value)
