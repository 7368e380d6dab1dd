from pathlib import Path

import numpy as np
import pytest

from wellfit.charts.drift import shares
from wellfit.charts.style import save


def test_each_bin_has_a_bar_for_once_and_one_for_now(tmp_path: Path) -> None:
    before, now = np.array([0.5, 0.3, 0.2]), np.array([0.0, 0.4, 0.6])
    figure = shares(["a", "$b$", "missing"], before, now, ("training rows", "new rows"))
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [*before, *now]
    centres = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
    assert centres == pytest.approx([-0.19, 0.81, 1.81, 0.19, 1.19, 2.19])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", r"\$b\$", "missing"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training rows", "new rows"]
    save(figure, tmp_path / "shares.png")
