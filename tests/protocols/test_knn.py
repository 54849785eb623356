"""k-NN against scikit-learn and against the definition, ties and memory included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from medbench.cards.recipes import Knn
from medbench.metrics import probabilities
from medbench.protocols import knn
from medbench.protocols.context import Context


def unit(x: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(x).float(), dim=1)


def data(n: int = 300, q: int = 70, d: int = 8, c: int = 4, seed: int = 0):
    source = np.random.default_rng(seed)
    centres = source.normal(size=(c, d))
    labels = source.integers(c, size=n)
    return source.normal(size=(q, d)), centres[labels] + source.normal(size=(n, d)), labels


@pytest.mark.parametrize("k", [1, 20, 200])
def test_scores_equal_scikit_learn(k: int) -> None:
    query, bank, labels = data()
    weigh = lambda distance: np.exp((1 - distance) / 0.1)  # noqa: E731
    theirs = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=weigh).fit(bank, labels)
    ours = probabilities(knn.vote(unit(query), unit(bank), torch.eye(4)[labels], [k], 0.1)[0])
    np.testing.assert_allclose(ours, theirs.predict_proba(query), atol=1e-4)


def test_all_ks_of_one_pass_equal_each_alone_and_chunks_do_not_matter(monkeypatch) -> None:
    query, bank, labels = (unit(data()[0]), unit(data()[1]), torch.eye(4)[data()[2]])
    together = probabilities(knn.vote(query, bank, labels, [1, 5, 50], 0.1))
    for i, k in enumerate([1, 5, 50]):
        np.testing.assert_allclose(together[i], probabilities(knn.vote(query, bank, labels, [k], 0.1)[0]), atol=1e-6)
    monkeypatch.setattr(knn, "CHUNK_BYTES", 4 * 300 * 7)
    np.testing.assert_allclose(probabilities(knn.vote(query, bank, labels, [1, 5, 50], 0.1)), together, atol=1e-6)


def test_multilabel_is_the_weighted_share_of_each_label() -> None:
    query, bank, _ = data()
    labels = (np.random.default_rng(1).random((300, 3)) > 0.7).astype(np.float32)
    ours = probabilities(knn.vote(unit(query), unit(bank), torch.from_numpy(labels), [30], 0.1)[0])
    similarity = (unit(query) @ unit(bank).T).double().numpy()
    for row, s in enumerate(similarity):
        near = np.argsort(-s, kind="stable")[:30]
        weight = np.exp(s[near] / 0.1)
        np.testing.assert_allclose(ours[row], weight @ labels[near] / weight.sum(), atol=1e-5)


def test_equal_similarities_go_to_the_lower_index() -> None:
    """Five copies of one image: whichever k cuts through them, the first ones are taken."""
    similarity = torch.tensor([[0.1, 0.9, 0.5, 0.9, 0.9, 0.2, 0.9, 0.9, 0.95]])
    for k, expected in [(1, [8]), (3, [8, 1, 3]), (5, [8, 1, 3, 4, 6]), (7, [8, 1, 3, 4, 6, 7, 2]), (9, None)]:
        value, index = knn._top(similarity, k)
        assert index[0].tolist() == (expected or [8, 1, 3, 4, 6, 7, 2, 5, 0])
        assert torch.equal(value[0], similarity[0, index[0]])


def test_a_low_temperature_does_not_overflow() -> None:
    query, bank, labels = data()
    scores = probabilities(knn.vote(unit(query), unit(bank), torch.eye(4)[labels], [20], 1e-3))
    assert np.isfinite(scores).all()
    assert scores.sum(-1) == pytest.approx(1, abs=1e-5)


class Features:
    def __init__(self, **splits: np.ndarray) -> None:
        self.splits = splits

    def clean(self, split: str) -> np.ndarray:
        return self.splits[split].astype(np.float32)


def context(tmp_path, **settings) -> Context:
    source = np.random.default_rng(5)
    centres = source.normal(size=(3, 6))
    targets = {split: source.integers(3, size=n) for split, n in (("train", 130), ("val", 40), ("test", 30))}
    features = {split: centres[y] + source.normal(size=(len(y), 6)) for split, y in targets.items()}
    return Context(
        settings=Knn.model_validate(settings),
        seeds=[0],
        classes=3,
        multilabel=False,
        metric="recall_macro",
        train_targets=targets["train"],
        val_targets=targets["val"],
        val_groups=None,
        inputs=Features(**features),
        device=torch.device("cpu"),
        partial=tmp_path,
    )


def test_k_is_cut_to_the_bank_with_a_warning(tmp_path) -> None:
    outcome = knn.run(context(tmp_path))[0]
    assert outcome.chosen["k"] == 130
    assert "more than the 130 training images" in outcome.warnings[0]
    assert outcome.log_odds_test.shape == (30, 3)


def test_auto_takes_the_smallest_k_of_the_best_validation_metric(tmp_path) -> None:
    outcome = knn.run(context(tmp_path, k="auto", k_grid=[1, 5, 25, 75]))[0]
    values = {c["k"]: c["val"] for c in outcome.selection["candidates"]}
    best = max(values.values())
    assert outcome.chosen["k"] == min(k for k, v in values.items() if v == best)
    assert outcome.chosen["val"] == best


def test_bank_drop_cuts_the_bank_to_full_batches(tmp_path) -> None:
    assert knn.run(context(tmp_path, k=5, bank_drop=True))[0].chosen["bank"] == 128
    assert knn.run(context(tmp_path, k=5))[0].chosen["bank"] == 130


@pytest.mark.parametrize("multilabel", [False, True])
def test_euclid_and_one_vote_each_are_sklearns_neighbours_and_a_plain_majority(multilabel: bool) -> None:
    """As Doerrich et al. (2025) count: ball tree, scipy's mode (the lowest class of a tie), labels above one half."""
    source = np.random.default_rng(2)
    query, bank = (source.normal(scale=[1, 5, 0.2], size=(n, 3)) + 100 for n in (80, 150))
    labels = source.integers(2, size=(150, 4)) if multilabel else np.eye(5, dtype=int)[source.integers(5, size=150)]
    index = NearestNeighbors(n_neighbors=11, algorithm="ball_tree").fit(bank).kneighbors(query)[1]
    votes = torch.from_numpy(labels.astype(np.float32))
    found = knn.vote(torch.from_numpy(query), torch.from_numpy(bank), votes, [11], None, "euclid")[0]
    if multilabel:
        np.testing.assert_array_equal(found > 0, labels[index].mean(axis=1) > 0.5)
        return
    expected = stats.mode(labels.argmax(axis=1)[index], axis=1).mode
    np.testing.assert_array_equal(found.argmax(axis=1), expected)
    counts = labels[index].sum(axis=1)
    assert (np.sort(counts)[:, -1] == np.sort(counts)[:, -2]).any(), "no tie among them"
    np.testing.assert_allclose(probabilities(found), counts / 11, atol=1e-6)


def test_euclids_features_are_not_scaled(tmp_path) -> None:
    near = {name: knn.run(context(tmp_path, k=11, temperature=None, distance=name))[0] for name in ("euclid", "cosine")}
    given = context(tmp_path)
    query, bank = (given.inputs.clean(split) for split in ("test", "train"))
    index = NearestNeighbors(n_neighbors=11).fit(bank).kneighbors(query)[1]
    shares = np.stack([(given.train_targets[index] == k).mean(axis=1) for k in range(3)], axis=1)
    np.testing.assert_allclose(probabilities(near["euclid"].log_odds_test), shares, atol=1e-6)
    assert np.abs(near["euclid"].log_odds_test - near["cosine"].log_odds_test).max() > 0.1
