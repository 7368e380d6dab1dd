"""Predictions as lines of a table."""

import numpy as np
import pytest

from wellfit.data.store import Split
from wellfit.serving import table as module
from wellfit.serving.table import prediction_table

from ..baselines.conftest import table

N = 11


@pytest.mark.parametrize("classes", [0, 3])
def test_lines_that_are_made_in_parts_are_all_rows(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 4)
    random = np.random.default_rng(0)
    y = np.arange(3 * N) % 3 if classes else random.normal(size=3 * N)
    splits, meta = table(np.zeros((3 * N, 1), np.float32), y, classes=classes)
    split: Split = splits["test"]
    predictions = random.dirichlet(np.ones(3), N) if classes else random.normal(size=N)
    columns, lines = prediction_table(predictions, split, meta)
    found = list(lines)
    assert columns[:3] == ["id", "actual", "predicted"]
    assert [line[0] for line in found] == split.ids.tolist()
    if classes:
        assert columns[3:] == ["p_class 0", "p_class 1", "p_class 2"]
        assert [line[1] for line in found] == [f"class {label}" for label in split.y]
        assert [line[2] for line in found] == [f"class {label}" for label in predictions.argmax(1)]
        np.testing.assert_array_equal([line[3:] for line in found], predictions.round(6))
    else:
        assert [line[1] for line in found] == split.y.tolist()
        np.testing.assert_allclose([line[2] for line in found], predictions, rtol=1e-8)
