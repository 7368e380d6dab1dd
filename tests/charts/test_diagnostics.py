import numpy as np
import pytest

from wellfit.charts import diagnostics
from wellfit.charts.style import save


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
    figure = diagnostics.layer_statistics(layers)
    for axes, statistic in zip(figure.axes, diagnostics.PANELS, strict=True):
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
    figure = diagnostics.layer_statistics(layers_of(names, epochs))
    assert len(figure.axes[0].get_lines()) == count
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == min(count, diagnostics.NAMED_LAYERS)
    assert (labels[0], labels[-1]) == (names[0], names[-1])
    save(figure, tmp_path / "layers.png")
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 <= legend.x1 <= figure.bbox.x1


def test_lr_range_shows_the_curve_and_what_to_try(tmp_path):
    lr = np.geomspace(1e-4, 1, 5)
    smoothed = np.array([2.0, 1.9, 1.0, 0.5, 3.0])
    figure = diagnostics.lr_range(lr, smoothed + 0.1, smoothed, (0.01, 0.01))
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
