"""The units of a network, which freezing, truncation and CKA count, and their outputs in a partial forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from medbench.errors import CardError

CONTAINERS = ("blocks", "stages", "layers", "resblocks")


def units(network: nn.Module) -> list[nn.Module]:
    """Return the units of a network in order: its transformer blocks, or its stages if it is hierarchical."""
    if isinstance(core := getattr(network, "core", None), nn.Module):  # a network of another library
        return units(core)
    for name in CONTAINERS:
        held = getattr(network, name, None)
        if isinstance(held, nn.Sequential | nn.ModuleList):
            return list(held.children())
    if hasattr(network, "layer4"):
        listed = [getattr(network, f"layer{i}") for i in range(1, 5)]
        return [stage for stage in listed if not isinstance(stage, nn.Identity)]  # `truncate` leaves identities
    info, held = getattr(network, "feature_info", None), dict(network.named_modules())
    places = [stage["module"] for stage in info] if isinstance(info, list) else []
    return [held[place] for place in places] if all(held.get(place, network) is not network for place in places) else []


def layers(network: nn.Module) -> list[nn.Module]:
    """Return the residual blocks of a network in order: its units, or their parts (12 in SEEM's 4 stages)."""
    found: list[nn.Module] = []
    for unit in units(network):
        inner = getattr(unit, "blocks", unit if isinstance(unit, nn.Sequential) else None)
        found += list(inner.children()) if isinstance(inner, nn.Sequential | nn.ModuleList) else [unit]
    return found


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Return the batch norms of a network: training depends on which images they see together."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


@contextlib.contextmanager
def uncounted(network: nn.Module) -> Iterator[None]:
    """Compute without gradients what is computed again: batch norms must not count the images twice."""
    norms = [norm for norm in batch_norms(network) if norm.training]
    before = [{name: value.clone() for name, value in norm.named_buffers()} for norm in norms]
    with torch.no_grad():
        yield
        for norm, values in zip(norms, before, strict=True):
            for name, value in norm.named_buffers():
                value.copy_(values[name])


def truncate(network: nn.Module, keep: int) -> bool:
    """Remove all units of a network except the first `keep`, with their parameters.

    Returns:
        Whether the network's last norm and head still fit. They do in networks of one width, such as the truncated
        encoders of WACV 2024. In hierarchical networks they do not: the feature is the raw map of the last unit.
    """
    if callable(own := getattr(network, "truncate", None)):
        return own(keep) is not False
    if isinstance(core := getattr(network, "core", None), nn.Module):
        return truncate(core, keep)
    same = len({_width(unit) for unit in units(network)}) == 1
    for name in CONTAINERS:
        held = getattr(network, name, None)
        if isinstance(held, nn.Sequential | nn.ModuleList):
            setattr(network, name, held[:keep])
            return same
    if not hasattr(network, "layer4"):
        raise CardError(
            f"a {type(network).__name__} cannot be cut into units", "use all of it: do not set units or kept"
        )
    for i in range(keep + 1, 5):
        setattr(network, f"layer{i}", nn.Identity())
    return False


def replace(network: nn.Module, modules: Sequence[nn.Module]) -> None:
    """Replace the first units of a network by `modules`."""
    for unit, module in zip(units(network), modules, strict=False):
        name = next(place for place, held in network.named_modules() if held is unit)
        network.set_submodule(name, module)


def _width(unit: nn.Module) -> int | None:
    """Return the length of a unit's first vector, which is a norm's."""
    return next((len(p) for p in unit.parameters() if p.ndim == 1), None)


def outputs(forward: Callable[[Tensor], Any], modules: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    """Run `forward(x)` up to the last of `modules`, which it calls in order, and return the output of each.

    Raises:
        CardError: The forward does not call all of them.
    """
    found: list[Tensor] = []
    mark = object()  # forward passes can be nested: each has its own mark

    def keep(module: nn.Module, inputs: object, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)
        if module is modules[-1]:
            raise _Reached(mark)

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        forward(x)
    except _Reached as reached:
        if reached.mark is not mark:
            raise
    finally:
        for handle in handles:
            handle.remove()
    if len(found) != len(modules):
        raise CardError("one of the units is not used in the network's forward pass", "please report this card")
    return found


class _Reached(Exception):  # noqa: N818 - not an error: it ends a forward pass after the last module
    def __init__(self, mark: object) -> None:
        super().__init__()
        self.mark = mark
