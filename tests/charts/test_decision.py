import numpy as np
import pytest
from matplotlib.collections import LineCollection

from wellfit.charts.decision import coverage_by_group, threshold_curves
from wellfit.metrics.conformal import Coverage
from wellfit.metrics.threshold import Costs, threshold_curve


def curve(seed, wanted="f1", chosen=None):
    random = np.random.default_rng(seed)
    y = random.integers(2, size=60)
    probability = (random.random(60) + y) / 2
    return threshold_curve(y, probability, np.ones(60), wanted, chosen)


def test_the_curves_are_the_scores_and_the_chosen_threshold_is_marked():
    val = curve(0)
    test = curve(1, chosen=val.chosen)
    figure = threshold_curves({"validation": val, "test": test})
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    for name, each in (("validation", val), ("test", test)):
        x, y = lines[name].get_data()
        assert lines[name].get_drawstyle() == "steps-post"
        np.testing.assert_array_equal(x[:-1], each.starts)
        np.testing.assert_array_equal(y[:-1], each.values)
        assert (x[-1], y[-1]) == (1.0, each.values[-1])
    assert lines[f"chosen: {val.chosen:.3g}"].get_xdata()[0] == val.chosen
    points = [line.get_data() for line in axes.get_lines() if line.get_marker() == "o"]
    assert [(x[0], y[0]) for x, y in points] == [(val.chosen, each.at(val.chosen)) for each in (val, test)]
    assert axes.get_title("left").startswith(f"F1 at {val.chosen:.3g}: ")


def test_costs_are_named():
    val = curve(0, Costs(1.0, 5.0))
    assert threshold_curves({"validation": val}).axes[0].get_ylabel() == "mean cost"


def test_coverage_is_drawn_with_its_interval():
    found = [Coverage("all rows", 100, 0.9, 0.85, 0.94, 1.2), Coverage("$a$", 40, 0.8, 0.7, 0.88, 1.4)]
    (axes,) = coverage_by_group(found, 0.92).figure.axes
    (points,) = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert points.get_xdata().tolist() == [0.9, 0.8]
    (intervals,) = [each for each in axes.collections if isinstance(each, LineCollection)]
    assert [segment[:, 0].tolist() for segment in intervals.get_segments()] == [[0.85, 0.94], [0.7, 0.88]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all rows", r"\$a\$"]
    assert axes.get_title("left") == "The truth was held in 90.0% of the test rows"


@pytest.mark.parametrize(("groups", "drawn"), [(3, 4), (99, 40)])
def test_of_many_groups_the_first_are_drawn(groups, drawn):
    found = [Coverage(f"group {i}", 9, 0.9, 0.8, 1.0, 1.0) for i in range(groups + 1)]
    (axes,) = coverage_by_group(found, 0.9).axes
    assert len(axes.get_yticklabels()) == drawn
