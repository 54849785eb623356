"""The pictures of a run's page: what they draw, read from their axes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image
from sklearn.metrics import confusion_matrix

from medbench.report.html import plots
from medbench.report.inference import Predicted, predicted
from medbench.report.tables.table import Cell, Column, Row, Table

from .conftest import CLASSES, LABELS


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of each picture that was drawn."""
    found: list[Axes] = []
    plain = plots.canvas

    @contextmanager
    def kept(*args, **options) -> Iterator[plots.Canvas]:
        with plain(*args, **options) as made:
            found.append(made.axes)
            yield made

    monkeypatch.setattr(plots, "canvas", kept)
    return found


def test_a_curve_is_the_mean_over_seeds_and_the_chosen_one_is_thick(groups, drawn) -> None:
    picture = plots.curves(groups["dinov2"].records, "auroc")
    assert Image.open(io.BytesIO(picture)).format == "PNG"
    low, high = drawn[0].lines
    assert (low.get_label(), high.get_label()) == ("0.1 (chosen)", "1")
    assert list(low.get_ydata()) == pytest.approx([0.0, 0.1, 0.2])
    assert list(high.get_ydata()) == pytest.approx([0.3, 0.4, 0.5])
    assert low.get_linewidth() > high.get_linewidth()
    assert drawn[0].get_ylabel() == "validation auroc"


def test_without_a_history_there_is_no_curve(groups) -> None:
    records = [record.model_copy() for record in groups["dinov2"].records]  # a copy has no folder
    for record in records:
        record._folder = None
    assert plots.curves(records, "auroc") is None


def test_a_confusion_matrix_shows_shares_of_the_true_class(groups, drawn) -> None:
    found = predicted(groups["dinov2"])
    plots.confusion(found, CLASSES)
    counts = np.mean([confusion_matrix(found.targets, scores.argmax(axis=1)) for scores in found.scores], axis=0)
    shown = np.asarray(drawn[0].images[0].get_array())
    np.testing.assert_allclose(shown, counts / counts.sum(axis=1, keepdims=True))
    assert [text.get_text() for text in drawn[0].texts] == [f"{n:.0f}" for n in counts.ravel()]
    assert plots.by_label(found, CLASSES) is None, "one class an image"


def test_several_labels_have_areas_instead(groups, drawn) -> None:
    found = predicted(groups["sam"])
    assert plots.confusion(found, LABELS) is None
    assert plots.by_label(found, LABELS) is not None
    assert [tick.get_text() for tick in drawn[0].get_yticklabels()] == list(LABELS)


def test_one_class_alone_has_no_roc_curve() -> None:
    found = Predicted(("a", "b"), np.array([[[0.9, 0.1], [0.2, 0.8]]]), np.array([1, 1]), None)
    assert plots.roc(found, CLASSES) is None


def test_a_ranking_needs_two_rows_with_a_number(drawn) -> None:
    def table(*cells: Cell) -> Table:
        rows = tuple(Row((f"m{i}", "knn"), (cell,), {}) for i, cell in enumerate(cells))
        return Table("t", "t", ("Model", "Protocol"), (Column("c", "kappa", "kappa", "d"),), rows)

    assert plots.ranking(table(Cell(0.9, 0.1, 5), Cell())) is None
    assert plots.ranking(table(Cell(0.9, low=0.8, high=0.95, rank="best"), Cell(), Cell(0.5))) is not None
    (axes,) = drawn
    assert [text.get_text() for text in axes.get_yticklabels()] == ["m0 · knn", "m2 · knn"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.8, 0.95], [0.9], [0.5]]
