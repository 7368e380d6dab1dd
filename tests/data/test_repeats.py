import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.data.repeats import LARGEST, draw_parts, part_large_units

SHARES = [0.2, 0.15, 0.65]


@given(n=st.integers(50, 400), kinds=st.integers(10, 200), classes=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_units_stay_whole_and_parts_have_their_shares(n: int, kinds: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    kind = random.integers(0, kinds, n)
    _, first, unit = np.unique(kind, return_index=True, return_inverse=True)
    y = random.integers(0, classes, kinds)[kind] if classes > 1 else None
    y = None if y is None else np.unique(y, return_inverse=True)[1]
    units, large = part_large_units(first[unit], y, SHARES)
    part = draw_parts(units, y, SHARES, seed)
    assert all(len(set(part[units == each])) == 1 for each in set(units.tolist()))
    for each in range(1 if y is None else y.max() + 1):
        rows = np.arange(n) if y is None else np.flatnonzero(y == each)
        sizes = np.bincount(units[rows], minlength=n)
        assert sizes.max() - 1 <= LARGEST * 0.15 * len(rows)
        for number, share in enumerate(SHARES):
            assert (part[rows] == number).sum() == pytest.approx(share * len(rows), abs=float(sizes.max()))
    assert large == len(set(first[unit][units != first[unit]].tolist()))


def test_a_unit_of_several_classes_counts_as_one_of_the_rarest() -> None:
    """Ten pairs have a row of the rare class each: by the other row, which comes first, chance would place them."""
    first_equal, y = np.concatenate([np.arange(20) // 2 * 2, np.arange(20, 400)]), np.zeros(400, int)
    y[1:20:2] = 1
    for seed in range(20):
        part = draw_parts(first_equal, y, [0.2, 0.2, 0.6], seed)
        assert np.bincount(part[y == 1]).tolist() == [2, 2, 6]
