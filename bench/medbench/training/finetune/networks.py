"""The networks that are fine-tuned: an encoder with a head or a stacked classifier, complete or from one unit on."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from medbench.errors import CardError
from medbench.models.encoder import Encoder
from medbench.models.networks.stacked import Stacked
from medbench.models.networks.units import replace
from medbench.seeding import seed_of


class Classifier(nn.Module):
    """An encoder's pooled vector and a linear head.

    Attributes:
        encoder: The encoder; its parameters with gradients are trained.
        head: Linear(d, c).
        still: Whether the encoder stays in eval mode: it does if any part of it is frozen (WACV 2024, 1.8).
    """

    def __init__(self, encoder: Encoder, head: nn.Linear, *, still: bool = False) -> None:
        super().__init__()
        self.encoder, self.head, self.still = encoder, head, still

    @property
    def units(self) -> list[nn.Module]:
        """The encoder's units."""
        return self.encoder.blocks

    def train(self, mode: bool = True) -> Classifier:
        """Set the mode; a still encoder stays in eval mode."""
        super().train(mode)
        self.encoder.eval() if self.still else self.encoder.train(mode)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (b, c) of images (b, channels, h, w)."""
        found: Tensor = self.head(self.encoder.pooled(x))
        return found


class OnTokens(nn.Module):
    """An encoder's patch tokens and a classifier stacked on them.

    Attributes:
        encoder: The encoder.
        stack: The classifier.
        frozen: Whether the encoder is frozen: it stays in eval mode and computes no gradients.
    """

    def __init__(self, encoder: Encoder, stack: Stacked, *, frozen: bool) -> None:
        super().__init__()
        self.encoder, self.stack, self.frozen = encoder, stack, frozen

    @property
    def units(self) -> list[nn.Module]:
        """The encoder's units."""
        return self.encoder.blocks

    def train(self, mode: bool = True) -> OnTokens:
        """Set the mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (b, c) of images (b, channels, h, w)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            tokens = self.encoder.tokens(x)
        found: Tensor = self.stack(tokens)
        return found


class StandIn(nn.Module):
    """Replaces a unit whose output is known: returns `value` if it has one, else its input.

    Attributes:
        value: The known output, (b, …).
        downsample: The unit's downsampling, for networks that apply it themselves (SEEM); frozen with the unit.
    """

    def __init__(self, unit: nn.Module | None = None) -> None:
        super().__init__()
        self.value: Tensor | None = None
        self.downsample = getattr(unit, "downsample", None)

    def forward(self, x: Tensor, *_: object, **__: object) -> Tensor:
        """Return the known output."""
        return x if self.value is None else self.value


class Resumed(nn.Module):
    """A classifier that starts from the raw output of unit f - 1, without the frozen part before it.

    Stand-ins replace the first f units, and the network's own forward runs on one empty image. So everything after the
    stand-ins (class tokens, norms, pooling) is still the library's code. Of the frozen part's cost, only that image's
    patch embedding is left.
    """

    def __init__(self, classifier: Classifier, f: int) -> None:
        super().__init__()
        encoder = classifier.encoder
        stand_ins = [*(StandIn() for _ in range(f - 1)), StandIn(encoder.blocks[f - 1])]
        replace(encoder.network, stand_ins)
        encoder.blocks, encoder.given = [*stand_ins, *encoder.blocks[f:]], True
        self.classifier, self.place = classifier, stand_ins[-1]
        self.shape = (1, encoder.in_chans, encoder.image_size, encoder.image_size)

    @property
    def units(self) -> list[nn.Module]:
        """The encoder's units, stand-ins included."""
        return self.classifier.units

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (b, c) of raw outputs of unit f - 1, (b, …)."""
        self.place.value = x
        try:
            found: Tensor = self.classifier(x.new_zeros(self.shape))
        finally:
            self.place.value = None
        return found


def linear_head(dim: int, classes: int, seed: int, std: float | None = None) -> nn.Linear:
    """Return a head whose first weights are drawn by name.

    Args:
        dim: Length d of its input.
        classes: Number of classes.
        seed: Names the draw.
        std: Standard deviation of a normal that is truncated at two deviations; the bias is then 0, as in MAE and
            RETFound. None: U(-1/sqrt(d), 1/sqrt(d)) for weights and bias, as in torch.
    """
    source = torch.Generator().manual_seed(seed_of("training", "head", seed))
    head = nn.Linear(dim, classes, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        if std is not None:
            nn.init.trunc_normal_(head.weight, std=std, a=-2 * std, b=2 * std, generator=source)
            nn.init.zeros_(head.bias)
        else:
            for value in (head.weight, head.bias):
                nn.init.uniform_(value, -1 / math.sqrt(dim), 1 / math.sqrt(dim), generator=source)
    return head


def thaw(encoder: Encoder, frozen: int = 0, *, final_norm: bool = True, stem: bool = True) -> None:
    """Give gradients to an encoder's parameters: all of them, or those of the units from number `frozen` on.

    If units are frozen, or without `stem`, everything before the units is frozen too, and what follows the last unit is
    trained only with `final_norm` (never in WACV 2024's code, Q16).

    Raises:
        CardError: The encoder has too few units.
    """
    n = len(encoder.blocks)
    if not 0 <= frozen < n:
        raise CardError(f"{encoder.card.name} has {n} units: cannot freeze {frozen} of them", f"give 0 to {n - 1}")
    if frozen == 0 and stem:
        encoder.requires_grad_(True)
        return
    for unit in encoder.blocks[frozen:]:
        unit.requires_grad_(True)
    if final_norm:
        last = {id(p) for p in encoder.blocks[-1].parameters()}
        seen = False
        for value in encoder.network.parameters():  # in order of registration: what follows the units comes last
            seen = seen or id(value) in last
            if seen and id(value) not in last:
                value.requires_grad_(True)


def leave_out_unused(network: nn.Module, sample: Tensor) -> int:
    """Freeze the parameters that the output does not depend on; return how many numbers they hold.

    Examples are a norm or a projection after the feature that is used. They are not trained, so they must not be
    counted as trained, and several processes would wait for their gradients forever.

    Args:
        network: In any mode.
        sample: One input, (1, …).
    """
    mode = network.training
    network.eval()
    found = leave_out_unreached(network, network(sample).sum())
    network.train(mode)
    return found


def leave_out_unreached(network: nn.Module, output: Tensor) -> int:
    """Freeze the parameters on which an output, (), does not depend; return how many numbers they hold."""
    torch.autograd.backward(output)
    unused = [p for p in network.parameters() if p.requires_grad and p.grad is None]
    for value in unused:
        value.requires_grad_(False)
    network.zero_grad()
    return sum(value.numel() for value in unused)
