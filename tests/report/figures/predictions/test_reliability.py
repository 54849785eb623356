"""Reliability diagrams: bins against scikit-learn, errors against netcal's definition, scaling fitted on validation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve

from medbench.errors import CardError, MedbenchError
from medbench.metrics import probabilities
from medbench.report.figures.draw import draw
from medbench.report.figures.predictions.reliability import BIN, ECE, IMAGES, RAW, SCALED, collect

from .conftest import of, predicted


def two(x: np.ndarray) -> np.ndarray:
    """Probabilities of two classes from their log-odds."""
    return probabilities(x)


def fitted(seed: int) -> float:
    """The temperature with the lowest log loss, by another method: x[:, 1] is the difference of logits."""
    truth, x = predicted("binary", 2.0, seed, "val")

    def loss(t: float) -> float:
        return float(np.logaddexp(0, np.where(truth, -1, 1) * x[:, 1] / t).mean())

    return float(minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10}).x)


def bins_of(data, series, kind=BIN) -> np.ndarray:
    found = [p for p in of(data, series, kind) if p.panel == "good"]
    return np.array([(point.x, point.mean) for point in found])


@pytest.mark.parametrize("series", [RAW, SCALED])
def test_bins_of_a_class_before_and_after_scaling(show, series):
    data = collect(show(models="good"), "ill", "ece:10")
    seeds = [predicted("binary", 2.0, seed, "test") for seed in (0, 1)]
    heat = [fitted(seed) if series == SCALED else 1.0 for seed in (0, 1)]
    truth = np.concatenate([targets for targets, _ in seeds])
    p = np.concatenate([two(x[:, 1] / t) for (_, x), t in zip(seeds, heat, strict=True)])
    right, confidence = calibration_curve(truth, p, n_bins=10)
    np.testing.assert_allclose(bins_of(data, series), np.stack([confidence, right], 1), atol=1e-6)
    shares = np.histogram(p, np.linspace(0, 1, 11))[0] / len(p)
    np.testing.assert_allclose(bins_of(data, series, IMAGES)[:, 1], shares[shares > 0])
    assert all(point.low <= point.mean <= point.high for point in of(data, series, BIN))


def test_the_error_is_the_gap_of_the_bins(show):
    data = collect(show(models="poor/knn"))  # one seed: pooled bins are its own
    (error,) = of(data, RAW, ECE)
    bins, weight = (np.array([(p.x, p.mean) for p in of(data, RAW, kind)]) for kind in (BIN, IMAGES))
    assert error.mean == pytest.approx(float(np.sum(weight[:, 1] * np.abs(bins[:, 0] - bins[:, 1]))))
    assert (error.x, error.n) == ("ece", 1)
    assert of(data, SCALED, ECE)[0].x == "ece@temperature"


def test_several_labels_and_classes(show):
    data = collect(show("multilabel"))
    assert of(data, RAW, ECE)[0].x == "ece_macro"
    assert data.panels[0].x_title == "probability"
    assert "one for each label" in "".join(data.notes)
    data = collect(show("multiclass"), metric="ECE:mass:5")
    assert of(data, RAW, ECE)[0].x == "ece:mass:5"
    shares = [point.mean for point in of(data, RAW, IMAGES)]
    assert shares == pytest.approx([0.2] * 5, abs=0.01)


def test_without_validation_there_is_no_scaling(show):
    data = collect(show(models="poor/linear-frozen"))
    assert list(data.series) == [RAW]
    assert any(note.startswith("'after temperature scaling' is not shown") for note in data.notes)


def test_what_is_no_calibration_error(show):
    for metric in ("auroc", "ece@temperature"):
        with pytest.raises(MedbenchError, match="shows the bins of a calibration error"):
            collect(show(), metric=metric)
    with pytest.raises(CardError, match="unknown metric"):
        collect(show(), metric="eec")


def test_it_is_drawn_with_a_panel_for_each_run(show):
    data = collect(show())
    assert [panel.title for panel in data.panels] == ["good · linear-frozen", "poor · knn"]
    assert draw(data, dpi=40).startswith(b"\x89PNG")
