"""The machine that trains a network: its device, precision and processes, all by accelerate."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs, broadcast, broadcast_object_list
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from medbench.errors import MedbenchError
from medbench.features.extract import as_is

MIXED = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
PATIENCE = timedelta(days=7)  # one process may wait for another that extracts features or writes records
EVAL_BATCH = {"cpu": 32, "cuda": 128}

Network = TypeVar("Network", bound=nn.Module)
RowsOf = TypeVar("RowsOf", NDArray[Any], Tensor)


@dataclass(frozen=True)
class Machine:
    """Processes, device and precision.

    Attributes:
        accelerator: For this precision.
        precision: `fp32`, `bf16` or `fp16`.
        workers: Loader processes per process.
    """

    accelerator: Accelerator
    precision: str
    workers: int

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        found: torch.device = self.accelerator.device
        return found

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self.accelerator.process_index)

    @property
    def world(self) -> int:
        """Number of processes."""
        return int(self.accelerator.num_processes)

    def loader(self, images: Dataset[Any], batches: Iterable[Any]) -> DataLoader[Any]:
        """Return a loader that gives `images.__getitems__(batch)` for each of `batches`, in order."""
        return DataLoader(
            images,
            batch_sampler=batches,
            num_workers=self.workers,
            collate_fn=as_is,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if self.workers else None,
        )

    def share(self, rows: RowsOf) -> RowsOf:
        """Return this process's share of some rows: every `world`-th, from its own number on."""
        return rows[self.rank :: self.world]

    def gather(self, part: Tensor, n: int) -> Tensor:
        """Return all n rows, (n, …), in order, from the part of each process, whose rows `share` chose."""
        if self.world == 1:
            return part
        longest = -(-n // self.world)
        padded = torch.cat([part, part.new_zeros((longest - len(part), *part.shape[1:]))])
        gathered: Tensor = self.accelerator.gather(padded.contiguous())
        return gathered.view(self.world, longest, *part.shape[1:]).transpose(0, 1).flatten(0, 1)[:n]

    def gather_with_gradient(self, part: Tensor, n: int) -> Tensor:
        """Return all n rows as `gather` does; a row's gradient is the sum of what all processes make of it."""
        found: Tensor = part if self.world == 1 else _Gathered.apply(part, self, n)
        return found

    def predict(self, forward: Callable[[Tensor], Tensor], images: Dataset[Tensor], n: int, width: int) -> Tensor:
        """Return what `forward` gives for n images, in order, (n, width); each process computes its share.

        Args:
            forward: (b, …) images on this device -> (b, width) float32.
            images: Takes a list of indices, gives (b, …).
            n: Number of images.
            width: Length of a row.
        """
        own, size = self.share(np.arange(n)), EVAL_BATCH[self.device.type]
        parts = [torch.zeros(0, width, device=self.device)]
        with torch.inference_mode():
            for raw in self.loader(images, [own[i : i + size].tolist() for i in range(0, len(own), size)]):
                parts.append(forward(raw.to(self.device, non_blocking=True)))
            return self.gather(torch.cat(parts), n)

    def place(self, network: Network) -> Network:
        """Return the network on this device; on several GPUs, its batch norm uses the images of all of them."""
        if self.world > 1 and self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network.to(self.device)

    def broadcast_buffers(self, *networks: nn.Module) -> None:
        """Give all processes the first one's buffers: batch norm may have seen other images in each."""
        if self.world > 1:
            for network in networks:
                for value in network.buffers():
                    value.copy_(broadcast(value))


class _Gathered(torch.autograd.Function):
    """Gathers the rows of all processes, and sends each row's gradient back to its own."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, on: Machine, n: int) -> Tensor:
        ctx.on = on
        return on.gather(part, n)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        total: Tensor = ctx.on.accelerator.reduce(gradient.contiguous(), "sum")
        return total[ctx.on.rank :: ctx.on.world].contiguous(), None, None


def machine(precision: str, device: str, workers: int, log: Sequence[str] = (), folder: Path | None = None) -> Machine:
    """Return the machine for one precision; all machines made in a process share its group of processes.

    Args:
        precision: `fp32`, `bf16` or `fp16`.
        device: `cpu`, `cuda` or `cuda:i`; of several processes, each uses the GPU of its local number.
        workers: Loader processes per process.
        log: Trackers that receive the curves: `tensorboard`, `wandb`.
        folder: Where the trackers write.

    Raises:
        MedbenchError: A tracker's package is not installed.
    """
    for name in log:
        if importlib.util.find_spec(name) is None:
            raise MedbenchError(f"--log {name}: the package {name} is not installed", f"pip install 'medbench[{name}]'")
    shared = AcceleratorState._shared_state
    if shared and shared.get("_mixed_precision") != MIXED[precision]:
        AcceleratorState._reset_state()  # accelerate has one precision per process; the group of processes is kept
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    accelerator = Accelerator(
        mixed_precision=MIXED[precision],
        cpu=device == "cpu",
        log_with=list(log) or None,
        project_dir=folder,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    if log:
        accelerator.init_trackers("medbench")
    return Machine(accelerator, precision, workers)


def agreed(value: Any) -> Any:
    """Return the first process's `value`, which must be picklable, in all processes."""
    values = [value]
    broadcast_object_list(values)
    return values[0]


def trained_state(network: nn.Module) -> dict[str, Tensor]:
    """Return what training changes: parameters with gradients, and buffers of modules in training mode."""
    changed = {f"{place}.{name}".lstrip(".") for place, module in network.named_modules() if module.training
               for name, _ in module.named_buffers(recurse=False)}  # fmt: skip
    changed |= {name for name, value in network.named_parameters() if value.requires_grad}
    return {name: value for name, value in network.state_dict().items() if name in changed}


def frozen_digest(network: nn.Module) -> str:
    """Return a digest of everything that training must not change; leaves the network in training mode."""
    network.train()
    trained, found = trained_state(network).keys(), 0
    for name, value in network.state_dict().items():
        if name not in trained:
            flat, found = value.detach().cpu().contiguous().reshape(-1), zlib.crc32(name.encode(), found)
            found = zlib.crc32(flat.view(torch.uint8).numpy() if flat.numel() else b"", found)
    return f"{found:08x}"


def count_trainable(network: nn.Module) -> int:
    """Return the number of parameters with gradients."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
