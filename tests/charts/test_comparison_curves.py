import numpy as np
import pytest
from matplotlib.colors import to_rgba

from wellfit.charts import comparison_curves as plots
from wellfit.charts.style import save
from wellfit.compare.measures import Measure
from wellfit.compare.outcome import Outcome
from wellfit.compare.statistics import results_of


def training(variant, seed, losses, failure="", lr=0.1):
    history = [
        {
            "train/loss": loss / 2,
            "val/loss": loss,
            "train/accuracy": 1 - loss / 4,
            "val/accuracy": 1 - loss / 2,
            "gap/loss": loss / 2,
            "lr": lr * (epoch + 1),
            "grad_norm": loss,
        }
        for epoch, loss in enumerate(losses)
    ]
    return Outcome(variant, seed, history, {}, 1, 1.0, failure)


def results(*outcomes):
    return results_of(list(dict.fromkeys(outcome.variant for outcome in outcomes)), [], list(outcomes))


def curves(found, weights="best"):
    return plots.curves(found, [Measure("val/loss"), Measure("val/accuracy")], "", weights)


def lines_of(axes, color, style="-"):
    return [
        line
        for line in axes.get_lines()
        if to_rgba(line.get_color()) == to_rgba(color) and line.get_linestyle() == style and len(line.get_xdata()) > 1
    ]


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_curves_are_means_of_both_splits_with_the_range_of_the_seeds(tmp_path):
    found = results(training("a", 0, [1.0, 0.6]), training("a", 1, [0.8, 0.2]), training("b", 0, [0.5, 0.5]))
    figure = curves(found)
    loss, accuracy = figure.axes
    (validation,) = lines_of(loss, plots.COLORS[0])
    (train,) = lines_of(loss, plots.COLORS[0], "--")
    assert validation.get_xdata().tolist() == [1, 2]
    assert validation.get_ydata().tolist() == pytest.approx([0.9, 0.4])
    assert train.get_ydata().tolist() == pytest.approx([0.45, 0.2])
    corners = np.concatenate([band.get_paths()[0].vertices for band in loss.collections])
    for corner in ((1, 0.8), (1, 1.0), (2, 0.2), (2, 0.6), (2, 0.1), (2, 0.3)):
        assert np.isclose(corners, corner).all(axis=1).any(), corner
    assert loss.get_title("left") == "Validation loss: lowest with a,\n0.4 on average in epoch 2"
    assert accuracy.get_title("left") == "Validation accuracy: highest with a,\n0.8 on average in epoch 2"
    assert labels(figure) == ["a", "b", "training", "validation", "range of the seeds"]
    save(figure, tmp_path / "curves.png")


def test_titles_tell_of_the_weights_that_are_scored():
    found = results(
        training("early", 0, [1.0, 0.2, 0.8]), training("late", 0, [1.0, 0.5, 0.4]), training("late", 1, [1.0, 0.6])
    )
    loss, accuracy = curves(found, "last").axes
    assert loss.get_title("left") == "Validation loss: lowest with late,\n0.5 on average after the last epoch"
    assert accuracy.get_title("left") == "Validation accuracy: highest with late,\n0.75 on average after the last epoch"


def test_the_first_epochs_do_not_squeeze_the_later_ones():
    losses = [1.9, *np.linspace(0.4, 0.2, 19)]
    loss, accuracy = curves(results(training("a", 0, losses), training("b", 0, [1.9, 0.8]))).axes
    assert accuracy.get_ylim()[0] == pytest.approx(0.6 - 0.05 * 0.35)  # the end of b; its start is 0.05
    assert accuracy.get_ylim()[1] > 0.95
    assert loss.get_yscale() == "log"
    assert loss.get_ylim()[1] > 1.9
    slow = results(training("a", 0, [1.9, *np.linspace(1.8, 0.5, 19)]))
    assert curves(slow).axes[1].get_ylim()[0] < 0.05


def test_where_seeds_ended_is_marked():
    short, long = training("a", 0, [1.0, 0.5]), training("a", 1, [0.8, 0.3, 0.3])
    figure = curves(results(short, long, training("b", 0, [0.5])))
    loss = figure.axes[0]
    whole, rest = lines_of(loss, plots.COLORS[0])
    assert whole.get_xdata().tolist() == [1, 2]
    assert rest.get_xdata().tolist() == [2, 3]
    assert rest.get_ydata().tolist() == pytest.approx([0.4, 0.3])
    assert rest.get_linewidth() < whole.get_linewidth()
    dots = {(line.get_color(), *line.get_xdata()) for line in loss.get_lines() if line.get_linestyle() == "None"}
    assert dots == {(plots.COLORS[0], 2), (plots.COLORS[1], 1)}
    assert "a seed ended before others" in labels(figure)


def test_numbers_that_blew_up_flatten_nothing(tmp_path):
    wild = training("b", 0, [0.9, 1e8, float("inf")], failure="train/loss became NaN in epoch 3")
    figure = curves(results(training("a", 0, [1.0, 0.5, 0.4]), wild))
    loss = figure.axes[0]
    assert loss.get_yscale() == "linear"
    assert loss.get_ylim()[1] < 1.2
    (cross,) = [line for line in loss.get_lines() if line.get_marker() == "X"]
    assert cross.get_xdata().tolist() == [3]
    assert cross.get_ydata() == pytest.approx(loss.get_ylim()[1])
    assert "a seed failed" in labels(figure)
    save(figure, tmp_path / "curves.png")
    save(plots.traces(results(wild)), tmp_path / "traces.png")


@pytest.mark.filterwarnings("error")
def test_the_rate_of_what_failed_is_seen():
    constant, wild = training("a", 0, [1.0, 0.5]), training("b", 0, [9.0], failure="NaN", lr=100.0)
    for epoch in constant.history:
        epoch["lr"] = 0.1
    rate = plots.traces(results(constant, wild)).axes[0]
    assert rate.get_ylim()[0] < 0.1
    assert rate.get_ylim()[1] > 100


def test_the_legend_promises_nothing_that_is_not_drawn():
    nothing = training("b", 0, [], failure="NaN")
    for draw in (curves, plots.traces):
        figure = draw(results(training("a", 0, [1.0, 0.5]), nothing))
        assert "b (failed at once)" in labels(figure)
        assert "a seed failed" not in labels(figure)
        (line,) = [line for line in figure.legends[0].get_lines() if line.get_label() == "b (failed at once)"]
        assert line.get_linestyle() == "None"


def test_a_seed_that_failed_is_no_part_of_the_mean():
    found = results(training("a", 0, [1.0, 0.5]), training("a", 1, [9.0, 9.0], failure="NaN"))
    assert lines_of(curves(found).axes[0], plots.COLORS[0])[0].get_ydata().tolist() == [1.0, 0.5]


def test_eleven_variants_can_be_told_apart(tmp_path):
    found = results(*(training(f"variant {i}", s, [1.0 + i, 0.5]) for i in range(11) for s in range(2)))
    figure = curves(found)
    looks = {(line.get_color(), line.get_marker()) for line in figure.legends[0].get_lines()[:11]}
    assert len(looks) == 11
    assert not {to_rgba(color) for color, _ in looks} & {to_rgba(plots.BLACK), to_rgba(plots.GREY)}
    assert not figure.axes[0].collections  # bands would hide each other
    save(figure, tmp_path / "curves.png")
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 <= legend.x1 <= figure.bbox.x1


def test_the_legend_has_room_for_long_names(tmp_path):
    found = results(*(training(f"a rather long name of variant {i}", 0, [1.0, 0.5]) for i in range(6)))
    for figure in (curves(found), plots.traces(found)):
        save(figure, tmp_path / "long.png")
        legend = figure.legends[0].get_window_extent()
        assert 0 <= legend.x0 <= legend.x1 <= figure.bbox.x1


def test_traces_show_rate_norm_and_gap(tmp_path):
    figure = plots.traces(results(training("a", 0, [1.0, 0.5]), training("b", 0, [0.8, 0.2])))
    rate, norm, gap = figure.axes
    assert lines_of(rate, plots.COLORS[0])[0].get_ydata().tolist() == pytest.approx([0.1, 0.2])
    assert lines_of(norm, plots.COLORS[1])[0].get_ydata().tolist() == pytest.approx([0.8, 0.2])
    assert lines_of(gap, plots.COLORS[1])[0].get_ydata().tolist() == pytest.approx([0.4, 0.1])
    assert rate.get_title("left").endswith(", the same for all variants")
    assert gap.get_title("left").endswith(": at the end 0.1 (b) to 0.25 (a)")
    save(figure, tmp_path / "traces.png")
    assert rate.get_ylim()[0] == 0
    other = plots.traces(results(training("a", 0, [1.0, 0.5]), training("b", 0, [0.8, 0.2], lr=0.2)))
    assert "the same" not in other.axes[0].get_title("left")


def test_a_rate_that_is_always_the_same_needs_no_panel(tmp_path):
    found = results(training("a", 0, [1.0, 0.5]), training("b", 0, [0.8, 0.2, 0.1]))
    for result in found:
        for epoch in result.outcomes[0].history:
            epoch["lr"] = 0.001
    figure = plots.traces(found)
    assert [axes.get_ylabel() for axes in figure.axes] == ["gradient norm", "gap of the loss"]
    assert figure.get_suptitle() == "Learning rate of all variants: 0.001 in every epoch"
    save(figure, tmp_path / "traces.png")
    found[1].outcomes[0].history[2]["lr"] = 0.0005
    assert len(plots.traces(found).axes) == 3


def test_only_rates_with_peaks_far_apart_get_a_logarithmic_axis():
    annealed = training("a", 0, [1.0, 0.5])
    annealed.history[1]["lr"] = 1e-9
    assert plots.traces(results(annealed, training("b", 0, [1.0, 0.5]))).axes[0].get_yscale() == "linear"
    rate, _, gap = plots.traces(results(annealed, training("b", 0, [1.0, 0.01], lr=0.001))).axes
    assert rate.get_yscale() == "log"
    assert 1e-5 < rate.get_ylim()[0] < 0.001
    assert gap.get_yscale() == "linear"


@pytest.mark.parametrize("variants", [1, 2, 11])
def test_schedules_have_a_panel_each(tmp_path, variants):
    found = results(*(training(f"s{i}", s, [1.0, 0.5], lr=0.1 * (i + 1)) for i in range(variants) for s in range(2)))
    figure = plots.schedules(found)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title("left") for axes in panels] == [f"s{i}" for i in range(variants)]
    for i, axes in enumerate(panels):
        own = lines_of(axes, plots.BLUE)
        assert [line.get_ydata().tolist() for line in own] == [pytest.approx([0.1 * (i + 1), 0.2 * (i + 1)])] * 2
        assert axes.get_ylim()[0] == 0
    assert labels(figure) == ["each seed of the variant", "the other variants"]
    assert [axes.get_xlabel() for axes in panels] == [
        "epoch" if i >= 4 or variants < 8 else "" for i in range(variants)
    ]
    assert len({axes.get_ylim() for axes in panels}) == 1
    save(figure, tmp_path / "schedules.png")


def test_a_high_rate_does_not_flatten_the_schedules_of_others():
    figure = plots.schedules(results(training("a", 0, [1.0, 0.5], lr=0.01), training("b", 0, [1.0, 0.5], lr=1.0)))
    assert [axes.get_ylim()[1] for axes in figure.axes] == pytest.approx([0.021, 2.1])
    assert "a scale of its own" in figure.get_suptitle()


def test_single_epochs_and_empty_histories_can_be_drawn(tmp_path):
    for found in (results(training("a", 0, [0.5])), results(training("a", 0, [], failure="out of memory"))):
        for name, figure in {
            "curves": curves(found),
            "traces": plots.traces(found),
            "schedules": plots.schedules(found),
        }.items():
            save(figure, tmp_path / f"{name}.png")
