import numpy as np
import pytest

from wellfit.evaluation import curves


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


@pytest.mark.parametrize(
    ("higher", "so_far", "best"), [(False, [0.5, 0.5, 0.5, 0.3], 4), (True, [0.5, 0.9, 0.9, 0.9], 2)]
)
def test_tuning_history_follows_the_best_completed_trial(tmp_path, higher, so_far, best):
    values = [so_far[-1], 0.5, 0.9, None, 0.3]  # the pruned one is as good as the best, but does not count
    states = ["pruned", "complete", "complete", "fail", "complete"]
    figure = curves.tuning_history(values, states, "val/loss", higher)
    (axes,) = figure.axes
    np.testing.assert_array_equal(line(axes, "best completed so far").get_ydata(), [np.nan, *so_far])
    assert line(axes, "completed trial").get_xdata().tolist() == [1, 2, 4]
    assert line(axes, "pruned trial, its best until then").get_xdata().tolist() == [0]
    ring = line(axes, "best trial")
    assert (*ring.get_xdata(), *ring.get_ydata()) == (best, values[best])
    assert axes.get_title("left") == f"Best val/loss: {values[best]} (3 completed, 1 pruned, 1 failed)"
    curves.save(figure, tmp_path / "history.png")


def test_a_study_without_a_result_can_be_drawn(tmp_path):
    figure = curves.tuning_history([None, 0.4], ["fail", "pruned"], "val/loss", higher_is_better=False)
    assert figure.axes[0].get_title("left") == "No trial has a result yet (0 completed, 1 pruned, 1 failed)"
    assert "best trial" not in [line.get_label() for line in figure.axes[0].get_lines()]
    curves.save(figure, tmp_path / "history.png")


@pytest.mark.parametrize("keys", [["optim.lr"], ["optim.lr", "model.dropout", "optim.weight_decay"]])
def test_tuning_slices_have_a_panel_for_each_key(tmp_path, keys):
    columns = {
        "optim.lr": [0.01, 0.001, 0.1],
        "model.dropout": [0.0, 0.5, 0.2],
        "optim.weight_decay": [1e-4, 0.3, 0.01],
    }
    values, states = [0.5, 0.4, None], ["complete", "complete", "fail"]
    searched = {key: columns[key] for key in keys}
    log_keys = {"optim.lr", "optim.weight_decay"}
    figure = curves.tuning_slices(searched, values, states, "val/loss", False, log_keys)
    assert [axes.get_xlabel() for axes in figure.axes] == keys
    for key, axes in zip(keys, figure.axes, strict=True):
        assert axes.get_xscale() == ("log" if key in log_keys else "linear")
        assert list(line(axes, "completed trial").get_xdata()) == columns[key][:2]
        assert list(line(axes, "best trial").get_xdata()) == [columns[key][1]]
    curves.save(figure, tmp_path / "slices.png")
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 <= legend.x1 <= figure.bbox.x1
