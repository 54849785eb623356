"""LP++ against the authors' results and against a network of torch."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from medbench.training.adapters import lp_plus_plus as lpp

NAME = "lpplusplus"


def test_the_official_start_steps_and_weights(parity):
    known = parity.read(NAME)
    images, labels, text = (known[key] for key in ("train", "train_labels", "text"))
    start = lpp.initial(images, labels, text, known["initial_bias"])
    parity.check(NAME, "first weight", start.weight, known["initial_weight"])
    parity.check(NAME, "first factors", start.factors[None], known["initial_alpha"])
    sizes = lpp.rates(images, text)
    parity.check(NAME, "step sizes", [sizes.weight, sizes.factors], [18.253923416137695, 4.821335792541504])
    *_, (probe, _) = trained = list(lpp.train(start, images, labels, text, 60, reset=False))
    parity.check(NAME, "losses", [loss for _, loss in trained], known["losses"])
    for quantity in ("weight", "bias"):
        parity.check(NAME, quantity, getattr(probe, quantity), known[quantity])
    parity.check(NAME, "factors", probe.factors[None], known["alpha"])
    parity.check(NAME, "logits", probe.logits(known["test"], text), known["logits"])
    *_, (reset, _) = lpp.train(start, images, labels, text, 60, reset=True)
    parity.check(NAME, "factors with a reset", reset.factors[None], known["alpha_reset"])


def test_a_class_without_images_starts_at_zero_and_in_no_mean():
    source = torch.Generator().manual_seed(0)
    images, text = (normalize(torch.randn(n, 8, generator=source), dim=1) for n in (6, 3))
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    start = lpp.initial(images, labels, text, torch.zeros(3))
    assert not start.weight[2].any()
    own = [(images[labels == k] @ text[k]).mean() for k in (0, 1)]
    torch.testing.assert_close(start.factors, (250 * (own[0] + own[1]) / 2).expand(3))


def test_the_step_sizes_are_the_same_with_more_images_than_features():
    source = torch.Generator().manual_seed(0)
    for n in (5, 40):
        images, text = (normalize(torch.randn(m, 12, generator=source), dim=1) for m in (n, 3))
        sizes = lpp.rates(images, text)
        most = torch.linalg.svdvals(images.double())[0] ** 2
        assert abs(sizes.weight - 4 * n / most) < 1e-4 * sizes.weight
        assert abs(sizes.factors - n / (4 * (images @ text.T).pow(2).sum(0).max())) < 1e-4 * sizes.factors


def test_the_bias_is_drawn_by_the_seed():
    found = lpp.drawn_bias(0, 50, 16)
    assert float(found.abs().max()) <= 0.25
    assert torch.equal(found, lpp.drawn_bias(0, 50, 16))
    assert not torch.equal(found, lpp.drawn_bias(1, 50, 16))
