"""k nearest neighbours on frozen features, as in the code of WACV 2024: cosine, k = 200, T = 0.1.

The class scores of a query are the votes of its k nearest training images, weighted by exp(similarity / T) and divided
by the sum of the weights; for multilabel tasks the same per label. Preset medmnistplus (Doerrich et al., 2025) takes
Euclid's distance, 11 neighbours and one vote each. The search is exact and never holds all similarities. Own code:
scikit-learn's runs on the CPU alone, and does not say which of equal neighbours counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from medbench import metrics
from medbench.cards.recipes import Knn, Settings
from medbench.protocols.context import Context, Outcome
from medbench.training.selection import Criterion, best_of, finite, scores_on

CHUNK_BYTES = 16 << 20  # of similarities held at a time


def run(context: Context[Knn]) -> dict[int, Outcome]:
    """Score validation and test; with `k: auto` the k of the best validation metric, the smallest of equals."""
    settings = context.settings
    bank = _features(context, "train")
    labels = torch.from_numpy(votes_of(context)).to(context.device)
    if settings.bank_drop and len(bank) >= settings.batch_size:
        kept = len(bank) - len(bank) % settings.batch_size
        bank, labels = bank[:kept], labels[:kept]
    ks = _numbers(settings, len(bank))
    by = context.criterion if len(ks) > 1 else Criterion(context.metric)
    with torch.inference_mode():
        how = settings.temperature, settings.distance
        val = vote(_features(context, "val"), bank, labels, ks, *how)
        values = scores_on(context.val_targets, val, by)
        best = int(best_of(values, by, "k")[0]) if len(ks) > 1 else 0
        test = vote(_features(context, "test"), bank, labels, [ks[best]], *how)
    curve = [finite(v) for v in values]
    outcome = Outcome(
        log_odds_val=val[best],
        log_odds_test=test[0],
        chosen={"k": ks[best], "val": curve[best], "bank": len(bank)},
        selection={"candidates": [{"k": k, "val": v} for k, v in zip(ks, curve, strict=True)]},
        history={"k": ks, "val": [float(v) for v in values]},
        warnings=_warnings(settings, ks, best, len(bank), by),
    )
    return {context.seeds[0]: outcome}


def _features(context: Context[Knn], split: str) -> Tensor:
    """Return what distances are computed of, (n, d): unit vectors; for Euclid's distance, double precision."""
    if context.settings.distance == "cosine":
        return unit_features(context, split)
    return torch.from_numpy(np.array(context.inputs.clean(split), np.float64)).to(context.device)


def unit_features(context: Context[Settings], split: str) -> Tensor:
    """Return the features of a split's clean images at unit length, (n, d), on the job's device."""
    return normalize(torch.from_numpy(np.array(context.inputs.clean(split))).to(context.device), dim=1)


def votes_of(context: Context[Settings]) -> NDArray[np.float32]:
    """Return what each training image votes for, (n, c)."""
    targets = context.train_targets
    return targets.astype(np.float32) if context.multilabel else np.eye(context.classes, dtype=np.float32)[targets]


def _numbers(settings: Knn, bank: int) -> list[int]:
    """Return the numbers of neighbours that are tried, ascending: of a grid, those up to half of the training images.

    With more, the commonest class would win whatever the image.
    """
    if settings.k != "auto":
        return [min(settings.k, bank)]
    return sorted({k for k in settings.k_grid if k <= bank / 2} or {min(*settings.k_grid, bank)})


def _warnings(settings: Knn, ks: list[int], best: int, bank: int, by: Criterion) -> tuple[str, ...]:
    found, k = [], ks[best]
    if settings.k != "auto" and settings.k > bank:
        found.append(f"k = {settings.k} is more than the {bank} training images: {bank} is used")
    elif k > bank / 2:
        found.append(
            f"k = {k} is {k / bank:.0%} of the {bank} training images: frequent classes are favoured; try --set k=auto"
        )
    found += by.warnings
    if len(ks) > 2 and not by.warnings and (best == len(ks) - 1 or (best == 0 and k > 1)):
        found.append(f"the best k {k} is at the edge of the grid: a wider grid may do better")
    return tuple(found)


def vote(
    query: Tensor,
    bank: Tensor,
    labels: Tensor,
    ks: list[int],
    temperature: float | None,
    distance: Literal["cosine", "euclid"] = "cosine",
) -> NDArray[np.float64]:
    """Return the classes' log-odds of each k in `ks`, (len(ks), q, c): the votes for a class against the others.

    Args:
        query: (q, d), rows of length 1 for cosines.
        bank: (n, d), rows of length 1 for cosines.
        labels: (n, c) float: what each bank image votes for.
        ks: Ascending numbers of neighbours, at most n.
        temperature: Of the weights exp(similarity / temperature); None: all weights are 1.
        distance: What is near.
    """
    found = np.empty((len(ks), len(query), labels.shape[1]))
    positions = torch.tensor(ks, device=query.device) - 1
    for rows, similarity, index in nearest(query, bank, ks[-1], distance):
        shifted = (similarity - similarity[:, :1]).double()  # the shift cancels in the quotient
        weight = torch.ones_like(shifted) if temperature is None else (shifted / temperature).exp()
        own = labels[index]
        # The others' votes are summed by themselves: as 1 - share they would be lost beside a share next to 1.
        votes, others = ((weight[..., None] * side).cumsum(1)[:, positions] for side in (own, 1 - own))
        found[:, rows] = (votes.log() - others.log()).transpose(0, 1).cpu().numpy()
    return np.clip(found, -metrics.MOST, metrics.MOST)


def nearest(
    query: Tensor, bank: Tensor, k: int, distance: Literal["cosine", "euclid"] = "cosine"
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield (rows, similarities (r, k), bank indices (r, k)) for chunks of the query, nearest first.

    A similarity is the scalar product, or minus the squared distance. Of equal similarities the lower index counts as
    nearer, at the k-th place too (torch.topk leaves that open).
    """
    step = max(1, CHUNK_BYTES // (4 * len(bank)))

    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        similarity = query[rows] @ bank.T if distance == "cosine" else -torch.cdist(query[rows], bank).square()
        yield (rows, *_top(similarity, k))


def _top(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    value, index = similarity.topk(min(k + 1, similarity.shape[1]), dim=1)
    if value.shape[1] > k:
        for row in (value[:, k] == value[:, k - 1]).nonzero()[:, 0].tolist():
            least = value[row, k - 1]
            above = (similarity[row] > least).nonzero()[:, 0]
            level = (similarity[row] == least).nonzero()[: k - len(above), 0]
            index[row, :k] = torch.cat([above, level])
        index = index[:, :k]
    index = index.sort(dim=1).values
    value, by_value = similarity.gather(1, index).sort(dim=1, descending=True, stable=True)
    return value, index.gather(1, by_value)
