"""Linear probes that start at the classes' texts: ZS-LP and CLAP, Silva-Rodríguez et al., CVPR 2024.

logits = s unit(f) unit(w)^T, where w starts at the mean t of a class's texts as the tower gives them. ZS-LP is trained
on the cross-entropy; CLAP adds mean_c a_c |w_c - t_c|^2, where a_c, a constant, says how well the texts classify the
class's training images. No validation image is used. Source: the authors' code (jusiro/CLAP, dbdf409).

Many fits are trained as one batched problem; each gets the numbers that it would get alone. A probe never leaves the
space that its texts and training images span, since its gradient lies there. Few shots are trained in that space, which
has fewer dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot, pad
from torch.nn.utils.rnn import pad_sequence

from medbench.training.adapters.steps import Steps

MOMENTUM = 0.9


@dataclass(frozen=True)
class Fit:
    """What one probe is trained on.

    Attributes:
        images: Training features of length 1, (n, d); several views of an image are several rows.
        labels: (n,) class numbers.
        text: The mean of each class's texts, (c, d), of any length.
        strengths: a of each class, (c,); zeros: ZS-LP.
        scale: Factor on cosines.
        steps: Which rows, and how the rate falls.
        rate: The greatest learning rate.
    """

    images: Tensor
    labels: Tensor
    text: Tensor
    strengths: Tensor
    scale: float
    steps: Steps
    rate: float = 0.1

    @property
    def whole(self) -> bool:
        """Whether each step takes all images: their order does not matter then."""
        return all(len(rows) == len(self.images) for rows in self.steps.rows)


@dataclass(frozen=True)
class Fitted:
    """A trained probe.

    Attributes:
        prototypes: w, (c, d).
        losses: Cross-entropy of each step.
        penalties: mean_c a_c |w_c - t_c|^2 of each step.
    """

    prototypes: Tensor
    losses: Tensor
    penalties: Tensor


def logits(images: Tensor, prototypes: Tensor, scale: float) -> Tensor:
    """Return the logits (m, c) of images of length 1, (m, d), and prototypes (c, d) of any length."""
    return scale * (images @ normalize(prototypes, dim=1).T)


def strengths(images: Tensor, labels: Tensor, text: Tensor, scale: float) -> Tensor:
    """Return a, (c,): the mean zero-shot probability of a class over its own images; 0 for a class without any.

    Args:
        images: Training features of length 1, (n, d).
        labels: (n,) class numbers.
        text: The mean of each class's texts, (c, d).
        scale: Factor on cosines.
    """
    members = one_hot(labels, len(text)).to(images.dtype)
    shares = logits(images, text, scale).softmax(dim=1)
    return (members * shares).sum(dim=0) / members.sum(dim=0).clamp(min=1)


def train(fits: Sequence[Fit]) -> list[Fitted]:
    """Train all probes together; each result is that of the probe alone, but for rounding.

    The fits share the number of classes and the width; their numbers of images and of steps may differ.
    """
    found: dict[int, Fitted] = {}
    for whole in (True, False):
        places = [i for i, fit in enumerate(fits) if fit.whole == whole]
        places.sort(key=lambda i: -len(fits[i].steps))
        if places:
            found |= zip(places, _Batch([fits[i] for i in places], whole=whole).trained(), strict=True)
    return [found[i] for i in range(len(fits))]


def _basis(fit: Fit) -> Tensor:
    """Return an orthonormal basis (d, r) of the space in which a probe stays; all of it where that is no narrower."""
    spanning = torch.cat([fit.text, fit.images])
    if len(spanning) >= spanning.shape[1]:
        return torch.eye(spanning.shape[1], dtype=spanning.dtype, device=spanning.device)
    basis: Tensor = torch.linalg.qr(spanning.T).Q
    return basis


def _side_by_side(tables: list[Tensor]) -> Tensor:
    """Return tables (n, r) of several sizes as one (a, n, r), filled up with zeros, which add nothing to any sum."""
    rows, columns = (max(table.shape[axis] for table in tables) for axis in (0, 1))
    return torch.stack([pad(one, (0, columns - one.shape[1], 0, rows - one.shape[0])) for one in tables])


class _Batch:
    """Fits in one batch, those of most steps first: the fits that still have a step are the first ones.

    Classes come before images in all tables, since a softmax along few neighbours is slow.
    """

    def __init__(self, fits: list[Fit], *, whole: bool) -> None:
        self.fits, self.whole = fits, whole
        self.bases = [_basis(fit) for fit in fits]
        self.text = _side_by_side([fit.text @ basis for fit, basis in zip(fits, self.bases, strict=True)])
        self.weight, self.momentum = self.text.clone(), torch.zeros_like(self.text)
        self.pull = torch.stack([fit.strengths / len(fit.text) for fit in fits])[..., None]
        self.scale = self.text.new_tensor([fit.scale for fit in fits])[:, None, None]
        images = [fit.images @ basis for fit, basis in zip(fits, self.bases, strict=True)]
        members = [one_hot(fit.labels, len(fit.text)).to(fit.images.dtype) for fit in fits]
        self.images, self.members = _side_by_side(images), _side_by_side(members)  # (a, n, r) and (a, n, c)
        self.all = (self.images, self.images.mT.contiguous(), self.members.mT.contiguous())
        self.losses = self.text.new_zeros(len(fits[0].steps), len(fits))
        self.penalties = torch.zeros_like(self.losses)

    def trained(self) -> list[Fitted]:
        """Make all steps."""
        rates = pad_sequence([self.text.new_tensor(fit.steps.rates(fit.rate)) for fit in self.fits])
        for step, now in enumerate(rates[..., None, None]):
            self._step(step, now)
        weights = [one[:, : basis.shape[1]] @ basis.T for one, basis in zip(self.weight, self.bases, strict=True)]
        ends = [len(fit.steps) for fit in self.fits]
        columns = zip(weights, ends, self.losses.T, self.penalties.T, strict=True)
        return [Fitted(weight, losses[:n], penalties[:n]) for weight, n, losses, penalties in columns]

    def _step(self, step: int, rates: Tensor) -> None:
        on = sum(len(fit.steps) > step for fit in self.fits)
        images, across, members = self._rows(step, on)
        weight, scale, pull = self.weight[:on], self.scale[:on], self.pull[:on]
        length = weight.norm(dim=2, keepdim=True)
        unit, off, number = weight / length, weight - self.text[:on], members.sum(dim=(1, 2))[:, None, None]
        log = (scale * (unit @ across)).log_softmax(dim=1)  # (a, c, b)
        self.losses[step, :on] = -(members * log).sum(dim=(1, 2)) / number[:, 0, 0]
        self.penalties[step, :on] = (pull * off.square()).sum(dim=(1, 2))
        slope = scale / number * ((log.exp() - members) @ images)  # images of zeros, which fill up, add nothing
        slope = (slope - unit * (unit * slope).sum(dim=2, keepdim=True)) / length + 2 * pull * off
        self.momentum[:on].mul_(MOMENTUM).add_(slope)
        weight.sub_(rates[:on] * self.momentum[:on])

    def _rows(self, step: int, on: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a step's images, (a, b, r) and as (a, r, b), and their classes (a, c, b), filled up with zeros."""
        if self.whole:
            images, across, members = (one[:on] for one in self.all)
            return images, across, members
        rows = pad_sequence([fit.steps.rows[step] for fit in self.fits[:on]], batch_first=True, padding_value=-1)
        place, there = torch.arange(on)[:, None], (rows >= 0)[..., None].to(self.images.device)
        images = self.images[place, rows] * there
        return images, images.mT, (self.members[place, rows] * there).mT
