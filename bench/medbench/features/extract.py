"""Extraction: images of the prepared store through a frozen encoder, once, in order, resumable."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medbench.data.transforms import normalise
from medbench.features.key import FeatureSpec
from medbench.features.store import FeatureFolder
from medbench.locks import alone
from medbench.models.encoder import Encoder
from medbench.progress import bar, say

PART_SECONDS = 10.0  # a kill loses at most this much work
BATCH = {"cpu": 32, "cuda": 256}
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Task:
    """One set of features to make: what it depends on and the uint8 images (b, h, w, c) it is made from."""

    spec: FeatureSpec
    images: Dataset[Any]
    n: int
    what: str


@dataclass
class Tally:
    """What extraction cost: forwards made now, seconds spent, forwards found done."""

    forwards: int = 0
    seconds: float = 0.0
    reused: int = 0


def features(
    task: Task, encoder: Callable[[], Encoder], device: torch.device, workers: int, tally: Tally
) -> NDArray[np.float32]:
    """Return the features of a task (n, d): from the store if they are there and whole, else made now.

    `encoder` is called only if something is to be made. Another process that makes the same features is waited for.
    """
    folder = FeatureFolder(task.spec, task.n)
    found = folder.load()
    if found is not None:
        tally.reused += task.n
        return found
    lock = folder.path.parent / f".{folder.path.name}.lock"
    with alone(lock, f"{task.what}: another process makes these features; waiting for it"):
        found = folder.load()
        if found is not None:
            tally.reused += task.n
            return found
        if not folder.path.exists() and task.spec.view is None and (reason := folder.why_not()):
            say(f"{task.what}: features made before do not serve: {reason}")
        return _make(task, folder, encoder(), device, workers, tally)


def _make(
    task: Task, folder: FeatureFolder, encoder: Encoder, device: torch.device, workers: int, tally: Tally
) -> NDArray[np.float32]:
    spans = folder.start()
    first = spans[-1][1] if spans else 0
    tally.reused += first
    began = saved = time.perf_counter()
    pending: list[Tensor] = []
    at = first
    before = encoder.state_digest()
    with bar(task.what, task.n, done=first) as advance, exact(task.spec.precision), torch.inference_mode():
        for batch in _batches(task, first, device, workers):
            # A copy: a class token is a view, which would hold all its batch's tokens until the part is full.
            pending.append(_forward(encoder, batch, task.spec, device).float().clone())
            advance(len(batch))
            at += len(batch)
            if time.perf_counter() - saved > PART_SECONDS or at == task.n:
                values = torch.cat(pending).cpu().numpy()
                folder.add(at - len(values), values)
                spans.append((at - len(values), at))
                pending, saved = [], time.perf_counter()
    if encoder.state_digest() != before or encoder.training:
        raise AssertionError(f"{task.spec.model} changed while its features were made: a frozen encoder must not")
    seconds = time.perf_counter() - began
    tally.forwards, tally.seconds = tally.forwards + task.n - first, tally.seconds + seconds
    facts = {"device": str(device), "torch": torch.__version__, "batch": BATCH[device.type], "seconds": seconds}
    return folder.finish(spans, facts)


def _batches(task: Task, first: int, device: torch.device, workers: int) -> Iterator[Tensor]:
    """Yield uint8 batches from row `first` on; parts end at batch boundaries, so a resumed run sees the same ones."""
    loader = DataLoader(
        task.images,
        batch_size=BATCH[device.type],
        sampler=range(first, task.n),
        num_workers=workers,
        collate_fn=_as_is,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if workers else None,
    )
    yield from loader


def _as_is(batch: Any) -> Any:
    return batch  # `__getitems__` has made the whole batch


def _forward(encoder: Encoder, batch: Tensor, spec: FeatureSpec, device: torch.device) -> Tensor:
    x = normalise(batch.to(device, non_blocking=True), spec.mean, spec.std)
    if spec.precision == "fp32":
        return encoder.pooled(x)
    with torch.autocast(device.type, dtype=AUTOCAST[spec.precision]):
        return encoder.pooled(x)


@contextlib.contextmanager
def exact(precision: str) -> Iterator[None]:
    """Make fp32 mean fp32: no TF32 inside this block."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    if precision == "fp32":
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
