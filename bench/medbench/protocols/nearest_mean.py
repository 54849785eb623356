"""Nearest class mean on frozen features, by cosine: the baseline of few-shot papers (SimpleShot, Wang et al. 2019).

All features have unit length. The score of a class is the cosine between an image and the mean of the class's training
images; a softmax turns scores into class probabilities. For multilabel tasks the two classes of each label are the
images with it and those without it. Nothing is chosen and nothing is random.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from medbench import metrics
from medbench.cards.recipes import NearestMean
from medbench.protocols.context import Context, Outcome
from medbench.protocols.knn import unit_features, votes_of


def run(context: Context[NearestMean]) -> dict[int, Outcome]:
    """Average the training images of each class, score validation and test."""
    train, members = unit_features(context, "train"), torch.from_numpy(votes_of(context)).to(context.device)
    means = [class_means(train, side) for side in ([members, 1 - members] if context.multilabel else [members])]

    def scored(split: str) -> NDArray[np.float64]:
        cosines = torch.stack([unit_features(context, split) @ mean.T for mean in means]) / context.settings.temperature
        logits = cosines[0] - cosines[1] if context.multilabel else cosines[0]
        return metrics.log_odds(logits.cpu().numpy(), multilabel=context.multilabel)

    outcome = Outcome(log_odds_val=scored("val"), log_odds_test=scored("test"), chosen={"images": len(train)})
    return {context.seeds[0]: outcome}


def class_means(features: Tensor, members: Tensor) -> Tensor:
    """Return the mean of each class's features at unit length, (c, d); zero for a class without images.

    Args:
        features: (n, d), rows of unit length.
        members: (n, c), 1 where an image belongs to the class, else 0.
    """
    return normalize(members.T @ features, dim=1)
