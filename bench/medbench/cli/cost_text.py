"""What a plan costs, as text and for scripts: forwards, time, disk, and what must be downloaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medbench.errors import few

if TYPE_CHECKING:
    from medbench.runs.estimate import Estimate
    from medbench.runs.planning.absent import Absent
    from medbench.runs.planning.downloads import Download
    from medbench.runs.planning.work import Disk


def cost_lines(cost: Estimate) -> Iterator[str]:
    """Yield what the plan costs and how that was estimated."""
    yield f"at most {cost.forwards:,} forward passes of images (fewer if features are cached)"
    if cost.hours is not None:
        yield f"time: about {_hours(cost.hours)}, from images/s measured on {cost.device}: {'; '.join(cost.basis)}"
        if cost.unknown:
            yield f"  not included, because not measured on this device yet: {'; '.join(cost.unknown)}"
    elif cost.unknown:
        yield "time: unknown, because nothing like it has run on this device yet"
        yield "  to measure each model and image size for a few seconds with random images: add --calibrate"
    yield from _disk_lines(cost.disk)


def absent_lines(later: Absent | None) -> Iterator[str]:
    """Yield what the cells will cost whose data or weights are not here, and what to download for them."""
    if later is None:
        return
    yield from ("", "as soon as data and weights are available:")
    yield f"  {later.units:,} units"
    yield from (f"  {line}" for line in cost_lines(later.cost))
    if later.unsized:
        yield f"  not included, because their cards do not state the number of images: {', '.join(later.unsized)}"
    weights = [one for one in later.downloads if not one.is_data]
    data = [one for one in later.downloads if one.is_data]
    for what, files in (("weights file", weights), ("data set", data)):
        if files:
            yield from ("", f"to download: {len(files)} {what}{'s' * (len(files) > 1)}, {_sum(files)}")
            yield from (f"  {line}" for line in _listed(files))


def cost_data(cost: Estimate | None, later: Absent | None) -> dict[str, Any]:
    """Return the cost for scripts: `estimate` of what can be run now, `waiting` of what lacks data or weights."""
    return {
        "estimate": None if cost is None else _estimate_data(cost),
        "waiting": None if later is None else _absent_data(later),
    }


def _estimate_data(cost: Estimate) -> dict[str, Any]:
    disk = cost.disk
    return {
        "forwards": cost.forwards,
        "hours": cost.hours,
        "device": cost.device,
        "measured": list(cost.basis),
        "not_measured": list(cost.unknown),
        "disk": {
            "images": disk.images,
            "features": disk.features,
            "predictions": disk.predictions,
            "weights": disk.weights,
            "tokens_at_most": disk.tokens,
            "not_counted": list(disk.unknown),
        },
    }


def _absent_data(later: Absent) -> dict[str, Any]:
    downloads = [
        {"what": one.what, "bytes": one.size, "exact": one.exact, "from": one.source, "access": one.access}
        for one in later.downloads
    ]
    more = {"downloads": downloads, "data_sets_not_counted": list(later.unsized)}
    return {"units": later.units, **_estimate_data(later.cost), **more}


def _disk_lines(disk: Disk) -> Iterator[str]:
    """Yield what stays on disk; nothing where nothing does."""
    parts = {
        "prepared images": disk.images,
        "features": disk.features,
        "predictions": disk.predictions,
        "weights": disk.weights,
    }
    if disk.kept:
        yield f"disk: about {_size(disk.kept)}: {', '.join(f'{what} {_size(n)}' for what, n in parts.items() if n)}"
        if disk.tokens:
            limit = f"{disk.tokens / 2**30:g} GiB (cache_gb)"
            yield f"  not included: patch tokens, at most {limit} for a job, removed at the end"
        if disk.unknown:
            yield f"  not included, because their cards do not state the sizes: {', '.join(disk.unknown)}"


def _sum(files: Sequence[Download]) -> str:
    """Return the size of downloads, and how well it is known."""
    told, guessed = ([one for one in files if one.size is not None and one.exact is exact] for exact in (True, False))
    lacking = len(files) - len(told) - len(guessed)
    if lacking == len(files):
        return "sizes unknown"
    size = f"about {_size(_total(files))}" if guessed or lacking else _size(_total(told))
    notes = [f"sizes of {len(guessed)} estimated from their parameter counts"] * bool(guessed)
    notes += [f"{lacking} of unknown size not included"] * bool(lacking)
    return "; ".join([size, *notes])


def _total(files: Sequence[Download]) -> int:
    return sum(one.size or 0 for one in files)


def _listed(files: Sequence[Download]) -> Iterator[str]:
    """Yield what each file is and where it is; those of one place of unknown size share a line."""
    alike: dict[str, list[str]] = {}
    for one in files:
        if one.size is None:
            alike.setdefault(f"size unknown, from {_place(one)}", []).append(one.what)
        else:
            yield f"{one.what}: {'' if one.exact else 'about '}{_size(one.size)}, from {_place(one)}"
    for text, names in alike.items():
        yield f"{few(names)}: {text}"


def _place(one: Download) -> str:
    return (one.source or "the source that its card names") + ("" if one.access == "open" else f" ({one.access})")


def _size(number: int) -> str:
    """Return bytes in the largest fitting unit."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= scale:
            return f"{number / scale:,.1f} {unit}"
    return f"{number / 1e3:,.0f} kB"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{max(1, round(60 * hours))} min"
