"""Copies go through the model together, and come back in their order."""

import numpy as np

from wellfit.explain import copies
from wellfit.explain.copies import predictions_of


def test_copies_of_different_lengths_come_back_in_order(monkeypatch) -> None:
    monkeypatch.setattr(copies, "CELLS", 20)
    calls = []

    def predict(rows: np.ndarray) -> np.ndarray:
        calls.append(len(rows))
        return rows[:, 0] * 10

    blocks = [np.full((n, 2), i) for i, n in enumerate([3, 4, 5, 1, 0, 20, 1])]
    found = list(predictions_of(predict, iter(blocks)))
    assert [each.tolist() for each in found] == [[i * 10] * len(block) for i, block in enumerate(blocks)]
    assert calls == [12, 21, 1]


def test_no_copies_make_no_call() -> None:
    assert list(predictions_of(lambda rows: rows / 0, [])) == []
