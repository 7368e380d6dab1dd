import numpy as np
import pytest

from wellfit.charts.data import MANY_NAMES, class_balance, histogram, histogram_of
from wellfit.charts.style import save


def test_a_histogram_counts_every_row_in_the_same_bins(tmp_path):
    found = histogram_of({"training rows": np.arange(100.0), "test rows": np.arange(50.0)})
    assert {name: count.sum() for name, count in found.counts.items()} == {"training rows": 100, "test rows": 50}
    figure = histogram(found, "price ($)")
    bins = len(found.edges) - 1
    bars = [bar.get_height() for bar in figure.axes[0].patches]
    assert (sum(bars[:bins]), sum(bars[bins:])) == (pytest.approx(1), pytest.approx(1))
    assert figure.axes[0].get_xlabel() == r"price (\$)"
    save(figure, tmp_path / "histogram.png")


def test_equal_values_are_drawn(tmp_path):
    save(histogram(histogram_of({"rows": np.full(9, 4.0)}), "price"), tmp_path / "equal.png")


@pytest.mark.parametrize("classes", [2, MANY_NAMES, MANY_NAMES + 1, 100])
def test_each_class_has_a_bar_and_a_name_where_there_is_room(classes, tmp_path):
    counts = [10 + i for i in range(classes)]
    figure = class_balance(counts, [f"class {i}" for i in range(classes)])
    (axes,) = figure.axes
    if classes > MANY_NAMES:
        (steps,) = axes.patches
        lengths = steps.get_data().values.tolist()
    else:
        lengths = [max(bar.get_width(), bar.get_height()) for bar in axes.patches]
    assert lengths == counts
    is_named = "class 0" in [tick.get_text() for tick in axes.get_yticklabels()]
    assert is_named == (classes <= MANY_NAMES)
    save(figure, tmp_path / "balance.png")
