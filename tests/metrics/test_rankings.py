from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from wellfit.metrics.predictions import MANY_CLASSES, ClassificationScores
from wellfit.metrics.rankings import ClassRankings
from wellfit.metrics.scores import Rankings


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("weighting", ["counts", "weights"])
def test_areas_are_those_of_scikit_learn(decimals: int | None, weighting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of rows of equal score, and where one class does not occur."""
    monkeypatch.setattr("wellfit.metrics.rankings.CELLS", 2000)  # several groups of classes
    random = np.random.default_rng(0)
    y = random.choice([0, 1, 2, 3, 5], 120)
    scores = random.random((120, 6)) + 0.5 * (y[:, np.newaxis] == np.arange(6))
    scores = scores if decimals is None else scores.round(decimals)
    weights = random.integers(0, 3, (4, 120)).astype(float) if weighting == "counts" else random.random((4, 120))
    area, precision = ClassRankings(scores, y).areas(weights)
    assert np.isnan(area[:, 4]).all()
    assert np.isnan(precision[:, 4]).all()
    for row, areas, precisions in zip(weights, area, precision, strict=True):
        for label in (0, 1, 2, 3, 5):
            given: Any = {"y_true": y == label, "y_score": scores[:, label], "sample_weight": row}
            assert areas[label] == pytest.approx(metrics.roc_auc_score(**given))
            assert precisions[label] == pytest.approx(metrics.average_precision_score(**given))


def test_areas_of_a_class_whose_rows_all_weigh_nothing_are_undefined() -> None:
    y = np.array([0, 0, 1, 1])
    area, precision = ClassRankings(np.random.default_rng(0).random((4, 2)), y).areas(np.array([[0.0, 0, 1, 2]]))
    assert np.isnan(area).all(), "there is no row of another class either"
    assert np.isnan(precision[0, 0])
    assert precision[0, 1] == 1


def test_many_classes_have_the_scores_that_few_would_have() -> None:
    random = np.random.default_rng(1)
    y = random.integers(0, MANY_CLASSES, 500)
    probabilities = random.dirichlet(np.ones(MANY_CLASSES), 500)
    weights = random.random((2, 500))
    found = ClassificationScores(y, probabilities, 15)(weights)
    rankings = Rankings(probabilities.T, y == np.arange(MANY_CLASSES)[:, np.newaxis])
    for row, *means in zip(weights, found["roc_auc"], found["average_precision"], strict=True):
        assert means == pytest.approx([np.nanmean(areas) for areas in rankings.areas(row)])
