import numpy as np
import pytest

from wellfit.charts import comparison_plots as plots
from wellfit.charts.style import BLUE, GREY, RED, save
from wellfit.compare.measures import Measure
from wellfit.compare.outcome import Outcome
from wellfit.compare.statistics import results_of

NOISE = [0.001, -0.001, 0.002, -0.002, 0.0]


def results(means, measures=("test/accuracy",)):
    outcomes = [
        Outcome(
            variant,
            seed,
            [],
            {} if mean is None else dict.fromkeys(measures, mean + by * (1 + i)),
            1,
            1.0,
            "" if mean else "NaN",
        )
        for i, (variant, mean) in enumerate(means.items())
        for seed, by in enumerate(NOISE)
    ]
    return results_of(list(means), measures if any(means.values()) else [], outcomes)


def marks(axes):
    """Color of the mean by row."""
    return {
        float(line.get_ydata()[0]): line.get_color()
        for line in axes.get_lines()
        if line.get_marker() in "oD<>" and len(line.get_xdata()) == 1
    }


def test_forest_shows_differences_in_points_with_intervals_and_seeds(tmp_path):
    found = results({"a": 0.9, "better": 0.92, "alike": 0.9, "worse": 0.88})
    figure = plots.forest(found, [Measure("test/accuracy")], "")
    (axes,) = figure.axes
    assert marks(axes) == {0: BLUE, 1: GREY, 2: RED}
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["better", "alike", "worse"]
    difference = found[1].measured["test/accuracy"].difference
    (interval,) = [
        line for line in axes.get_lines() if list(line.get_ydata()) == [0, 0] and line.get_linestyle() == "-"
    ]
    assert interval.get_xdata().tolist() == pytest.approx([100 * difference.low, 100 * difference.high])
    (seeds,) = [line for line in axes.get_lines() if line.get_marker() == "o" and line.get_ydata()[0] == 0.24]
    assert seeds.get_xdata().tolist() == pytest.approx([2 + 100 * by for by in NOISE])
    assert axes.get_title("left") == "Test accuracy: 90.0 % [89.8, 90.2]"
    assert axes.get_xlabel() == "difference in points"
    assert figure.get_suptitle() == "Differences to “a”, whose own means are in the titles"
    save(figure, tmp_path / "forest.png")


def test_equal_seeds_are_all_seen():
    outcomes = [
        Outcome(variant, seed, [], {"test/accuracy": score}, 1, 1.0)
        for variant, scores in {"a": [0.5] * 4, "b": [0.6, 0.7, 0.6, 0.6]}.items()
        for seed, score in enumerate(scores)
    ]
    (axes,) = plots.forest(results_of(["a", "b"], ["test/accuracy"], outcomes), [Measure("test/accuracy")], "").axes
    (seeds,) = [line for line in axes.get_lines() if len(line.get_xdata()) == 4]
    assert seeds.get_xdata().tolist() == pytest.approx([10, 20, 10, 10])
    assert seeds.get_ydata().tolist() == pytest.approx([0.24, 0.24, 0.34, 0.44])


def test_lower_is_better_for_errors_and_gaps():
    keys = ["test/mae", "gap/accuracy", "test/accuracy"]
    found = results({"a": 0.9, "lower": 0.88}, keys)
    panels = plots.forest(found, [Measure(key) for key in keys], "price in EUR").axes
    assert [marks(axes)[0] for axes in panels] == [BLUE, BLUE, RED]
    assert panels[0].get_xlabel() == "difference in MAE (price in EUR)"


def test_a_difference_far_from_all_others_stands_at_the_edge(tmp_path):
    found = results({"a": 0.9, "b": 0.91, "c": 0.92, "zeros": 0.1})
    figure = plots.forest(found, [Measure("test/accuracy")], "")
    (axes,) = figure.axes
    assert axes.get_xlim()[0] > -4
    (arrow,) = [line for line in axes.get_lines() if line.get_marker() == "<"]
    assert arrow.get_xdata()[0] > -4
    assert [text.get_text() for text in axes.texts] == ["-80.0 points [-80.6, -79.4]"]
    save(figure, tmp_path / "forest.png")


def test_a_variant_without_a_score_is_named(tmp_path):
    figure = plots.forest(results({"a": 0.9, "b": None}), [Measure("test/accuracy")], "")
    assert [text.get_text().strip() for text in figure.axes[0].texts] == ["failed"]
    save(figure, tmp_path / "forest.png")
    figure = plots.forest(results({"a": None, "b": 0.9}), [Measure("test/accuracy")], "")
    assert [text.get_text().strip() for text in figure.axes[0].texts] == ["nothing to compare"]


@pytest.mark.parametrize("measures", [1, 3, 4, 5])
def test_forest_has_a_panel_for_each_measure(tmp_path, measures):
    keys = ["test/accuracy", "gap/accuracy", "test/loss", "test/f1", "test/recall"][:measures]
    figure = plots.forest(
        results({f"variant {i}": 0.8 + i / 50 for i in range(8)}, keys), [Measure(key) for key in keys], ""
    )
    assert len([axes for axes in figure.axes if axes.get_visible()]) == measures
    assert len(figure.axes) == (6 if measures == 5 else measures)  # four leave no hole
    save(figure, tmp_path / "forest.png")
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 <= legend.x1 <= figure.bbox.x1


@pytest.mark.parametrize("variants", [1, 2, 5])
def test_boundaries_share_one_scale_and_show_test_rows(tmp_path, variants):
    x, y = np.linspace(-2, 2, 12), np.linspace(-1, 1, 8)
    names = [f"v{i}" for i in range(variants)]
    probabilities = {name: np.clip(0.5 + 0.2 * (i + 1) * x[None] * y[:, None], 0, 1) for i, name in enumerate(names)}
    probabilities["v0"] = np.full((8, 12), 0.25)  # no boundary to draw
    points = np.array([[0.0, 0.5], [1.0, -0.5], [-1.0, 0.0]])
    shown = plots.Boundaries(x, y, probabilities, points, np.array([0, 1, 1]))
    titles = {name: f"{name}\ntest accuracy 90.0 %" for name in names}
    figure = plots.boundaries(shown, titles, ["x1", "x2"], ["upper", "lower"])
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.get_title("left")]
    assert [axes.get_title("left") for axes in panels] == list(titles.values())
    for axes in panels:
        mesh, *_, upper, lower = axes.collections
        assert mesh.get_clim() == (0, 1)
        np.testing.assert_allclose(upper.get_offsets(), points[:1])
        np.testing.assert_allclose(lower.get_offsets(), points[1:])
        assert axes.get_xlim() == (-2, 2)
    assert panels[0].get_ylabel() == "x2"
    assert [axes.get_xlabel() for axes in panels] == ["x1"] * variants  # the last row of five has gaps
    save(figure, tmp_path / "boundaries.png")
