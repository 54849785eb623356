"""Resizes the position tables of a weights file to another grid, by the official rule of each family."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from medbench.cards.model import Position
from medbench.errors import WeightsError

RELATIVE = re.compile(r"(.*\.)?rel_pos_[hw]")


def adapt_position(state: dict[str, Tensor], network: nn.Module, rule: Position) -> None:
    """Resize tables of absolute and relative positions to the network's grid if they differ.

    Absolute tables are (1, p + g*g, d), (p + g*g, d) or (1, g, g, d), with p prefix rows (class token) first. Relative
    tables, (2*g - 1, d), are resized if the rule says how.
    """
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    table, shape = state.get(rule.table), wanted.get(rule.table)
    if table is not None and shape is not None and table.shape != shape:
        state[rule.table] = _resized(table, shape, rule)
    if rule.relative is None:
        return
    for name in filter(RELATIVE.fullmatch, state):
        value, shape = state[name], wanted.get(name)
        if shape is not None and value.ndim == 2 and value.shape[0] != shape[0] and value.shape[1] == shape[1]:
            state[name] = resize_line(value, shape[0], rule.relative)


def _resized(table: Tensor, shape: torch.Size, rule: Position) -> Tensor:
    """Return a table in the required shape; if its kind or width is another, unchanged, and `fill` raises the error."""
    if table.ndim != len(shape) or table.shape[-1] != shape[-1]:
        return table
    if table.ndim == 4:  # (1, g, g, d)
        flat = table.reshape(1, -1, table.shape[-1])
        return resize_table(flat, shape[1], rule).reshape(shape) if table.shape[1] == table.shape[2] else table
    flat = table if table.ndim == 3 else table[None]
    found = resize_table(flat, math.isqrt(shape[-2]), rule)
    return found if table.ndim == 3 else found[0]


def resize_line(table: Tensor, length: int, mode: str) -> Tensor:
    """Return a table of relative positions (l, d) as (length, d).

    segment_anything interpolates linearly in each forward pass if its map does not have the table's size. The code of
    WACV 2024 took the nearest rows once, which moves the centre (Q9).
    """
    line = table.float().T[None]
    return interpolate(line, size=length, mode=mode)[0].T.contiguous()


def resize_table(table: Tensor, grid: int, rule: Position) -> Tensor:
    """Return a position table (1, p + g*g, d) for another square grid, with the same p prefix rows (class token).

    With an offset the scale factor is (grid + offset) / g, which slightly shifts the sampling points. The official DINO
    and DINOv2 do so for all sizes except their own.

    Raises:
        WeightsError: The table is not that of a square grid.
    """
    side = math.isqrt(table.shape[1])
    prefix = table.shape[1] - side * side
    if prefix > side:
        raise WeightsError(
            f"the position table of {table.shape[1]} rows is not a square grid", "use the model's own --image-size"
        )
    cells = table[:, prefix:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    size: dict[str, Any] = {"size": (grid, grid)}
    if rule.offset:
        size = {"scale_factor": ((grid + rule.offset) / side,) * 2}
    resized = interpolate(cells, mode=rule.interpolation, antialias=rule.antialias, align_corners=False, **size)
    if resized.shape[-1] != grid:
        raise WeightsError(f"the position table cannot be resized from {side} to {grid}", "choose another --image-size")
    return torch.cat([table[:, :prefix].float(), resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
