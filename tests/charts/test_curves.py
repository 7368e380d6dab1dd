import numpy as np

from wellfit.charts import curves


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
    figure = curves.learning_curves(history(), best_epoch=4, score="accuracy")
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        train = line(axes, "training, during the epoch")
        validation = line(axes, "validation, after it")
        assert train.get_xdata().tolist() == [1, 2, 3, 4, 5]
        assert list(train.get_ydata()) == history()[f"train/{name}"]
        assert list(validation.get_ydata()) == history()[f"val/{name}"]
        kept = line(axes, "weights kept: epoch 4")
        assert (*kept.get_xdata(), *kept.get_ydata()) == (4, history()[f"val/{name}"][3])
        assert axes.get_title("left") == f"Validation {name} {history()[f'val/{name}'][3]:.4g} with the weights kept"
        assert axes.get_xlabel() == "epoch"
    curves.save(figure, tmp_path / "learning_curves.png")


def test_a_loss_that_falls_far_is_shown_on_a_logarithmic_axis():
    falling = history() | {"train/loss": [3.0, 1.0, 0.1, 0.05, 0.01]}
    loss, score = curves.learning_curves(falling, best_epoch=1, score="accuracy").axes
    assert (loss.get_yscale(), score.get_yscale()) == ("log", "linear")


def test_a_single_epoch_is_visible(tmp_path):
    figure = curves.learning_curves(history(1, "rmse"), best_epoch=1, score="rmse")
    assert line(figure.axes[0], "training, during the epoch").get_marker() == "."
    curves.save(figure, tmp_path / "one.png")
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == [1]
    curves.save(curves.learning_rate(history(1)), tmp_path / "rate.png")


def test_learning_rate_and_gradient_norm():
    upper, lower = curves.learning_rate(history()).axes
    assert list(upper.get_lines()[0].get_ydata()) == history()["lr"]
    assert list(lower.get_lines()[0].get_ydata()) == history()["grad_norm"]
    assert upper.get_title("left") == "Learning rate: 1 at most, 0.5 in the last epoch"
