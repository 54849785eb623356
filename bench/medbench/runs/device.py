"""The device, the precision and the loader processes. torch is imported only where the machine has a GPU driver."""

from __future__ import annotations

import os
import re
from pathlib import Path

from medbench.errors import MedbenchError, unknown

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
LOADERS_FOR_A_GPU = 8
"""Loader processes that keep a GPU busy with augmented views: each makes about 600 views of 224 pixels a second."""


def has_gpu() -> bool:
    """Tell whether torch sees a CUDA device. Where no driver's device file exists, torch is not imported."""
    if not Path("/dev/nvidiactl").exists() and not Path("/dev/dxg").exists() and os.name == "posix":
        return False
    import torch

    return torch.cuda.is_available()


def choose_device(asked: str) -> str:
    """Return `cpu`, `cuda` or `cuda:i` for `auto|cpu|cuda[:i]`.

    Raises:
        MedbenchError: The name is none of these, or there is no such GPU.
    """
    if asked == "auto":
        return "cuda" if has_gpu() else "cpu"
    if asked == "cpu":
        return "cpu"
    match = re.fullmatch(r"cuda(?::(\d+))?", asked)
    if not match:
        raise unknown("device", asked, ("auto", "cpu", "cuda", "cuda:0"))
    if has_gpu():
        import torch

        count = torch.cuda.device_count()
    else:
        count = 0
    if int(match[1] or 0) >= count:
        raise MedbenchError(
            f"--device {asked}: torch can use {count} GPUs of this machine", "use --device cpu, or: medbench doctor"
        )
    return asked


def choose_precision(asked: str, device: str, preset: str | None = None, elsewhere: str | None = None) -> str:
    """Return `fp32`, `bf16` or `fp16`; `auto` is `preset`, or without one bf16 on a GPU that has it, fp32 elsewhere.

    Args:
        asked: What the user says.
        device: The machine's, from `choose_device`.
        preset: What the recipe says.
        elsewhere: What `auto` means on the machine that the plan is for; None: the plan is for this one.

    Raises:
        MedbenchError: The name is none of these, or half precision was asked of a CPU.
    """
    if asked not in PRECISIONS:
        raise unknown("precision", asked, PRECISIONS)
    if asked == "auto":
        asked = preset or elsewhere or "auto"
    place = device if elsewhere else choose_device(device)
    if asked == "auto":
        if place == "cpu":
            return "fp32"
        import torch

        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if asked == "fp16" and place == "cpu":
        raise MedbenchError("--precision fp16 needs a GPU", "use fp32 (or bf16, if your CPU is fast at it)")
    return asked


def choose_workers(asked: int | None, device: str) -> int:
    """Return the number of loader processes: as asked, else none on a CPU, where the encoder needs the cores."""
    if asked is not None:
        if asked < 0:
            raise MedbenchError(f"--workers {asked} is below 0", "give 0 or more processes")
        return asked
    if device == "cpu":
        return 0
    from joblib import cpu_count

    processors: int = cpu_count()
    return max(1, min(16, processors - 1))


def augments_late(device: str, workers: int) -> bool:
    """Tell whether augmented views are made on the device: on a GPU that has few loader processes.

    The views are the same, bit for bit (`data.prepared.augment_batch`).
    """
    return device != "cpu" and workers < LOADERS_FOR_A_GPU
