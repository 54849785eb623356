"""A grid of attentive heads on cached patch tokens: one per seed, learning rate and weight decay, trained together.

The head is AIM's (El-Nouby et al., 2024, `AttentionPoolingClassifier`): tokens are standardised, one learned query of h
attention heads pools them, and a linear layer classifies the pooled vector. With tokens x_i (d), their mean m and
standard deviation s over the training tokens, query q_j and matrices K_j, V_j (k, d) of attention head j:

    z_i = (x_i - m) / s,   a_ij = softmax_i(q_j . K_j z_i / sqrt(k)),   y_j = V_j sum_i a_ij z_i,   logits = W y + b

AIM standardises by a batch norm without parameters. On frozen tokens its statistics can be computed once, as here.

Keys and values are never made for single tokens: q_j . K_j z_i / sqrt(k) is u_j . x_i plus a number that the softmax
cancels, with u_j = K_j^T q_j / (s sqrt(k)), and V_j is applied after pooling. So a step costs two products with the
tokens forward and two backward, whatever the width, and all candidates of a seed share the tokens of its batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medbench.cards.recipes import AttentiveProbe
from medbench.errors import MedbenchError
from medbench.features.memory import kept_buffers
from medbench.seeding import seed_of
from medbench.training.finetune.cached import Rows, ViewRows
from medbench.training.heads.grid import Grid, GridResult, Problem
from medbench.training.heads.linear import log_odds_of_logits, loss_and_slope

EVAL_BATCH = 64
QUERY_STD = 0.02  # AIM's


@dataclass(frozen=True)
class Layout:
    """Where the parts of a head are in its parameters, (p,): query, keys, values, weight, then bias.

    Attributes:
        dim: Length d of a token.
        heads: Number of attention heads h.
        width: Length w = h k of keys and values.
        classes: Number of classes c.
    """

    dim: int
    heads: int
    width: int
    classes: int

    @classmethod
    def of(cls, settings: AttentiveProbe, dim: int, classes: int) -> Layout:
        """Return the layout for tokens of length `dim`.

        Raises:
            MedbenchError: The width is not a multiple of the number of attention heads.
        """
        width = settings.width or dim
        if width % settings.attention_heads:
            raise MedbenchError(
                f"attentive-probe: {settings.attention_heads} attention heads cannot share a width of {width} equally",
                f"give --set attention_heads=N that divides {width}, or another --set width=N",
            )
        return cls(dim, settings.attention_heads, width, classes)

    @property
    def sizes(self) -> list[int]:
        """Lengths of the parts."""
        return [self.width, self.width * self.dim, self.width * self.dim, self.classes * self.width, self.classes]

    @property
    def total(self) -> int:
        """Number of parameters of a head."""
        return sum(self.sizes)

    def parts(self, values: Tensor) -> list[Tensor]:
        """Return q (g, h, k), K and V (g, h, k, d), W (g, c, w) and b (g, c) as views of g heads' parameters (g, p)."""
        g, h, k = len(values), self.heads, self.width // self.heads
        shapes = [(g, h, k), (g, h, k, self.dim), (g, h, k, self.dim), (g, self.classes, self.width), (g, self.classes)]
        split = torch.split(values, self.sizes, dim=1)
        return [part.view(shape) for part, shape in zip(split, shapes, strict=True)]

    def first(self, seed: int) -> Tensor:
        """Return a head's first parameters, (1, p): q is normal with deviation 0.02, the rest as torch.nn.Linear's."""
        source = torch.Generator().manual_seed(seed_of("attentive-probe", "head", seed))
        found = torch.rand(1, self.total, generator=source) * 2 - 1
        query, keys, values, weight, bias = self.parts(found)
        query.normal_(std=QUERY_STD, generator=source)
        for part, inputs in ((keys, self.dim), (values, self.dim), (weight, self.width), (bias, self.width)):
            part.div_(math.sqrt(inputs))
        return found


class AttentiveGrid(Grid):
    """Attentive heads, one for each pair of learning rate and weight decay; weights are (s, l, 1, p), see `Layout`."""

    def __init__(self, problem: Problem, settings: AttentiveProbe, seeds: list[int], device: torch.device) -> None:
        self.layout = Layout.of(settings, int(problem.train[0].shape[-1]), problem.classes)
        first = torch.stack([self.layout.first(seed) for seed in seeds])
        decayed = self.layout.total - problem.classes
        super().__init__(problem, settings, seeds, device, first, decayed, candidates_of(settings))
        self.tokens = ViewRows([np.asarray(view) for view in problem.train])
        centre, deviation = token_statistics(problem.train[0])
        self.centre, self.deviation = centre.to(device), deviation.to(device)
        self.grad = torch.zeros_like(self.weight)

    def gradient(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and gradient of all heads, one seed after the other."""
        losses = []
        for i, own in enumerate(rows):
            x = self.tokens.__getitems__([divmod(int(row), self.n) for row in own]).to(self.device).float()
            kept = self._forward(x, self.weight[i, :, 0])
            logits = kept["logits"].permute(1, 2, 0)[None]  # (1, l, c, b)
            loss, slope = loss_and_slope(logits, targets[i : i + 1], self.settings.label_smoothing)
            self._backward(x, slope[0].transpose(1, 2), kept, self.weight[i, :, 0], self.grad[i, :, 0])
            losses.append(loss[0])
        return torch.stack(losses), self.grad

    def log_odds(self) -> NDArray[np.float64]:
        """Return the heads' log-odds of the validation images."""
        return self.predict(self.weight, self.problem.val)

    def predict(self, weight: Tensor, tokens: Any) -> NDArray[np.float64]:
        """Return the log-odds (s, l, m, c) of tokens (m, t, d) by heads of weights (s, l, 1, p)."""
        s, heads = weight.shape[:2]
        flat, rows, parts = weight.reshape(s * heads, -1), Rows(np.asarray(tokens)), []
        for start in range(0, len(rows), EVAL_BATCH):
            at = list(range(start, min(start + EVAL_BATCH, len(rows))))
            parts.append(self._forward(rows.__getitems__(at).to(self.device).float(), flat)["logits"])
        logits = torch.cat(parts).transpose(0, 1)
        found = log_odds_of_logits(logits, multilabel=self.problem.multilabel, half=self.settings.val_half)
        return found.reshape(s, heads, *found.shape[1:])

    def named(self, weight: Tensor) -> dict[str, Tensor]:
        """Return the parts of one head (1, p) by name, and the tokens' mean and deviation."""
        names = ("query", "key", "value", "head.weight", "head.bias")
        parts = {name: part[0].clone() for name, part in zip(names, self.layout.parts(weight), strict=True)}
        return parts | {"mean": self.centre, "deviation": self.deviation}

    def _forward(self, x: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Return the logits (b, g, c) of tokens x (b, t, d) by g heads of weights (g, p), and what `_backward` uses."""
        (b, t, d), (q, keys, values, head, bias) = x.shape, self.layout.parts(weight)
        g, h, k = q.shape
        u = torch.matmul(q[:, :, None], keys)[:, :, 0].reshape(g * h, d) / (self.deviation * math.sqrt(k))
        attention = torch.mm(x.reshape(b * t, d), u.T).view(b, t, g * h).softmax(dim=1)
        pooled = torch.bmm(attention.transpose(1, 2), x).transpose(0, 1)  # (g h, b, d), not standardised
        # V (pooled - m) / s = (V / s) pooled - (V / s) m: scaling the matrices is cheaper than scaling what they see.
        scaled = torch.div(values, self.deviation).view(g * h, k, d)
        y = torch.baddbmm((scaled @ -self.centre)[:, None], pooled, scaled.transpose(1, 2))  # (g h, b, k)
        y = y.view(g, h, b, k).transpose(1, 2).reshape(g, b, h * k)
        logits = torch.baddbmm(bias[:, None], y, head.transpose(1, 2)).transpose(0, 1)
        return {"logits": logits, "y": y, "scaled": scaled, "attention": attention, "pooled": pooled}

    def _backward(self, x: Tensor, slope: Tensor, kept: dict[str, Tensor], weight: Tensor, into: Tensor) -> None:
        """Write the gradient of g heads into `into` (g, p), given the loss's slope (g, b, c) along the logits."""
        (b, t, d), (q, keys, _, head, _) = x.shape, self.layout.parts(weight)
        to_q, to_keys, to_values, to_head, to_bias = self.layout.parts(into)
        g, h, k = q.shape
        torch.sum(slope, 1, out=to_bias)
        to_head.copy_(torch.bmm(slope.transpose(1, 2), kept["y"]))
        dy = torch.bmm(slope, head).view(g, b, h, k).transpose(1, 2).reshape(g * h, b, k)
        along = torch.bmm(dy.transpose(1, 2), kept["pooled"]).addcmul_(dy.sum(1)[..., None], self.centre, value=-1)
        torch.div(along.view(g, h, k, d), self.deviation, out=to_values)
        dpooled = torch.bmm(dy, kept["scaled"])  # (g h, b, d)
        attention, da = kept["attention"], torch.bmm(x, dpooled.permute(1, 2, 0))  # (b, t, g h)
        ds = da.sub_((attention * da).sum(1, keepdim=True)).mul_(attention).reshape(b * t, g * h)
        du = torch.mm(ds.T, x.reshape(b * t, d)) / (self.deviation * math.sqrt(k))
        du = du.view(g, h, 1, d)
        torch.sum(keys * du, -1, out=to_q)
        torch.mul(q[..., None], du, out=to_keys)


def candidates_of(settings: AttentiveProbe) -> list[tuple[float, float]]:
    """Return all pairs of learning rate and weight decay, the rates in the outer loop."""
    return list(itertools.product(settings.learning_rates, settings.weight_decays))


def token_statistics(tokens: NDArray[np.float32] | Tensor, at_once: int = 256) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (d,) over all tokens (n, t, d); the deviation of a constant channel is 1."""
    total, squares, number = 0.0, 0.0, tokens.shape[0] * tokens.shape[1]
    for start in range(0, len(tokens), at_once):
        part = np.asarray(tokens[start : start + at_once], dtype=np.float64).reshape(-1, tokens.shape[-1])
        total, squares = total + part.sum(0), squares + np.square(part).sum(0)
    mean = np.asarray(total / number)
    variance = np.maximum(squares / number - np.square(mean), 0.0)
    still = variance <= 1e-12 * np.maximum(np.square(mean), 1e-12)
    deviation = np.sqrt(np.where(still, 1.0, variance))
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def train_attentive(
    problem: Problem, settings: AttentiveProbe, seeds: Sequence[int], device: torch.device, resume: Path | None = None
) -> tuple[AttentiveGrid, GridResult]:
    """Train one head for each seed, learning rate and weight decay; return the grid, which predicts, and its result.

    Args:
        problem: Tokens and targets.
        settings: The recipe.
        seeds: Each names its own initial weights and order.
        device: Where to compute.
        resume: Checkpoint of an unfinished training, as in `train_grid`.

    Raises:
        MedbenchError: The width is no multiple of the number of attention heads.
    """
    with torch.inference_mode(), kept_buffers():
        grid = AttentiveGrid(problem, settings, list(seeds), device)
        return grid, grid.train(resume)
