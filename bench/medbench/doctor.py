"""Whether this machine is ready, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

LIBRARIES = ("torchvision", "timm", "numpy", "pandas", "scikit-learn", "scipy", "pillow", "pyarrow", "huggingface_hub")


TIGHT_GB = 5.0  # free space below which prepared images or weights soon do not fit


@dataclass(frozen=True)
class Diagnosis:
    """One thing looked at: what, whether it is well, and what was found (or what to do)."""

    what: str
    state: Literal["ok", "note", "wrong"]
    detail: str


def examine() -> Iterator[Diagnosis]:
    """Yield what there is to know about this machine. torch is imported; nothing is fetched and nothing is written."""
    yield Diagnosis("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _libraries()
    yield from _torch()
    yield from _places()
    yield _hub()
    yield from _data()
    yield from _weights()


def _libraries() -> Iterator[Diagnosis]:
    from medbench import __version__

    yield Diagnosis("medbench", "ok", __version__)
    for name in LIBRARIES:
        try:
            yield Diagnosis(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Diagnosis(name, "wrong", f"not installed; pip install {name}")


def _torch() -> Iterator[Diagnosis]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of CUDA that does not load
        yield Diagnosis("torch", "wrong", f"does not import: {error}")
        return
    yield Diagnosis("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        yield Diagnosis("gpu", "note", "no CUDA device: runs use the processor")
        return
    for i in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(i)
        yield Diagnosis(f"cuda:{i}", "ok", f"{device.name}, {device.total_memory / 2**30:.0f} GB")


def _places() -> Iterator[Diagnosis]:
    from medbench.storage import paths

    for what, place, variable in (
        ("cache", paths.home(), "MEDBENCH_HOME"),
        ("run store", paths.runs_dir().absolute(), "MEDBENCH_RUNS"),
    ):
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(there).free / 1e9
        if not there.is_dir() or not os.access(there, os.W_OK):
            yield Diagnosis(what, "wrong", f"{place} cannot be written; choose another with {variable}")
        elif free < TIGHT_GB:
            yield Diagnosis(what, "note", f"{place}: only {free:.1f} GB free; another place: {variable}")
        else:
            yield Diagnosis(what, "ok", f"{place}: {free:,.0f} GB free")


def _hub() -> Diagnosis:
    try:
        from huggingface_hub import constants, get_token
    except ImportError:
        return Diagnosis("hub", "wrong", "huggingface_hub does not import")
    if constants.HF_HUB_OFFLINE:
        return Diagnosis("hub", "note", "HF_HUB_OFFLINE is set: nothing is fetched")
    if get_token():
        return Diagnosis("hub", "ok", "a token is set: gated weights you were given can be fetched")
    return Diagnosis("hub", "note", "no token: open weights only; for gated ones: hf auth login")


def _data() -> Iterator[Diagnosis]:
    from medbench import cards
    from medbench.errors import CardError
    from medbench.storage import paths

    base = os.environ.get("MEDBENCH_DATA")
    if base is None:
        yield Diagnosis("data", "note", "MEDBENCH_DATA is not set: name the folder with --data-root each time")
    elif not Path(base).expanduser().is_dir():
        yield Diagnosis("data", "wrong", f"MEDBENCH_DATA is {base}, and there is no such folder")
    for name in cards.names("datasets"):
        try:
            card = cards.find_dataset(name)
        except CardError as error:
            yield Diagnosis(f"data {name}", "wrong", error.message)
            continue
        root = paths.data_root(name)
        if card.toy:
            yield Diagnosis(f"data {name}", "ok", "drawn by medbench when needed")
        elif root and root.is_dir():
            yield Diagnosis(f"data {name}", "ok", f"{root}; verify: medbench data check {name}")
        else:
            looked = f"not in {root}; " if root else ""
            yield Diagnosis(f"data {name}", "note", f"{looked}how to get it: medbench data download {name}")


def _weights() -> Iterator[Diagnosis]:
    """Look whether each model's file is there; its digest is not computed, which would read gigabytes."""
    from medbench import cards
    from medbench.errors import CardError
    from medbench.models.weights.locate import held, own_file, place, weights_folder

    for name in cards.names("models"):
        try:
            card = cards.find_model(name)
        except CardError as error:
            yield Diagnosis(f"weights {name}", "wrong", error.message)
            continue
        if card.weights is None:
            yield Diagnosis(f"weights {name}", "ok", "none needed: a toy encoder")
            continue
        fetched = card.weights.url or card.weights.hub
        file = own_file(card) or (held(card) if fetched else None)
        if file is not None:
            yield Diagnosis(f"weights {name}", "ok", f"{file}; verify: medbench weights check {name}")
            continue
        gate = "gated; " if card.weights.gated else ""
        how = f"medbench weights download {name}" if fetched else card.weights.access or "get it from its authors"
        folder = place(card).parent if fetched else weights_folder()
        yield Diagnosis(f"weights {name}", "note", f"not in {folder}; {gate}{how}")
