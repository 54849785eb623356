"""`medbench doctor`: is this machine ready, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from medbench.cli import output

LIBRARIES = ("torchvision", "timm", "numpy", "pandas", "scikit-learn", "scipy", "pillow", "pyarrow", "huggingface_hub")
TIGHT_GB = 5.0  # free space below which prepared images or weights soon do not fit


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what, whether it is well, and what was found (or what to do)."""

    what: str
    state: Literal["ok", "note", "wrong"]
    detail: str


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look at Python, torch, GPU, disk, hub access, data and weights; say what is missing."""
    findings = list(examine())
    if as_json:
        output.write_json([asdict(finding) for finding in findings])
    else:
        output.write_rows([asdict(finding) for finding in findings], ("what", "state", "detail"))
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Yield what there is to know about this machine. torch is imported; nothing is fetched and nothing is written."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _libraries()
    yield from _torch()
    yield from _places()
    yield _hub()
    yield from _data()
    yield from _weights()


def _libraries() -> Iterator[Finding]:
    from medbench import __version__

    yield Finding("medbench", "ok", __version__)
    for name in LIBRARIES:
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "wrong", f"not installed; pip install {name}")


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of CUDA that does not load
        yield Finding("torch", "wrong", f"does not import: {error}")
        return
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        yield Finding("gpu", "note", "no CUDA device: runs use the processor")
        return
    for i in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(i)
        yield Finding(f"cuda:{i}", "ok", f"{device.name}, {device.total_memory / 2**30:.0f} GB")


def _places() -> Iterator[Finding]:
    from medbench import paths

    for what, place, variable in (
        ("cache", paths.home(), "MEDBENCH_HOME"),
        ("run store", paths.runs_dir().absolute(), "MEDBENCH_RUNS"),
    ):
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(there).free / 1e9
        if not there.is_dir() or not os.access(there, os.W_OK):
            yield Finding(what, "wrong", f"{place} cannot be written; choose another with {variable}")
        elif free < TIGHT_GB:
            yield Finding(what, "note", f"{place}: only {free:.1f} GB free; another place: {variable}")
        else:
            yield Finding(what, "ok", f"{place}: {free:,.0f} GB free")


def _hub() -> Finding:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding("hub", "note", "HF_HUB_OFFLINE is set: nothing is fetched")
    try:
        from huggingface_hub import get_token
    except ImportError:
        return Finding("hub", "wrong", "huggingface_hub does not import")
    if get_token():
        return Finding("hub", "ok", "a token is set: gated weights you were given can be fetched")
    return Finding("hub", "note", "no token: open weights only; for gated ones: hf auth login")


def _data() -> Iterator[Finding]:
    from medbench import cards, paths
    from medbench.errors import CardError

    base = os.environ.get("MEDBENCH_DATA")
    if base is None:
        yield Finding("data", "note", "MEDBENCH_DATA is not set: name the folder with --data-root each time")
    elif not Path(base).expanduser().is_dir():
        yield Finding("data", "wrong", f"MEDBENCH_DATA is {base}, and there is no such folder")
    for name in cards.names("datasets"):
        try:
            card = cards.find_dataset(name)
        except CardError as error:
            yield Finding(f"data {name}", "wrong", error.message)
            continue
        root = paths.data_root(name)
        if card.toy:
            yield Finding(f"data {name}", "ok", "drawn by medbench when needed")
        elif root and root.is_dir():
            yield Finding(f"data {name}", "ok", f"{root}; verify: medbench data check {name}")
        else:
            looked = f"not in {root}; " if root else ""
            yield Finding(f"data {name}", "note", f"{looked}how to get it: medbench data download {name}")


def _weights() -> Iterator[Finding]:
    """Look whether each model's file is there; its digest is not computed, which would read gigabytes."""
    from medbench import cards
    from medbench.errors import CardError
    from medbench.models.files import held, own_file, place, weights_folder

    for name in cards.names("models"):
        try:
            card = cards.find_model(name)
        except CardError as error:
            yield Finding(f"weights {name}", "wrong", error.message)
            continue
        if card.weights is None:
            yield Finding(f"weights {name}", "ok", "none needed: a toy encoder")
            continue
        fetched = card.weights.url or card.weights.hub
        file = own_file(card) or (held(card) if fetched else None)
        if file is not None:
            yield Finding(f"weights {name}", "ok", f"{file}; verify: medbench weights check {name}")
            continue
        gate = "gated; " if card.weights.gated else ""
        how = f"medbench weights download {name}" if fetched else card.weights.access or "get it from its authors"
        folder = place(card).parent if fetched else weights_folder()
        yield Finding(f"weights {name}", "note", f"not in {folder}; {gate}{how}")
