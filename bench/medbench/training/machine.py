"""Where a network is trained: device, precision and processes, all by accelerate."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from medbench.errors import MedbenchError
from medbench.features.extract import as_is

MIXED = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
PATIENCE = timedelta(days=7)  # a process may wait for another that extracts features or writes records


@dataclass(frozen=True)
class Machine:
    """Processes, device and precision.

    Attributes:
        accelerator: Of this precision.
        precision: `fp32`, `bf16` or `fp16`.
        workers: Loader processes of each process.
    """

    accelerator: Accelerator
    precision: str
    workers: int

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        found: torch.device = self.accelerator.device
        return found

    @property
    def rank(self) -> int:
        """Number of this process."""
        return int(self.accelerator.process_index)

    @property
    def world(self) -> int:
        """Number of processes."""
        return int(self.accelerator.num_processes)

    def loader(self, images: Dataset[Any], batches: Iterable[Any]) -> DataLoader[Any]:
        """Return a loader of `images` that gives what their `__getitems__` makes of each of `batches`, in order."""
        return DataLoader(
            images,
            batch_sampler=batches,
            num_workers=self.workers,
            collate_fn=as_is,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if self.workers else None,
        )

    def share(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return this process's part of some rows: every `world`-th from its own number on."""
        return rows[self.rank :: self.world]

    def whole(self, part: Tensor, n: int) -> Tensor:
        """Return all n rows, (n, …), in order, of the parts that `share` dealt out."""
        if self.world == 1:
            return part
        longest = -(-n // self.world)
        padded = torch.cat([part, part.new_zeros((longest - len(part), *part.shape[1:]))])
        gathered: Tensor = self.accelerator.gather(padded.contiguous())
        return gathered.view(self.world, longest, *part.shape[1:]).transpose(0, 1).flatten(0, 1)[:n]


def machine(precision: str, device: str, workers: int, log: Sequence[str] = (), folder: Path | None = None) -> Machine:
    """Return the machine for one precision; a second one in the same process shares the first one's processes.

    Args:
        precision: `fp32`, `bf16` or `fp16`.
        device: `cpu`, `cuda` or `cuda:i`; among several processes each has the GPU of its local number.
        workers: Loader processes of each process.
        log: Trackers that curves go to: `tensorboard`, `wandb`.
        folder: Where they write.

    Raises:
        MedbenchError: A tracker's package is not installed.
    """
    for name in log:
        if importlib.util.find_spec(name) is None:
            raise MedbenchError(f"--log {name}: the package {name} is not installed", f"pip install 'medbench[{name}]'")
    shared = AcceleratorState._shared_state
    if shared and shared.get("_mixed_precision") != MIXED[precision]:
        AcceleratorState._reset_state()  # a process has one precision for accelerate; the group of processes stays
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
    """Return the first process's `value` (anything that can be sent) in all of them."""
    held = [value]
    broadcast_object_list(held)
    return held[0]


def trained_state(network: nn.Module) -> dict[str, Tensor]:
    """Return what training changes: parameters with gradients, and buffers of modules in training mode."""
    moving = {f"{place}.{name}".lstrip(".") for place, module in network.named_modules() if module.training
              for name, _ in module.named_buffers(recurse=False)}  # fmt: skip
    learned = {name for name, value in network.named_parameters() if value.requires_grad}
    return {name: value for name, value in network.state_dict().items() if name in learned | moving}


def frozen_digest(network: nn.Module) -> str:
    """Return a digest over everything that training must not change."""
    network.train()
    moving, found = trained_state(network).keys(), 0
    for name, value in network.state_dict().items():
        if name not in moving:
            flat, found = value.detach().cpu().contiguous().reshape(-1), zlib.crc32(name.encode(), found)
            found = zlib.crc32(flat.view(torch.uint8).numpy() if flat.numel() else b"", found)
    return f"{found:08x}"


def count_trainable(network: nn.Module) -> int:
    """Return the number of parameters that are trained."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
