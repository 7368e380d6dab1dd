"""Charts of explanations: what is drawn is what was found."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from wellfit.charts import explain as plots
from wellfit.charts.style import BLUE, RED, save, svg
from wellfit.explain.contributions import Contributions
from wellfit.explain.dependence import Dependence
from wellfit.explain.importance import Importance, Worsening

RANDOM = np.random.default_rng(0)


def importance_of(columns, scores=("log_loss", "accuracy")):
    values = RANDOM.normal(size=(len(scores), columns))
    found = {
        name: Worsening(mean, mean - 0.1, mean + 0.2, np.full(columns, 0.05))
        for name, mean in zip(scores, values, strict=True)
    }
    return Importance(tuple(f"c{i}" for i in range(columns)), 100, 5, found)


def test_the_most_important_columns_are_drawn_from_top_to_bottom():
    found = importance_of(30)
    figure = plots.importance(found)
    first, second = figure.axes
    shown = found.order[: plots.MOST_COLUMNS]
    assert [label.get_text() for label in first.get_yticklabels()] == [f"c{i}" for i in shown]
    assert first.yaxis_inverted()
    for axes, name in ((first, "log_loss"), (second, "accuracy")):
        worse = found.scores[name]
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], worse.mean[shown])
        (lines,) = [each for each in axes.collections if isinstance(each, LineCollection)]
        ends = np.array([segment[:, 0] for segment in lines.get_segments()])
        np.testing.assert_allclose(ends, np.stack([worse.low, worse.high], axis=1)[shown])
    assert first.get_xlabel() == "rise of the log loss"
    assert second.get_xlabel() == "fall of the accuracy"


def numbers(outputs=1, missing=None, name="size"):
    curves = RANDOM.normal(size=(7, 5)) if outputs == 1 else np.empty((0, 5))
    return Dependence(
        name, (), np.linspace(0, 4, 5), RANDOM.normal(size=(5, outputs)), curves, np.linspace(0.5, 5, 9), missing
    )


def categories(outputs=1):
    shares = np.array([0.5, 0.4, 0.004])
    mean = np.array([[1.0], [2.0], [4.0]]) * np.arange(1, outputs + 1)
    return Dependence("colour", ("red", "blue", "$x$"), np.arange(3.0), mean, np.empty((0, 3)), shares, None)


def test_a_number_has_its_mean_its_single_rows_its_deciles_and_its_gap():
    found = numbers(missing=np.array([0.3]))
    axes = plots.dependence([found], ["price"], are_shares=False).axes[0]
    mean, gap = axes.get_lines()
    np.testing.assert_allclose(mean.get_xydata(), np.stack([found.values, found.mean[:, 0]], axis=1))
    assert gap.get_ydata() == [0.3, 0.3]
    rows, deciles = axes.collections
    np.testing.assert_allclose([segment[:, 1] for segment in rows.get_segments()], found.curves)
    np.testing.assert_allclose([segment[0, 0] for segment in deciles.get_segments()], found.spread[found.spread <= 4])
    low, high = axes.get_ylim()
    assert low < min(found.mean.min(), found.curves.min())
    assert high > max(found.mean.max(), found.curves.max())


def test_whole_numbers_have_whole_ticks():
    years = numbers(name="year")._replace(values=np.arange(2011.0, 2016), spread=np.linspace(2011, 2015, 9))
    for found, are_whole in ((years, True), (years._replace(values=years.values + 0.5), False)):
        ticks = plots.dependence([found], ["price"], are_shares=False).axes[0].get_xticks()
        assert (ticks % 1 == 0).all() == are_whole


def test_categories_are_bars_from_the_mean_with_their_shares():
    axes = plots.dependence([categories()], ["price"], are_shares=False).axes[0]
    middle = (0.5 * 1 + 0.4 * 2 + 0.004 * 4) / 0.904
    np.testing.assert_allclose([bar.get_x() for bar in axes.patches], middle)
    np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in axes.patches], [1, 2, 4])
    assert axes.yaxis_inverted()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["red (50%)", "blue (40%)", r"\$x\$ (0.4%)"]


def test_several_outputs_have_a_colour_each():
    figure = plots.dependence([numbers(3), categories(3)], ["a", "b", "c"], are_shares=True)
    curves, points = (axes.get_lines() for axes in figure.axes)
    colors = [to_hex(color) for color in plots.OUTPUT_COLORS[:3]]
    assert [to_hex(line.get_color()) for line in curves] == colors
    assert [to_hex(line.get_color()) for line in points] == colors
    np.testing.assert_allclose(points[2].get_xdata(), [3, 6, 12])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c", "deciles"]


def test_numbers_are_on_one_scale():
    figure = plots.dependence([numbers(), numbers(), categories()], ["price"], are_shares=False)
    first, second, third = figure.axes
    assert first.get_ylim() == second.get_ylim()
    assert third.get_xlim()[0] < 1 < 4 < third.get_xlim()[1]


def contributions_of(rows, columns):
    values = RANDOM.normal(size=(rows, columns))
    return Contributions(values, np.full((rows, columns), 0.01), values.sum(axis=1), np.zeros(rows))


@pytest.mark.parametrize("columns", [3, plots.MOST_BARS, 30])
def test_each_row_has_its_own_names_and_bars(columns):
    found = contributions_of(5, columns)
    cells = [[f"r{row} c{column}" for column in range(columns)] for row in range(5)]
    figure = plots.contributions(found, cells, [f"title {i}" for i in range(5)], "it", are_shares=False)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == [f"title {i}" for i in range(5)]
    drawn = min(columns, plots.MOST_BARS)
    for row in range(5):
        axes, first = figure.axes[row // 3], row % 3 * drawn
        bars = axes.patches[first : first + drawn]
        names = [label.get_text() for label in axes.get_yticklabels()][first : first + drawn]
        order = np.argsort(-np.abs(found.values[row]))
        alone = order if columns <= plots.MOST_BARS else order[: plots.MOST_BARS - 1]
        lengths = found.values[row, alone].tolist()
        if len(alone) < columns:
            lengths.append(found.values[row].sum() - sum(lengths))
            assert names[-1] == f"{columns - len(alone)} others"
        assert names[: len(alone)] == [cells[row][i] for i in alone]
        np.testing.assert_allclose([bar.get_width() for bar in bars], lengths)
        assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == [BLUE if x > 0 else RED for x in lengths]
        # The bar of a name stands beside it.
        at = axes.get_yticks()[first : first + drawn]
        np.testing.assert_allclose([bar.get_y() + bar.get_height() / 2 for bar in bars], at)


def test_a_single_row_has_a_narrow_figure(tmp_path):
    figure = plots.contributions(contributions_of(1, 2), [["a", "b"]], ["one"], "it", are_shares=True)
    assert len(figure.axes) == 1
    save(figure, tmp_path / "one.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_heat_is_as_strong_as_the_fall_and_red_where_it_rises(channels):
    images = RANDOM.integers(0, 255, (5, channels, 4, 6)).astype(np.uint8)
    heat = RANDOM.normal(size=(5, 4, 6))
    figure = plots.heat_maps(images, heat, [f"t{i}" for i in range(5)], "it")
    pictures = figure.axes[0].get_images()
    assert len(pictures) == 10
    for i in range(5):
        shown = np.asarray(pictures[2 * i].get_array())
        np.testing.assert_allclose(shown, images[i].transpose(1, 2, 0).squeeze() / images.max())
        colors = np.asarray(pictures[2 * i + 1].get_array())
        np.testing.assert_allclose(colors[..., 3], np.abs(heat[i]) / np.abs(heat).max())
        assert np.all((colors[..., 0] > 0.5) == (heat[i] < 0))
    assert "<image" in svg(figure, "x")


def test_no_heat_at_all_is_drawn():
    plots.heat_maps(np.zeros((1, 1, 4, 4), np.uint8), np.zeros((1, 4, 4)), ["t"], "it")
