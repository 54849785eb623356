"""Linear heads: first weights and order of the data, loss and gradient against autograd, scores against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medbench.metrics import probabilities
from medbench.training.heads.linear import initial, loss_and_slope, order, predict


def test_initial_weights_are_drawn_as_torch_draws_them() -> None:
    drawn = torch.stack([initial(seed, 5, 400) for seed in range(40)])
    layer = torch.nn.Linear(400, 5)
    assert drawn.abs().max() <= layer.weight.abs().max() * 1.01
    assert drawn.std().item() == pytest.approx(1 / 20 / 3**0.5, rel=0.01)
    assert not torch.equal(drawn[0], drawn[1])


def test_order_sees_each_image_once_and_views_at_random() -> None:
    rows = order(seed=0, epoch=3, n=50, views=16, epochs=100)
    assert sorted(rows % 50) == list(range(50))
    assert len(set(rows // 50)) > 8
    assert np.array_equal(rows, order(0, 3, 50, 16, 100))
    assert not np.array_equal(rows, order(1, 3, 50, 16, 100))
    assert not np.array_equal(rows, order(0, 4, 50, 16, 100))


def test_as_many_views_as_epochs_give_each_epoch_its_own() -> None:
    assert set(order(seed=0, epoch=7, n=50, views=100, epochs=100) // 50) == {7}


def test_predict_is_softmax_of_the_affine_map_and_half_makes_ties() -> None:
    source = torch.Generator().manual_seed(1)
    weight, x = torch.randn(3, 4, 9, generator=source), torch.randn(300, 8, generator=source) * 0.01
    scores = probabilities(predict(weight, x, multilabel=False))
    for h in range(3):
        expected = torch.nn.functional.linear(x, weight[h, :, :-1], weight[h, :, -1]).softmax(-1)
        np.testing.assert_allclose(scores[h], expected.numpy(), atol=1e-6)
    half = probabilities(predict(weight, x, multilabel=False, half=True))
    assert len(np.unique(half[0, :, 0])) < len(np.unique(scores[0, :, 0])) / 2


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_slopes_are_autograds(multilabel: bool, smoothing: float) -> None:
    source = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=source, requires_grad=True)  # (s, l, c, b)
    labels = torch.randint(2, (2, 5, 4), generator=source).float()
    target = labels if multilabel else torch.randint(4, (2, 5), generator=source)
    loss, slope = loss_and_slope(logits.detach().clone(), target, smoothing)
    for s, head in np.ndindex(2, 3):
        z = logits[s, head].T
        if multilabel:
            soft = labels[s] * (1 - smoothing) + smoothing / 2
            expected = torch.nn.functional.binary_cross_entropy_with_logits(z, soft)
        else:
            expected = torch.nn.functional.cross_entropy(z, target[s], label_smoothing=smoothing)
        torch.testing.assert_close(loss[s, head], expected.detach())
        (gradient,) = torch.autograd.grad(expected, logits, retain_graph=True)
        torch.testing.assert_close(slope[s, head], gradient[s, head])


def test_multilabel_scores_are_sigmoids() -> None:
    weight, x = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)), torch.eye(4)
    logits = weight[:, :, :4].transpose(1, 2) + weight[:, None, :, 4]
    np.testing.assert_allclose(probabilities(predict(weight, x, multilabel=True)), logits.sigmoid().numpy(), atol=1e-6)
