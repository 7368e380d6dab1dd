"""Splits of groups of which some have many more rows than others: drawn by rows, not by numbers of groups."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import SplitName
from wellfit.data.settings import DataConfig

Groups = NDArray[np.int64]
FAR = 0.5  # from the rows that a split is to have, as a share of them


def draw_by_rows(groups: Groups, drawn: Sequence[SplitName], data: DataConfig) -> dict[SplitName, Groups]:
    """Draws groups for each split, as many as have its share of the rows, or nearly; train gets the rest.

    In random order, a split takes the groups that fit, and one more where that brings it nearer to its share. Each has
    one at least.

    Args:
        groups: (n,) of each row.
        drawn: the splits beside train, fewer than there are groups.
        data: the shares and the seed.
    """
    names, sizes = np.unique(groups, return_counts=True)
    left = np.random.default_rng(data.seed).permutation(len(names)).tolist()
    chosen: dict[SplitName, Groups] = {}
    for name in drawn:
        missing, most = wanted(name, len(groups), data), len(left) - (len(drawn) - len(chosen))  # one for each other
        taken: list[int] = []
        others: list[int] = []
        for group in left:
            fits = len(taken) < most and sizes[group] <= missing
            (taken if fits else others).append(group)
            missing -= fits * sizes[group]
        off = np.abs(missing - sizes[others])
        if not taken or (len(taken) < most and off.min() < missing):
            taken.append(others.pop(int(off.argmin())))
        chosen[name], left = names[taken], others
    return chosen | {"train": names[left]}


def wanted(name: SplitName, n_rows: int, data: DataConfig) -> float:
    """Rows that a split beside train is to have, of so many."""
    return n_rows * (data.test_fraction if name == "test" else data.val_fraction)


def other_shares(sizes: Mapping[SplitName, int], n_rows: int, data: DataConfig) -> list[str]:
    """What the user should know of splits that have far more or fewer rows than they are to have.

    Args:
        sizes: rows of each split.
        n_rows: from which they were drawn.
        data: the shares.
    """
    return [
        f"the {name} split has {size} rows, where data.{name}_fraction asks for {wanted(name, n_rows, data):.0f}: "
        f"some groups of data.group {data.group} have many more rows than others"
        for name, size in sizes.items()
        if abs(size / wanted(name, n_rows, data) - 1) > FAR
    ]
