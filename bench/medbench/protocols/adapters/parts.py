"""What the adapters' protocols share: tensors of a job, and outcomes of logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from medbench import metrics
from medbench.cards.recipes import Augment, Settings
from medbench.protocols.context import Context, Outcome


def class_vectors(context: Context[Settings]) -> Tensor:
    """Return one vector for each class, (c, d): of length 1, but FLAIR's, whose length says how its texts agree."""
    vectors = torch.from_numpy(context.words.prototypes()).to(context.device)
    return vectors if context.words.rule == "flair" else normalize(vectors, dim=1)


def raw(context: Context[Settings], split: str) -> Tensor:
    """Return the features of a split's clean images as the encoder gives them, (n, d), on the job's device."""
    return torch.from_numpy(np.array(context.inputs.clean(split))).to(context.device)


def views(context: Context[Any], number: int, augment: Augment) -> list[Tensor]:
    """Return the features of each view of the training images as the encoder gives them, (n, d); 0: the clean ones."""
    found = context.inputs.views(number, augment)
    return [torch.from_numpy(np.array(view)).to(context.device) for view in found]


def labels(context: Context[Any], split: str = "train") -> Tensor:
    """Return the classes of the training or validation images, (n,)."""
    targets = context.train_targets if split == "train" else context.val_targets
    return torch.from_numpy(np.asarray(targets, np.int64)).to(context.device)


def outcome(context: Context[Any], logits: Callable[[Tensor], Tensor], **more: Any) -> Outcome:
    """Return the outcome of a function from features as the encoder gives them, (n, d), to logits, (n, c)."""
    scored = [
        metrics.log_odds(logits(raw(context, split)).cpu().numpy(), multilabel=False) for split in ("val", "test")
    ]
    return Outcome(log_odds_val=scored[0], log_odds_test=scored[1], **more)


def may_choose(context: Context[Any]) -> bool:
    """Tell whether anything may be chosen on validation: with all shots the split has a part, whatever `val` says."""
    return context.settings.val != "none" and len(context.val_targets) > 0
