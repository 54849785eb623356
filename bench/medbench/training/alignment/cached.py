"""The gradient of a loss that needs all pairs of a batch at once, over several processes and in little memory.

The vectors of the whole batch are computed and gathered, the loss and its gradient with respect to them follow, and
each part of the batch is sent backward with its share of that gradient. If the parts do not fit into memory together,
their vectors are computed twice: first without a gradient, then, with the same draws, one part after the other (Gao et
al. 2021, "Scaling deep contrastive learning batch size under memory limited setup"). The sum of the losses of the parts
would be a different loss: each part would see only its own negatives.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from medbench.models.networks.units import uncounted
from medbench.training.machine import Machine

Vectors = tuple[Tensor, ...]


def gathered_gradient(
    forward: Callable[[slice], tuple[Vectors, Vectors]],
    loss_of: Callable[[Vectors, Vectors], tuple[Tensor, Tensor]],
    parts: Sequence[slice],
    n: int,
    model: nn.Module,
    machine: Machine,
) -> Tensor:
    """Add the gradient of one step's loss to the parameters of a model; return the numbers of `loss_of`.

    Args:
        forward: A part of this process's share of the batch -> vectors (p, d), and tensors that all pairs share (such
            as a temperature). Its random draws must depend on the part alone.
        loss_of: Vectors of all n pairs, in the step's order, and the shared tensors -> the loss, (), and numbers to
            log. Every process computes it.
        parts: The parts of this process's share, which together are the share.
        n: Number of pairs, over all processes.
        model: As `accelerate` wraps it.
        machine: Precision and processes.
    """
    replayed = len(parts) > 1
    with uncounted(model) if replayed else contextlib.nullcontext():
        found = [forward(part) for part in parts]
    vectors = tuple(
        machine.gather(torch.cat([own[i] for own, _ in found]).detach(), n).requires_grad_()
        for i in range(len(found[0][0]))
    )
    shared = tuple(value.detach().requires_grad_() for value in found[0][1])
    loss, numbers = loss_of(vectors, shared)
    gradients = torch.autograd.grad(loss, [*vectors, *shared])
    own_gradients = [machine.share(gradient) for gradient in gradients[: len(vectors)]]
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        with contextlib.nullcontext() if last else machine.accelerator.no_sync(model):
            own, common = forward(part) if replayed else found[number]
            terms = [(value * gradient[part]).sum() for value, gradient in zip(own, own_gradients, strict=True)]
            # accelerate takes the mean over the processes: own parts are to be added up, and what is shared is equal.
            share = 1 / machine.world if last else 0.0
            terms += [
                share * (value * gradient).sum()
                for value, gradient in zip(common, gradients[len(vectors) :], strict=True)
            ]
            machine.accelerator.backward(torch.stack(terms).sum() * machine.world)
    return numbers
