import itertools
import math

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_rgba
from PIL import Image
from scipy.stats import binomtest
from sklearn import metrics

from wellfit.charts import class_curves
from wellfit.charts import evaluation as plots
from wellfit.charts.style import BLUE, RED, save
from wellfit.metrics.predictions import ClassificationScores, confusion_counts

FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def predictions(seed=0, n=300, classes=4, skill=2.0, decimals=None):
    random = np.random.default_rng(seed)
    y = random.integers(classes, size=n)
    logits = random.normal(size=(n, classes))
    logits[np.arange(n), y] += skill
    odds = np.exp(logits if decimals is None else logits.round(decimals))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    probabilities[:5] = np.eye(classes)[y[:5]]  # a network can be certain: exactly 0 and 1
    return y, probabilities


def names(classes):
    return [f"class {i}" for i in range(classes)]


def test_confusion_matrix_shows_counts_and_shares():
    matrix = np.array([[9, 1, 0], [0, 0, 0], [1, 0, 3]])
    axes = plots.confusion_matrix(matrix, ["a", "b", "c"]).axes[0]
    shown = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert shown == {cell: str(count) for cell, count in np.ndenumerate(matrix)}
    (cells,) = axes.collections
    opacity = 0.12 + 0.88 * np.sqrt([0.9, 0.1, 0.25, 0.75])
    colors = [to_rgba(color, alpha) for color, alpha in zip((BLUE, RED, RED, BLUE), opacity, strict=True)]
    np.testing.assert_allclose(cells.get_facecolors(), colors)
    middles = [path.vertices[:4].mean(axis=0).tolist() for path in cells.get_paths()]
    np.testing.assert_allclose(middles, [(0, 0), (1, 0), (0, 2), (2, 2)], atol=1e-9)
    assert axes.get_title("left") == "12 of 14 rows predicted right (85.7%)"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_zeros_are_written_for_few_classes_only():
    assert len(plots.confusion_matrix(np.eye(4, dtype=int), names(4)).axes[0].texts) == 16
    assert len(plots.confusion_matrix(np.eye(5, dtype=int), names(5)).axes[0].texts) == 5


@pytest.mark.parametrize(
    ("class_names", "slope"),
    [
        (["no", "yes"], 0),
        (["malignant tumour, stage 1", "benign"], 45),
        (FASHION, 45),
        ([f"Some rather long name {i}" for i in range(20)], 90),
    ],
)
def test_names_and_counts_of_a_confusion_matrix_do_not_overlap(class_names, slope):
    classes = len(class_names)
    figure = plots.confusion_matrix(np.full((classes, classes), 1234), class_names)
    assert figure.axes[0].get_xticklabels()[0].get_rotation() == slope
    figure.draw_without_rendering()
    assert_names_apart(figure)
    axes = figure.axes[0]
    cell = axes.transData.transform([[0, 0], [1, 0]])[:, 0] @ [-1, 1]
    assert max(text.get_window_extent().width for text in axes.texts) < cell


@pytest.mark.parametrize("classes", [21, 100])
def test_a_large_confusion_matrix_has_colours_and_readable_names(classes):
    figure = plots.confusion_matrix(np.eye(classes, dtype=int), names(classes))
    figure.draw_without_rendering()
    assert len(figure.axes[0].texts) == 0
    assert_names_apart(figure)


def assert_names_apart(figure):
    rows = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    for above, below in itertools.pairwise(rows):
        assert above.y0 >= below.y1
    columns = figure.axes[0].get_xticklabels()
    anchors = [figure.axes[0].transData.transform((label.get_position()[0], 0))[0] for label in columns]
    angle = math.radians(columns[0].get_rotation())
    if angle == 0:
        extents = [label.get_window_extent() for label in columns]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(extents))
    else:  # parallel lines of text, as far apart as their anchors seen at that angle
        apart = np.diff(anchors) * math.sin(angle)
        assert apart.min() > columns[0].get_fontsize() / 72 * figure.dpi


def test_reliability_diagram_shows_each_bin():
    y, probabilities = predictions(n=500, classes=3)
    (axes,) = plots.reliability_diagram(plots.reliability_of(y, probabilities, 10)).axes
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    members = [(confidence > b / 10) & (confidence <= (b + 1) / 10) for b in range(10)]
    used = [m for m in members if m.any()]
    (dots,) = [line for line in axes.get_lines() if line.get_label() == "accuracy of a bin"]
    np.testing.assert_allclose(dots.get_xdata(), [confidence[m].mean() for m in used])
    np.testing.assert_allclose(dots.get_ydata(), [right[m].mean() for m in used])
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], [m.mean() for m in used])
    (intervals,) = [collection for collection in axes.collections if isinstance(collection, LineCollection)]
    for m, segment in zip(used, intervals.get_segments(), strict=True):
        expected = binomtest(int(right[m].sum()), int(m.sum())).proportion_ci(method="wilson")
        np.testing.assert_allclose(segment[:, 1], [expected.low, expected.high], rtol=1e-6, atol=1e-12)
    ece = ClassificationScores(y, probabilities, 10)(np.ones(len(y)))["ece"]
    expected_title = f"Confidence {confidence.mean():.1%}, accuracy {right.mean():.1%}, ECE {ece:.3f}"
    assert axes.get_title("left") == expected_title


def test_residuals_show_every_row():
    random = np.random.default_rng(0)
    y = random.normal(150, 70, size=100)
    prediction = y + random.normal(3, 20, size=100)
    left, right = plots.residuals(y, prediction, "price (USD)").axes
    (points,) = [collection for collection in left.collections if isinstance(collection, PathCollection)]
    np.testing.assert_allclose(points.get_offsets(), np.column_stack([y, prediction]))
    assert sum(bar.get_height() for bar in right.patches) == pytest.approx(1)
    rmse = metrics.root_mean_squared_error(y, prediction)
    assert left.get_title("left") == f"R² {metrics.r2_score(y, prediction):.3f}, RMSE {rmse:.3g} (100 rows)"
    assert (left.get_xlabel(), left.get_ylabel()) == ("actual price (USD)", "predicted price (USD)")
    mean_line = next(line for line in right.get_lines() if line.get_label() == "mean error")
    assert mean_line.get_xdata()[0] == pytest.approx((prediction - y).mean())


def test_many_residuals_become_a_density():
    y = np.random.default_rng(0).normal(size=3000)
    axes = plots.residuals(y, y * 0.5, "y").axes[0]
    (density,) = [collection for collection in axes.collections if isinstance(collection, PolyCollection)]
    assert density.get_array().sum() == 3000


def test_a_constant_target_and_a_single_row_can_be_drawn(tmp_path):
    save(plots.residuals(np.full(10, 5.0), np.full(10, 5.0), "y"), tmp_path / "constant.png")
    save(plots.residuals(np.array([1.0]), np.array([2.0]), "y"), tmp_path / "row.png")


def test_odd_names_are_shown_as_they_are(tmp_path):
    y, probabilities = predictions(classes=3)
    odd = ["_private", "$100$", r"<b>\alpha"]
    figure = class_curves.roc_curves(y, probabilities, odd)
    save(figure, tmp_path / "roc.png")
    assert [text.get_text().split("  ")[1] for text in figure.legends[0].get_texts()] == [
        "_private",
        r"\$100\$",
        odd[2],
    ]
    matrix = plots.confusion_matrix(confusion_counts(y, probabilities.argmax(axis=1), 3), odd)
    assert [label.get_text() for label in matrix.axes[0].get_yticklabels()] == ["_private", r"\$100\$", odd[2]]
    save(matrix, tmp_path / "c.png")
    save(plots.residuals(np.arange(5.0), np.arange(5.0), "cost ($ per m_$)"), tmp_path / "r.png")


@pytest.mark.parametrize("draw", ["confusion", "roc", "precision_recall", "reliability", "residuals"])
def test_the_same_data_give_the_same_small_picture(draw, tmp_path):
    y, probabilities = predictions(n=2000, classes=10)
    figures = {
        "confusion": lambda: plots.confusion_matrix(confusion_counts(y, probabilities.argmax(axis=1), 10), FASHION),
        "roc": lambda: class_curves.roc_curves(y, probabilities, FASHION),
        "precision_recall": lambda: class_curves.precision_recall_curves(y, probabilities, FASHION),
        "reliability": lambda: plots.reliability_diagram(plots.reliability_of(y, probabilities, 15)),
        "residuals": lambda: plots.residuals(y.astype(float), probabilities @ np.arange(10), "value"),
    }
    for name in ("a.png", "b.png"):
        save(figures[draw](), tmp_path / name)
    content = (tmp_path / "a.png").read_bytes()
    assert content == (tmp_path / "b.png").read_bytes()
    assert len(content) < 150_000
    with Image.open(tmp_path / "a.png") as image:
        assert image.width <= 1200
        assert image.height <= 800
