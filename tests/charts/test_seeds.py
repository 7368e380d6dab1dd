import numpy as np

from wellfit.charts.seeds import mean_over_seeds


def test_means_are_of_the_seeds_that_came_as_far():
    histories = [[{"x": 1.0}, {"x": 3.0}], [{"x": 2.0}], [{"x": float("inf")}, {}, {"x": float("nan")}]]
    np.testing.assert_array_equal(mean_over_seeds(histories, "x"), [1.5, 3.0, np.nan])
    assert mean_over_seeds([], "x").size == 0
