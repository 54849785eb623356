"""CKA batch by batch against HSIC_1 written out in float64, and known identities."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from medbench.errors import CardError, MedbenchError
from medbench.features.minibatch_cka import Cka, centre, gram

ESTIMATORS = ("batch", "hsic")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small matrices are quicker on one thread: on a busy machine threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def layers(n: int, widths: tuple[int, ...] = (40, 25, 60), seed: int = 0, mean: float = 2.0) -> list[Tensor]:
    """Features of n images in several layers, all of the same hidden factors; column means are `mean` large."""
    rng = np.random.default_rng(seed)
    hidden = np.random.default_rng(99).normal(size=(n, 6))
    return [
        torch.from_numpy(
            hidden @ rng.normal(size=(6, p)) / 3 + rng.normal(size=(n, p)) + mean * rng.normal(size=p)
        ).float()
        for p in widths
    ]


def added(estimator: str, a: list[Tensor], b: list[Tensor], sizes: list[int] | None = None) -> np.ndarray:
    found = Cka(len(a), len(b), estimator)
    sizes = sizes or [len(a[0])]
    for start, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        found.add(*([x[start : start + size] for x in side] for side in (a, b)))
    return found.value()


def hsic_1(x: Tensor, y: Tensor) -> float:
    """Song et al. 2012, equation 5, with Gram matrices written out."""
    k, other = (v.double().numpy() @ v.double().numpy().T for v in (x, y))
    n = len(k)
    np.fill_diagonal(k, 0)
    np.fill_diagonal(other, 0)
    corner = k.sum() * other.sum() / ((n - 1) * (n - 2))
    return (np.sum(k * other) + corner - 2 / (n - 2) * (k.sum(0) @ other.sum(0))) / (n * (n - 3))


def debiased(x: Tensor, y: Tensor) -> float:
    """CKA of all images at once, by the definition; features are centred first, or large means would cost digits."""
    x, y = (v.double() - v.double().mean(0) for v in (x, y))
    return float(hsic_1(x, y) / np.sqrt(hsic_1(x, x) * hsic_1(y, y)))


def published_centring(k: np.ndarray) -> np.ndarray:
    """The published unbiased centring, an element at a time."""
    n = len(k)
    k = k * (1 - np.eye(n))
    means = [sum(k[j, i] for j in range(n)) / (n - 2) for i in range(n)]
    means = [m - sum(means) / (2 * (n - 1)) for m in means]
    return np.array([[0 if i == j else k[i, j] - means[i] - means[j] for j in range(n)] for i in range(n)])


def published(x: Tensor, y: Tensor) -> float:
    """<K, L> / (|K| |L|) of one batch's centred Gram matrices."""
    k, other = (published_centring(v.double().numpy() @ v.double().numpy().T) for v in (x, y))
    return float((k * other).sum() / (np.linalg.norm(k) * np.linalg.norm(other)))


def split(x: Tensor, sizes: list[int]) -> list[Tensor]:
    return list(torch.split(x, sizes))


SIZES = [16, 16, 16, 7]


def test_the_batch_estimate_is_the_mean_of_the_published_ratio() -> None:
    a, b = layers(55), layers(55, (30, 50), seed=1)
    expected = [
        [np.mean([published(p, q) for p, q in zip(split(x, SIZES), split(y, SIZES), strict=True)]) for y in b]
        for x in a
    ]
    found = added("batch", a, b, SIZES)
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert 0.1 < found.mean() < 0.95


def test_the_hsic_estimate_is_a_ratio_of_mean_hsic_1() -> None:
    a, b = layers(55), layers(55, (30, 50), seed=1)

    def mean(x: Tensor, y: Tensor) -> float:
        parts = [hsic_1(p, q) for p, q in zip(split(x, SIZES), split(y, SIZES), strict=True)]
        return float(np.average(parts, weights=SIZES))

    expected = [[mean(x, y) / np.sqrt(mean(x, x) * mean(y, y)) for y in b] for x in a]
    found = added("hsic", a, b, SIZES)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - added("batch", a, b, SIZES)).max() > 1e-3, "the estimates differ"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_one_batch_of_all_images_is_the_debiased_value(estimator: str) -> None:
    a, b = layers(80), layers(80, (30, 50), seed=1)
    expected = [[debiased(x, y) for y in b] for x in a]
    np.testing.assert_allclose(added(estimator, a, b), expected, atol=1e-6)


def test_all_batches_that_there_are_give_the_whole_value() -> None:
    # HSIC_1 is a U-statistic: its mean over all subsets is its value on the whole, to the last digit
    a, b = layers(9, (4, 30)), layers(9, (8, 3), seed=1)
    whole = added("hsic", a, b)
    for size in (4, 6):
        totals = {name: Cka(2, 2, name) for name in ESTIMATORS}
        for rows in itertools.combinations(range(9), size):
            for total in totals.values():
                total.add([x[list(rows)] for x in a], [y[list(rows)] for y in b])
        np.testing.assert_allclose(totals["hsic"].value(), whole, atol=1e-6)
        assert np.abs(totals["batch"].value() - whole).max() > 0.02, "a mean of ratios is another number"


def test_the_hsic_estimate_nears_the_whole_value_with_more_batches() -> None:
    a, b = layers(1024, (20, 300)), layers(1024, (15, 200), seed=1)
    whole = added("hsic", a, b)
    source, running = np.random.default_rng(0), {name: Cka(2, 2, name) for name in ESTIMATORS}
    errors: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    for _ in range(32):  # orders of the same images, in batches of 8
        for rows in np.split(source.permutation(1024), 128):
            for total in running.values():
                total.add([x[rows] for x in a], [y[rows] for y in b])
        for name, total in running.items():
            errors[name].append(float(np.abs(total.value() - whole).max()))
    assert errors["hsic"][-1] < 0.005
    assert errors["hsic"][-1] < errors["hsic"][0] / 5
    assert errors["batch"][-1] > 5 * errors["hsic"][-1], "a mean of ratios stays away, however many batches there are"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_identities(estimator: str) -> None:
    sizes = [16, 16, 12]
    a, b = layers(44), layers(44, seed=1)
    value = added(estimator, a, b, sizes)
    rotations = [torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], dtype=torch.float64))[0] for x in a]
    rotated = [(x.double() @ q).float() for x, q in zip(a, rotations, strict=True)]
    for changed in (rotated, [x * 1000 for x in a], [x / -1000 for x in a], [x + 10 for x in a]):
        np.testing.assert_allclose(added(estimator, changed, b, sizes), value, atol=3e-6)
    np.testing.assert_allclose(added(estimator, b, a, sizes), value.T, atol=1e-12)
    own = added(estimator, a, a, sizes)
    np.testing.assert_allclose(np.diag(own), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(own, own.T, atol=1e-12)
    assert own[0, 1] < 0.9
    mapped = [x * torch.linspace(0.1, 4, x.shape[1]) for x in a]
    assert np.abs(added(estimator, mapped, b, sizes) - value).max() > 0.01, "no general linear map is undone"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_mean_far_larger_than_the_differences_costs_little_accuracy(estimator: str) -> None:
    a, b = layers(64, (500, 40_000), mean=300), layers(64, (30_000, 400), seed=1, mean=300)
    expected = np.array([[debiased(x, y) for y in b] for x in a])
    np.testing.assert_allclose(added(estimator, a, b), expected, atol=2e-5)
    odd = [torch.cat([torch.zeros(1, x.shape[1]), x[1:]]) for x in a]  # a black first image, far from the others
    for x, row in zip(odd, added(estimator, odd, a), strict=True):
        np.testing.assert_allclose(row, [debiased(x, y) for y in a], atol=2e-5)
    raw = [x @ x.T for x in (*a, *b)]  # what it would cost without the mean taken off
    plain = Cka(2, 2, estimator)
    plain.add_grams(raw[:2], raw[2:])
    assert np.abs(plain.value() - expected).max() > 1e-3


def test_features_of_any_shape_and_precision() -> None:
    a = [x.view(20, 5, -1) for x in layers(20, (40, 60))]
    maps = [x.view(20, 2, 2, -1) for x in layers(20, (40, 60))]
    flat = layers(20, (40, 60))
    assert np.array_equal(added("hsic", a, maps), added("hsic", flat, flat))
    half = added("hsic", [x.bfloat16() for x in flat], flat)
    np.testing.assert_allclose(np.diag(half), 1, atol=0.01)
    given = flat[0].clone()
    gram(given)
    assert torch.equal(given, flat[0]), "what is given stays as it is"


def test_blocks_of_columns_change_nothing(monkeypatch) -> None:
    x = layers(24, (1000,))[0]
    whole = gram(x)
    monkeypatch.setattr("medbench.features.minibatch_cka.COLUMNS", 64)
    torch.testing.assert_close(gram(x), whole, rtol=1e-6, atol=1e-4)


def test_centring() -> None:
    k = gram(layers(12, (30,))[0])
    found = centre(k[None])[0]
    np.testing.assert_allclose(found.numpy(), published_centring(k.numpy()), atol=1e-9)
    np.testing.assert_allclose(found.sum(0).numpy(), 0, atol=1e-9)
    assert (found.diagonal() == 0).all()
    torch.testing.assert_close(centre(centre(k)), found)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_last_batch_of_three_is_left_out(estimator: str) -> None:
    a, b = layers(35), layers(35, seed=1)
    kept = added(estimator, [x[:32] for x in a], [x[:32] for x in b], [16, 16])
    found = Cka(3, 3, estimator)
    for rows in (slice(0, 16), slice(16, 32), slice(32, 35)):
        found.add([x[rows] for x in a], [x[rows] for x in b])
    assert np.array_equal(found.value(), kept)
    assert (found.images, found.left_out) == (32, 3)
    four = added(estimator, [x[:20] for x in a], [x[:20] for x in b], [16, 4])
    assert np.isfinite(four).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_layer_that_tells_no_images_apart_is_nan_alone(estimator: str) -> None:
    a, b = layers(57), layers(57, seed=1)
    a[1] = torch.randn(1, 50).expand(57, 50)  # the mean of 57 equal numbers is not always that number
    found = added(estimator, a, b)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()


def test_what_cannot_be_added() -> None:
    with pytest.raises(CardError, match="unknown CKA estimator 'bach'") as caught:
        Cka(1, 1, "bach")  # type: ignore[arg-type]
    assert "did you mean: batch" in caught.value.hint
    found = Cka(3, 2)
    with pytest.raises(ValueError, match="3 and 3 layers, not 3 and 2"):
        found.add(layers(8), layers(8))
    with pytest.raises(ValueError, match="not of the same images"):
        found.add(layers(8), layers(9)[:2])
    found.add(layers(3), layers(3)[:2])
    with pytest.raises(MedbenchError, match="at least 4 images"):
        found.value()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_gpu_gives_the_same(estimator: str) -> None:
    a, b = layers(64, (500, 40_000)), layers(64, (30_000, 400), seed=1)
    found = Cka(2, 2, estimator, "cuda")
    found.add([x.cuda() for x in a], [x.cuda() for x in b])
    np.testing.assert_allclose(found.value(), added(estimator, a, b), atol=1e-5)
