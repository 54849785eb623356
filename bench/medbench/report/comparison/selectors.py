"""What a comparison compares: its two sides, as people type them, and the groups that stand against each other."""

from __future__ import annotations

import fnmatch
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medbench.errors import MedbenchError, unknown
from medbench.records.groups import Group, natural, pick, plain, rank_of
from medbench.records.store import Place

LONGEST = 3  # parts of a library's model: open_clip/ARCH/TAG
WHERE = "Run so far: medbench ls runs"


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        model: The model.
        protocol: The protocol; None: that of the other side, or all that both have.
        settings: Presets and `key=value` options that its records must have.
    """

    model: str
    protocol: str | None = None
    settings: tuple[str, ...] = ()


def parse(text: str, ran: Iterable[Place]) -> Side:
    """Return the side that `MODEL[/PROTOCOL[/SETTINGS]]` names; models of libraries may be spelt with slashes.

    Raises:
        CardError: The model, or the protocol with this model, has not been run.
    """
    ran = list(ran)
    models = {model for _, model, _ in ran}
    parts = [part.strip() for part in text.split("/")]
    lengths = [k for k in range(min(LONGEST, len(parts)), 0, -1) if "--".join(parts[:k]) in models]
    if not lengths:
        raise unknown("model", parts[0], models, WHERE)
    model, rest = "--".join(parts[: lengths[0]]), parts[lengths[0] :]
    settings = re.split(r"[,;](?![^\[{]*[\]}])", "/".join(rest[1:]))
    side = Side(model, rest[0] or None if rest else None, tuple(filter(None, (word.strip() for word in settings))))
    if side.protocol is not None:
        _known(side.protocol, side, ran)
    return side


def protocols(a: Side, b: Side, ran: Sequence[Place]) -> list[tuple[str, str]]:
    """Return the protocols to compare, of A and of B: those named, or all that both models were run with.

    Raises:
        MedbenchError: A protocol has not been run with a model, or there is none that both have.
    """
    one, two = a.protocol or b.protocol, b.protocol or a.protocol
    if one is not None and two is not None:
        _known(one, a, ran)
        _known(two, b, ran)
        return [(one, two)]
    has = [{protocol for _, model, protocol in ran if model == side.model} for side in (a, b)]
    if not (both := sorted(has[0] & has[1])):
        raise MedbenchError(
            f"{a.model} and {b.model} have no protocol in common",
            f"{a.model}: {', '.join(sorted(has[0]))}; {b.model}: {', '.join(sorted(has[1]))}. Name a protocol for each",
        )
    return [(protocol, protocol) for protocol in both]


def _known(protocol: str, side: Side, ran: Iterable[Place]) -> None:
    known = {name for _, model, name in ran if model == side.model}
    if protocol not in known:
        raise unknown(f"protocol of {side.model}", protocol, known, WHERE)


def datasets(words: str | None, ran: Iterable[Place]) -> list[str]:
    """Return the data sets that a comma list of names and globs means, of those something was run on; None: all.

    Raises:
        CardError: A word means none of them.
        MedbenchError: There is no word.
    """
    known = sorted({dataset for dataset, _, _ in ran})
    if words is not None and not words.strip(", "):
        raise MedbenchError(f"--dataset '{words}' matches no data set", WHERE)
    found: list[str] = []
    for word in known if words is None else filter(None, (word.strip() for word in words.split(","))):
        name = word.replace("/", "--")
        matches = [name] if name in known else fnmatch.filter(known, name)
        if not matches:
            raise unknown("data set", word, known, WHERE)
        found += matches
    return list(dict.fromkeys(found))


def meant(groups: Iterable[Group], side: Side, protocol: str) -> list[Group]:
    """Return the groups of a side, whatever its settings."""
    return [g for g in groups if (g.first.unit.model, g.first.unit.protocol) == (side.model, protocol)]


def having(groups: Iterable[Group], settings: Iterable[str]) -> list[Group]:
    """Return the groups that have all of some settings: those that change nothing else, if there are any.

    Results on another data set are included only if the settings name it (`test_on=NAME`).
    """
    wanted = {_spelt(word) for word in settings}
    elsewhere = any(word.startswith("test_on=") for word in wanted)
    found = [g for g in groups if wanted <= _settings(g) and elsewhere == (g.first.test_on is not None)]
    exact = [group for group in found if _settings(group) - wanted <= {group.first.unit.preset}]
    return exact if wanted and exact else found


def check_settings(groups: Sequence[Group], side: Side) -> None:
    """Refuse settings that none of a side's groups has, where it has any.

    Raises:
        MedbenchError: There is no group with all of them; of a word that no group has, the near ones are told.
    """
    if not side.settings or not groups or having(groups, side.settings):
        return
    known = {word for group in groups for word in _settings(group)}
    for word in side.settings:
        if _spelt(word) not in known:
            raise unknown(f"setting of {side.model}", word, known, "A preset, or KEY=VALUE as tables show it")
    shown = " | ".join(dict.fromkeys(group.settings for group in groups))
    raise MedbenchError(f"no run of {side.model} has all of {', '.join(side.settings)}", f"run so far: {shown}")


def _settings(group: Group) -> set[str]:
    unit = group.first.unit
    return {unit.preset, *(f"{key}={plain(value)}" for key, value in unit.options.items())}


def _spelt(word: str) -> str:
    """Return a setting as records have it: `learning_rates=[1e-3]` is `learning_rates=[0.001]`."""
    key, equals, text = word.partition("=")
    try:
        return f"{key.strip()}={plain(json.loads(text))}" if equals else word
    except ValueError:
        return f"{key.strip()}={text.strip()}"


def pairs(a: Sequence[Group], b: Sequence[Group]) -> tuple[list[tuple[Group, Group]], list[str]]:
    """Return the groups of one data set that stand against each other, and what to say of the others.

    Groups of the same preset and options are paired. Where a side has no such group, the one with most seeds, then the
    newest, stands for it. What was tested on the other side's images comes before what was not, and real weights before
    random ones. A group never stands against itself: where one side has all that the other has and more, it is what it
    has more that is compared.
    """
    both = {group.place for group in a} & {group.place for group in b}
    left, right = ([g for g in side if g.place not in both] or list(side) for side in (a, b))
    left, right = _comparable(left, right), _comparable(right, left)
    (one, said), (two, more) = _by_settings(left), _by_settings(right)
    notes = [*said, *more]
    shared = sorted((settings for settings in one if settings in two), key=natural)
    if shared:
        for name, mine, lacks, other in (("A", one, "B", two), ("B", two, "A", one)):
            if rest := [settings for settings in mine if settings not in other]:
                notes.append(f"{name} was also run under {' | '.join(rest)}, but {lacks} was not")
        found = [(one[s], two[s]) for s in shared]
        return [(x, y) for x, y in found if x.place != y.place], notes
    pair = max(
        itertools.product(one.values(), two.values()),
        key=lambda both: (both[0].tested == both[1].tested, rank_of(both[0]), rank_of(both[1])),
    )
    for name, mine, chosen in (("A", one, pair[0].settings), ("B", two, pair[1].settings)):
        if len(mine) > 1:
            notes.append(
                f"{name} was run under {' | '.join(mine)}, and the other under none of these; shown is the one with "
                f"most seeds, then the newest: {chosen}"
            )
    return [pair], notes


def _comparable(groups: Sequence[Group], others: Sequence[Group]) -> list[Group]:
    """Return the groups without those that give way: another of the same row was tested on the other side's images.

    Where both sides were run on two data sets of one name, the one with most seeds, then the newest, is compared.
    """
    tested = {group.tested for group in others}
    better = {group.label[:-1] for group in groups if group.tested in tested}
    kept = [group for group in groups if group.tested in tested or group.label[:-1] not in better]
    shared = {group.content for group in groups} & {group.content for group in others}
    best = max((g for g in (*groups, *others) if g.content in shared), key=rank_of, default=None)
    return [group for group in kept if best is None or group.content == best.content]


def _by_settings(groups: Sequence[Group]) -> tuple[Mapping[str, Group], list[str]]:
    """Return one group per preset and options, and notes on those left aside."""
    kept, notes = pick(groups)
    found: dict[str, list[Group]] = {}
    for group in kept:
        found.setdefault(group.settings, []).append(group)
    chosen: dict[str, Group] = {}
    for settings, same in found.items():
        real = [group for group in same if group.first.unit.weights != "random"] or same
        chosen[settings] = max(real, key=rank_of)
        if len({group.weights for group in real}) > 1:
            unit = chosen[settings].first.unit
            weights = ", ".join(group.weights for group in real)
            notes.append(
                f"{unit.model} · {unit.protocol} ({settings}) was run with weights {weights}; shown: "
                f"{chosen[settings].weights}"
            )
    return chosen, notes
