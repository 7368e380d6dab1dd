import numpy as np
import pytest

from wellfit.charts import training
from wellfit.charts.style import save


def history(epochs=5, score="accuracy"):
    falling = np.linspace(1, 0.5, epochs).tolist()
    rising = np.linspace(0.5, 0.9, epochs).tolist()
    return {
        "train/loss": falling,
        "val/loss": [2 * value for value in falling],
        f"train/{score}": rising,
        f"val/{score}": [value / 2 for value in rising],
        "lr": falling,
        "grad_norm": rising,
    }


def line(axes, label):
    (found,) = [line for line in axes.get_lines() if line.get_label() == label]
    return found


def test_learning_curves_show_both_splits_and_the_epoch_kept(tmp_path):
    figure = training.learning_curves(history(), best_epoch=4, names=["loss", "accuracy"])
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        train = line(axes, "training, during the epoch")
        validation = line(axes, "validation, after it")
        assert train.get_xdata().tolist() == [1, 2, 3, 4, 5]
        assert list(train.get_ydata()) == history()[f"train/{name}"]
        assert list(validation.get_ydata()) == history()[f"val/{name}"]
        kept = line(axes, "weights kept: epoch 4")
        assert (*kept.get_xdata(), *kept.get_ydata()) == (4, history()[f"val/{name}"][3])
        assert axes.get_title("left").startswith(f"Validation {name} ")
        assert axes.get_xlabel() == "epoch"
    titles = [axes.get_title("left").split()[2] for axes in figure.axes]
    assert titles == ["1.25", "40.0%"]
    save(figure, tmp_path / "learning_curves.png")


def test_a_loss_that_falls_far_is_shown_on_a_logarithmic_axis():
    falling = history() | {"train/loss": [3.0, 1.0, 0.1, 0.05, 0.01]}
    loss, score = training.learning_curves(falling, best_epoch=1, names=["loss", "accuracy"]).axes
    assert (loss.get_yscale(), score.get_yscale()) == ("log", "linear")


def test_a_single_epoch_is_visible(tmp_path):
    figure = training.learning_curves(history(1, "rmse"), best_epoch=1, names=["loss", "rmse"])
    assert line(figure.axes[0], "training, during the epoch").get_marker() == "."
    save(figure, tmp_path / "one.png")
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == [1]
    save(training.learning_rate(history(1)), tmp_path / "rate.png")


def test_learning_rate_and_gradient_norm():
    upper, lower = training.learning_rate(history()).axes
    assert list(upper.get_lines()[0].get_ydata()) == history()["lr"]
    assert list(lower.get_lines()[0].get_ydata()) == history()["grad_norm"]
    assert upper.get_title("left") == "Learning rate: at most 1, at the end 0.5"


def layers_of(names, epochs=4):
    def statistics(epoch, number):
        head = number == len(names) - 1
        return {
            "grad_norm": 10.0**-number / epoch,
            "weight_norm": 1.0 + number,
            "activation_std": 0.5,
            "dead_share": float("nan") if head else 0.1 * number,
        }

    return [{name: statistics(epoch, number) for number, name in enumerate(names)} for epoch in range(1, epochs + 1)]


def test_layer_statistics_have_a_line_for_each_layer(tmp_path):
    layers = layers_of(["1.linear", "4.linear", "7.linear"])
    figure = training.layer_statistics(layers)
    for axes, statistic in zip(figure.axes, training.PANELS, strict=True):
        drawn = [line.get_ydata() for line in axes.get_lines()]
        expected = [[epoch[name][statistic] for epoch in layers] for name in layers[0]]
        np.testing.assert_array_equal(drawn, expected)
        assert axes.get_lines()[0].get_xdata().tolist() == [1, 2, 3, 4]
    assert figure.axes[0].get_yscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1.linear", "4.linear", "7.linear"]
    save(figure, tmp_path / "layers.png")


@pytest.mark.parametrize(("count", "epochs"), [(1, 1), (60, 3)])
def test_one_layer_or_sixty(tmp_path, count, epochs):
    names = [f"layer{i}.conv" for i in range(count)]
    figure = training.layer_statistics(layers_of(names, epochs))
    assert len(figure.axes[0].get_lines()) == count
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == min(count, training.NAMED_LAYERS)
    assert (labels[0], labels[-1]) == (names[0], names[-1])
    save(figure, tmp_path / "layers.png")
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 <= legend.x1 <= figure.bbox.x1


def test_lr_range_shows_the_curve_and_what_to_try(tmp_path):
    lr = np.geomspace(1e-4, 1, 5)
    smoothed = np.array([2.0, 1.9, 1.0, 0.5, 3.0])
    figure = training.lr_range(lr, smoothed + 0.1, smoothed, (0.01, 0.01))
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["smoothed"].get_ydata().tolist() == smoothed.tolist()
    assert lines["of each batch"].get_xdata().tolist() == lr.tolist()
    assert axes.get_xscale() == "log"
    steepest = lines["steepest fall: 0.01"]
    assert steepest.get_xdata()[0] == 0.01
    assert steepest.get_ydata()[0] == pytest.approx(1.0)
    lowest = lines["lowest: 0.1, a tenth: 0.01"]
    assert (*lowest.get_xdata(), *lowest.get_ydata()) == pytest.approx((0.1, 0.5))
    assert axes.get_title("left") == "Try optim.lr between 0.01 and 0.01"
    save(figure, tmp_path / "lr_find.png")
