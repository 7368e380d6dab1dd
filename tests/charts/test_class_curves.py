import numpy as np
import pytest
from sklearn import metrics

from wellfit.charts import class_curves as plots
from wellfit.charts.style import save

from .test_evaluation import names, predictions


def curve_lines(figure):
    return [line for line in figure.axes[0].get_lines() if line.get_label().startswith(("0.", "1."))]


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("classes", [2, 4])
def test_roc_curves_equal_scikit_learn(classes, decimals):
    y, probabilities = predictions(classes=classes, decimals=decimals)
    figure = plots.roc_curves(y, probabilities, names(classes))
    drawn = [1] if classes == 2 else range(classes)
    areas = []
    for c, line in zip(drawn, curve_lines(figure), strict=True):
        x, hits, _ = metrics.roc_curve(y == c, probabilities[:, c], drop_intermediate=False)
        np.testing.assert_allclose(line.get_xdata(), x)
        np.testing.assert_allclose(line.get_ydata(), hits)
        areas.append(metrics.roc_auc_score(y == c, probabilities[:, c]))
        assert line.get_label() == f"{areas[-1]:.3f}  class {c}"
    assert figure.axes[0].get_title("left").endswith(f" {np.mean(areas):.3f}")
    assert ("of class class 1" in figure.axes[0].get_title("left")) == (classes == 2)
    assert len(figure.legends) == (classes > 2)


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("classes", [2, 4])
def test_precision_recall_curves_equal_scikit_learn(classes, decimals):
    y, probabilities = predictions(classes=classes, skill=1.0, decimals=decimals)
    figure = plots.precision_recall_curves(y, probabilities, names(classes))
    drawn = [1] if classes == 2 else range(classes)
    for c, line in zip(drawn, curve_lines(figure), strict=True):
        average = metrics.average_precision_score(y == c, probabilities[:, c])
        assert line.get_label() == f"{average:.3f}  class {c}"
        recall, precision = line.get_data()
        assert np.diff(recall).min() > 0
        assert line.get_drawstyle() == "steps-pre"  # the area of such steps is:
        assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(average)
        points = set(zip(*(a.round(9).tolist() for a in (recall[1:], precision[1:])), strict=True))
        all_precisions, all_recalls, _ = metrics.precision_recall_curve(y == c, probabilities[:, c])
        assert points <= set(zip(all_recalls.round(9).tolist(), all_precisions.round(9).tolist(), strict=True))


@pytest.mark.parametrize("draw", [plots.roc_curves, plots.precision_recall_curves])
def test_many_classes_are_named_together(draw):
    y, probabilities = predictions(n=500, classes=11)
    figure = draw(y, probabilities, names(11))
    assert [text.get_text()[:8] for text in figure.legends[0].get_texts()] == ["11 class", "their me"]
    assert len([line for line in figure.axes[0].get_lines() if line.get_linewidth() < 1]) == 11


def test_of_very_many_classes_some_are_drawn_and_all_are_in_the_mean():
    y, probabilities = predictions(n=2000, classes=150)
    figure = plots.roc_curves(y, probabilities, names(150))
    assert len([line for line in figure.axes[0].get_lines() if line.get_linewidth() < 1]) == 75
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown[0] == "75 of 150 classes"
    areas = [metrics.roc_auc_score(y == c, probabilities[:, c]) for c in range(150) if (y == c).any()]
    assert shown[1] == f"their mean: {np.mean(areas):.3f}"


@pytest.mark.parametrize("draw", [plots.roc_curves, plots.precision_recall_curves])
def test_a_class_without_rows_has_no_curve(draw):
    y, probabilities = predictions(classes=4)
    kept = y != 2
    assert len(curve_lines(draw(y[kept], probabilities[kept], names(4)))) == 3


@pytest.mark.parametrize("draw", [plots.roc_curves, plots.precision_recall_curves])
def test_curves_of_a_single_class_are_undefined(draw, tmp_path):
    figure = draw(np.zeros(5, int), np.full((5, 2), 0.5), names(2))
    assert figure.axes[0].get_title("left").endswith("undefined, since all rows are of one class")
    save(figure, tmp_path / "curves.png")


def test_the_crowded_corner_of_good_roc_curves_is_drawn_larger():
    good, poor = (plots.roc_curves(*predictions(skill=skill), names(4)) for skill in (5.0, 0.5))
    assert len(good.axes[0].child_axes) == 1
    assert len(poor.axes[0].child_axes) == 0
