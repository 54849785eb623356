"""Extraction: features of prepared images by a frozen encoder, in order; a killed extraction resumes."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medbench.data.prepared.augment_batch import Undrawn
from medbench.data.prepared.transforms import normalise
from medbench.features.memory import kept_buffers
from medbench.features.spec import FeatureSpec
from medbench.features.store import FeatureFolder
from medbench.models.encoder import Encoder
from medbench.progress import bar, say, steps
from medbench.storage.locks import exclusive

PART_SECONDS = 10.0  # a part is written this often: a kill loses no more work
PART_BYTES = 1 << 28  # and when this much waits in memory
BATCH = {"cpu": 32, "cuda": 256}
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

Outputs = Callable[[Encoder, Tensor], list[Tensor]]
"""Encoder and images (b, c, h, w) -> what is stored of them, one tensor (b, …) for each spec."""


@dataclass(frozen=True)
class Extraction:
    """Features to extract in one pass.

    Attributes:
        specs: What each of them depends on.
        images: The images, uint8 (b, h, w, c), or an `Undrawn` that makes them on the device.
        n: Number of images.
        what: Name of the work, for people.
        outputs: Computes all of them.
    """

    specs: list[FeatureSpec]
    images: Dataset[Any]
    n: int
    what: str
    outputs: Outputs = lambda encoder, x: [encoder.pooled(x)]


@dataclass
class Tally:
    """What extraction cost.

    Attributes:
        forwards: Images that went through the encoder.
        seconds: Time that took.
        reused: Images whose stored features were used.
    """

    forwards: int = 0
    seconds: float = 0.0
    reused: int = 0


def features(
    task: Extraction, encoder: Callable[[], Encoder], device: torch.device, workers: int, tally: Tally
) -> list[NDArray[np.float32]]:
    """Return the features of each spec of a task, (n, …), memory-mapped: from the store, or extracted now.

    If another process is extracting the same features, this one waits for it.

    Args:
        task: What to extract.
        encoder: Builds the encoder; called only if something must be extracted.
        device: Where to compute.
        workers: Number of loader processes.
        tally: Counts what it cost.
    """
    with kept_buffers():
        return _features(task, encoder, device, workers, tally)


def features_in_turn(
    tasks: Sequence[Extraction], encoder: Callable[[], Encoder], device: torch.device, workers: int, tally: Tally
) -> list[list[NDArray[np.float32]]]:
    """Return the `features` of each task; a task reuses the buffers of the one before it."""
    with kept_buffers():
        return [_features(task, encoder, device, workers, tally) for task in tasks]


def _features(
    task: Extraction, encoder: Callable[[], Encoder], device: torch.device, workers: int, tally: Tally
) -> list[NDArray[np.float32]]:
    folders = [FeatureFolder(spec, task.n) for spec in task.specs]
    if (found := _load(folders, tally)) is not None:
        return found
    with contextlib.ExitStack() as held:
        for lock in sorted({folder.lock for folder in folders}):  # in one order: no two wait for each other
            held.enter_context(exclusive(lock, f"{task.what}: another process is extracting these features; waiting"))
        if (found := _load(folders, tally)) is not None:
            return found
        first = folders[0]
        plain = first.spec.view is None and first.spec.output == "pooled" and first.spec.corruption is None
        if plain and not first.path.exists() and (reason := first.why_not()):
            say(f"{task.what}: the stored features cannot be used: {reason}")
        return _make(task, folders, encoder(), device, workers, tally)


def _load(folders: list[FeatureFolder], tally: Tally) -> list[NDArray[np.float32]] | None:
    found = []
    for folder in folders:
        if (values := folder.load()) is None:
            return None
        found.append(values)
    tally.reused += folders[0].n
    return found


def _make(
    task: Extraction, folders: list[FeatureFolder], encoder: Encoder, device: torch.device, workers: int, tally: Tally
) -> list[NDArray[np.float32]]:
    spans = _common([folder.start() for folder in folders])
    first = spans[-1][1] if spans else 0
    tally.reused += first
    began = saved = time.perf_counter()
    pending: list[list[Tensor]] = [[] for _ in folders]
    at = first
    before = encoder.state_digest()
    with (
        steps() as to_stop,
        bar(task.what, task.n, done=first) as advance,
        exact(task.specs[0].precision),
        torch.inference_mode(),
    ):
        for batch in _batches(task, first, device, workers):
            for kept, values, folder in zip(pending, _forward(encoder, batch, task, device), folders, strict=True):
                # A copy: a class token is a view and would keep its batch in memory until the part is full.
                kept.append(values.to(getattr(torch, folder.spec.dtype)).clone())
            advance(len(batch))
            at += len(batch)
            full = at == task.n or _bytes(pending) > PART_BYTES
            if full or to_stop() or time.perf_counter() - saved > PART_SECONDS:
                start = spans[-1][1] if spans else 0
                for folder, kept in zip(folders, pending, strict=True):
                    folder.add(start, torch.cat(kept).cpu().numpy())
                spans.append((start, at))
                pending, saved = [[] for _ in folders], time.perf_counter()
            if to_stop():
                break
    if encoder.state_digest() != before or encoder.training:
        raise AssertionError(f"{task.specs[0].model} changed during extraction, but a frozen encoder must not change")
    seconds = time.perf_counter() - began
    tally.forwards, tally.seconds = tally.forwards + task.n - first, tally.seconds + seconds
    facts = {"device": str(device), "torch": torch.__version__, "batch": BATCH[device.type], "seconds": seconds}
    return [folder.finish(spans, facts) for folder in folders]


def _common(done: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Return the parts that all folders have, from the first row on: a kill may come between two folders."""
    return [span for span, *others in zip(*done, strict=False) if all(other == span for other in others)]


def _bytes(pending: list[list[Tensor]]) -> int:
    return sum(values.nbytes for kept in pending for values in kept)


def _batches(task: Extraction, first: int, device: torch.device, workers: int) -> Iterator[Tensor | Undrawn]:
    """Yield uint8 batches from row `first` on; parts end with a batch, so a resumed run has the same batches."""
    size = BATCH[device.type]
    if workers == 0:
        yield from _ahead(task.images, [range(i, min(i + size, task.n)) for i in range(first, task.n, size)])
        return
    loader = DataLoader(
        task.images,
        batch_size=size,
        sampler=range(first, task.n),
        num_workers=workers,
        collate_fn=as_is,
        pin_memory=device.type == "cuda",
        prefetch_factor=4,
    )
    yield from loader


def _ahead(images: Dataset[Any], batches: list[range]) -> Iterator[Tensor | Undrawn]:
    """Yield the images of each batch; a thread prepares the next one meanwhile, since Pillow releases the GIL."""
    with ThreadPoolExecutor(1, "images") as pool:
        coming: deque[Future[Tensor | Undrawn]] = deque()
        for rows in batches:
            coming.append(pool.submit(images.__getitems__, rows))  # type: ignore[attr-defined]
            if len(coming) > 1:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def as_is(batch: Any) -> Any:
    """Return a batch unchanged: `__getitems__` has already collated it."""
    return batch


def _forward(encoder: Encoder, batch: Tensor | Undrawn, task: Extraction, device: torch.device) -> list[Tensor]:
    spec = task.specs[0]
    x = normalise(batch.to(device, non_blocking=True), spec.mean, spec.std, spec.image_size)
    if spec.precision == "fp32":
        return task.outputs(encoder, x)
    with torch.autocast(device.type, dtype=AUTOCAST[spec.precision]):
        return task.outputs(encoder, x)


@contextlib.contextmanager
def exact(precision: str) -> Iterator[None]:
    """Switch TF32 off inside this block if the precision is fp32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    if precision == "fp32":
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
