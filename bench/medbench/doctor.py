"""Check whether this machine is ready, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from medbench.errors import MedbenchError, unknown

LIBRARIES = ("torchvision", "timm", "numpy", "pandas", "scikit-learn", "scipy", "pillow", "pyarrow", "huggingface_hub")

TIGHT_GB = 5.0  # with less free space, prepared images or weights may not fit
NAMED = 3  # so many names stand in one line
HELD = 3
"""Exit status of `TRY` if the lock was held."""
TRY = f"""
import sys, filelock
try:
    filelock.FileLock(sys.argv[1]).acquire(timeout=0)
except filelock.Timeout:
    sys.exit({HELD})
"""


@dataclass(frozen=True)
class Diagnosis:
    """One result: what was checked, its state, and what was found (or what to do)."""

    what: str
    state: Literal["ok", "note", "wrong"]
    detail: str


def examine(part: str | None = None) -> Iterator[Diagnosis]:
    """Check this machine and yield the results. This imports torch; it downloads nothing and leaves no file.

    Args:
        part: None: a line or two for each part, first what is wrong, then what decides what can be run. One of
            `PARTS`: all about it, such as each model's weights.

    Raises:
        CardError: There is no such part.
    """
    if part is not None:
        if part not in PARTS:
            raise unknown("part", part, PARTS, f"Parts: {', '.join(PARTS)}")
        yield from PARTS[part]()
        return
    rows = [*_gpu_in_short(list(_torch())), *_data_folder(), _summary("data", _data_sets(), "there")]
    rows += [_summary("models", _models(), "with their weights"), next(_hub()), *_disk()]
    rows += [*_python(), _summary("libraries", _libraries(), "installed")]
    yield from sorted(rows, key=lambda row: row.state != "wrong")


def _summary(part: str, found: Iterable[Diagnosis], there: str) -> Diagnosis:
    """Return one line for a part: how many of its lines are ok, and which are wrong."""
    rows = list(found)
    wrong = [row.what.rpartition(" ")[2] for row in rows if row.state == "wrong"]
    ready = sum(row.state == "ok" for row in rows)
    text = f"{ready} of {len(rows)} {there}"
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        text += f"; wrong: {', '.join(wrong[:NAMED])}{more}"
    state: Literal["ok", "note", "wrong"] = "wrong" if wrong else "ok" if ready else "note"
    return Diagnosis(part, state, f"{text}; list: medbench doctor {part}")


def _gpu_in_short(rows: list[Diagnosis]) -> Iterator[Diagnosis]:
    """Yield the lines about torch, with all GPUs in the first."""
    devices = [row for row in rows if row.what.startswith("cuda:")]
    if devices:
        others = f" and {len(devices) - 1} more; list: medbench doctor gpu" if len(devices) > 1 else ""
        yield Diagnosis("gpu", "ok", devices[0].detail + others)
    yield from (row for row in rows if row not in devices)


def _python() -> Iterator[Diagnosis]:
    from medbench import __version__

    yield Diagnosis("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Diagnosis("medbench", "ok", __version__)


def _libraries() -> Iterator[Diagnosis]:
    for name in LIBRARIES:
        try:
            yield Diagnosis(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Diagnosis(name, "wrong", f"not installed; pip install {name}")


def _torch() -> Iterator[Diagnosis]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of CUDA does not load
        yield Diagnosis("torch", "wrong", f"cannot be imported: {error}")
        return
    if not torch.cuda.is_available():
        yield Diagnosis("gpu", "note", "no CUDA device: runs use the CPU")
    for i in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(i)
        yield Diagnosis(f"cuda:{i}", "ok", f"{device.name}, {device.total_memory / 2**30:.0f} GB")
    threads = torch.get_num_threads()
    yield Diagnosis("torch", "ok", f"{torch.__version__}, {threads} thread{'s' * (threads > 1)}")
    try:
        import torchvision  # noqa: F401 - a build for CUDA does not load beside a torch for the CPU
    except (ImportError, OSError, RuntimeError) as error:
        text = f"{str(error).splitlines()[0]}; install torch and torchvision together, from one index"
        yield Diagnosis("torchvision", "wrong", text)


def _disk() -> Iterator[Diagnosis]:
    from medbench.storage import paths

    for what, place, variable in (
        ("cache", paths.home(), "MEDBENCH_HOME"),
        ("run store", paths.runs_dir().absolute(), "MEDBENCH_RUNS"),
    ):
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(there).free / 1e9
        if not there.is_dir() or not os.access(there, os.W_OK):
            yield Diagnosis(what, "wrong", f"cannot write to {place}; set {variable} to another folder")
        elif free < TIGHT_GB:
            yield Diagnosis(what, "note", f"only {free:.1f} GB free in {place}; set {variable} to use another folder")
        else:
            yield Diagnosis(what, "ok", f"{free:,.0f} GB free in {place}")
        if there.is_dir() and os.access(there, os.W_OK):
            yield _locks(f"{what} locks", there, variable)


def _locks(what: str, place: Path, variable: str) -> Diagnosis:
    """Check whether a second process is kept out by a lock in a folder, and name the folder's file system."""
    from medbench.storage.locks import exclusive

    system = _file_system(place)
    with tempfile.TemporaryDirectory(prefix=".medbench-", dir=place) as folder:
        lock = Path(folder) / "lock"
        try:
            with exclusive(lock, ""):
                is_marker = bool(lock.read_text(encoding="utf-8"))
                words = [sys.executable, "-W", "ignore", "-c", TRY, str(lock)]
                excluded = subprocess.run(words, capture_output=True).returncode == HELD  # noqa: S603 - our own words
        except MedbenchError:
            return Diagnosis(what, "wrong", f"{system} cannot lock files; set {variable} to a folder elsewhere")
    if not excluded:
        return Diagnosis(
            what,
            "note",
            f"{system}: file locks have no effect; processes may do the same work twice, with equal results",
        )
    if is_marker:
        return Diagnosis(
            what, "note", f"{system} has no file locks; lock files are used instead, and remain if a machine crashes"
        )
    return Diagnosis(what, "ok", f"{system}: file locks work between processes of this machine")


def _file_system(place: Path) -> str:
    """Return the type of the file system that holds a folder, such as `ext4` or `nfs4`."""
    import psutil

    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    return next((mounts[folder] for folder in (place.resolve(), *place.resolve().parents) if folder in mounts), "?")


def _hub() -> Iterator[Diagnosis]:
    """Yield what decides whether weights can be downloaded (the first line), then from where and to where."""
    try:
        from huggingface_hub import constants, get_token
    except ImportError as error:
        yield Diagnosis("hub", "wrong", f"huggingface_hub cannot be imported: {error}")
        return
    if constants.HF_HUB_OFFLINE:
        yield Diagnosis("hub", "note", "offline (HF_HUB_OFFLINE is set): nothing is downloaded")
    elif get_token():
        yield Diagnosis("hub", "ok", "a token is set: gated weights that you have access to can be downloaded")
    else:
        yield Diagnosis("hub", "note", "no token: open weights only; for gated ones: hf auth login")
    yield Diagnosis("hub address", "ok", f"{constants.ENDPOINT}; set HF_ENDPOINT to use a mirror")
    yield Diagnosis("hub cache", "ok", f"{constants.HF_HUB_CACHE}; set HF_HUB_CACHE to move it")
    for name in ("HTTPS_PROXY", "https_proxy"):
        if os.environ.get(name):
            yield Diagnosis(f"hub {name}", "ok", "set: downloads go through this proxy")


def _data() -> Iterator[Diagnosis]:
    yield from _data_folder()
    yield from _data_sets()


def _data_folder() -> Iterator[Diagnosis]:
    base = os.environ.get("MEDBENCH_DATA")
    if base is None:
        yield Diagnosis("data folder", "note", "MEDBENCH_DATA is not set: set it, or pass --data-root")
    elif not Path(base).expanduser().is_dir():
        yield Diagnosis("data folder", "wrong", f"MEDBENCH_DATA is {base}, but there is no such folder")


def _data_sets() -> Iterator[Diagnosis]:
    from medbench.cards.find import load_all
    from medbench.errors import CardError
    from medbench.storage import paths

    for name, card in load_all("datasets"):
        root = paths.data_root(name)
        if isinstance(card, CardError):
            yield Diagnosis(f"data {name}", "wrong", card.message)
        elif card.toy:
            yield Diagnosis(f"data {name}", "ok", "generated by medbench when needed")
        elif root and root.is_dir():
            yield Diagnosis(f"data {name}", "ok", f"{root}; check it: medbench data check {name}")
        else:
            looked = f"not in {root}; " if root else ""
            yield Diagnosis(f"data {name}", "note", f"{looked}how to get it: medbench data download {name}")


def _models() -> Iterator[Diagnosis]:
    """Check that each model's file is there. Its digest is not computed: that would read gigabytes."""
    from medbench.cards.find import load_all
    from medbench.errors import CardError
    from medbench.models.weights.locate import held, own_file, place, weights_folder

    for name, card in load_all("models"):
        if isinstance(card, CardError):
            yield Diagnosis(f"weights {name}", "wrong", card.message)
            continue
        if card.weights is None:
            yield Diagnosis(f"weights {name}", "ok", "none needed (toy encoder)")
            continue
        fetched = card.weights.url or card.weights.hub
        file = own_file(card) or (held(card) if fetched else None)
        if file is not None:
            yield Diagnosis(f"weights {name}", "ok", f"{file}; check it: medbench weights check {name}")
            continue
        gate = "gated; " if card.weights.gated else ""
        how = f"medbench weights download {name}" if fetched else card.weights.access or "get it from its authors"
        folder = place(card).parent if fetched else weights_folder()
        yield Diagnosis(f"weights {name}", "note", f"not in {folder}; {gate}{how}")


PARTS: dict[str, Callable[[], Iterator[Diagnosis]]] = {
    "libraries": _libraries,
    "gpu": _torch,
    "disk": _disk,
    "hub": _hub,
    "data": _data,
    "models": _models,
}
"""What can be asked for by name."""
