"""A task has several classes per sample if its targets are a matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medbench.cards.recipes import LinearUnfrozen
from medbench.training.finetune.task import FitTask
from medbench.training.machine import machine


@pytest.mark.parametrize("multilabel", [False, True])
def test_targets_tell_a_multilabel_task(multilabel: bool) -> None:
    classes = torch.arange(4) % 2
    targets = torch.eye(2)[classes] if multilabel else classes
    task = FitTask(LinearUnfrozen(), targets, np.arange(2), 2, "accuracy", machine("fp32", "cpu", 0))
    assert task.multilabel is multilabel
