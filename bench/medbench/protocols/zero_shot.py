"""Zero-shot classification: the class whose texts are nearest to an image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from medbench import metrics
from medbench.cards.recipes import ZeroShot
from medbench.protocols.context import Context, Outcome
from medbench.protocols.knn import unit_features


def run(context: Context[ZeroShot]) -> dict[int, Outcome]:
    """Score validation and test by the cosines between images and the mean vector of each class's texts."""
    words = context.words
    vectors = [normalize(torch.from_numpy(words.embed(texts)), dim=1) for texts in words.prompts.texts]
    prototypes = normalize(torch.stack([one.mean(dim=0) for one in vectors]), dim=1).to(context.device)

    def scored(split: str) -> NDArray[np.float64]:
        logits = words.scale * unit_features(context, split) @ prototypes.T
        return metrics.log_odds(logits.cpu().numpy(), multilabel=context.multilabel)

    return {context.seeds[0]: Outcome(log_odds_val=scored("val"), log_odds_test=scored("test"))}
