"""Last-layer features of a fine-tuned model on test images, kept for the CKA among models (WACV 2024, Figure 8).

The features are the pooled ones that the linear head sees. CKA of two models is formed from two records, whose images
must be the same.
"""

from __future__ import annotations

import numpy as np
import torch

from medbench import files
from medbench.cards.recipes import CkaModels
from medbench.features.extract import exact
from medbench.progress import bar
from medbench.protocols.base import Context, Outcome
from medbench.protocols.cka import batches, chosen_images, network_of
from medbench.training.networks import Classifier


def run(context: Context) -> dict[int, Outcome]:
    """Keep the features; labels are not looked at."""
    settings = context.settings
    assert isinstance(settings, CkaModels)
    network = network_of(context, tuned=True)
    assert isinstance(network, Classifier)
    rows, parts = chosen_images(context, settings.images), []
    with bar(context.name, len(rows), "images") as advance, torch.inference_mode(), exact("fp32"):
        for x in batches(context, rows, settings.batch):
            parts.append(network.encoder.pooled(x).float().cpu().numpy())
            advance(len(x))
    features = np.concatenate(parts).astype(np.float32)
    return {
        context.seeds[0]: Outcome(
            metrics={"feature_rank": _effective_rank(features)},
            chosen={"images": len(rows), "ids": files.digest([context.split_digest, rows])},
            arrays={"features": features},
        )
    }


def _effective_rank(features: np.ndarray) -> float:
    """Return exp(entropy) of the normalised singular values of centred features (Roy and Vetterli, 2007)."""
    values = np.linalg.svd(features.astype(np.float64) - features.mean(0), compute_uv=False)
    share = values / values.sum() if values.sum() else np.ones(1)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))
