import numpy as np

from wellfit.charts.study import Study


def test_the_better_the_stronger():
    values = [0.5, 0.4, 0.9, None, 0.3, 0.5]  # two equal ones, the worst of four
    states = ["complete", "complete", "pruned", "failed", "complete", "complete"]
    strength = Study("val/loss", False, values, states, []).strength
    np.testing.assert_allclose(strength, [0.4, 0.7, np.nan, np.nan, 1.0, 0.4])
