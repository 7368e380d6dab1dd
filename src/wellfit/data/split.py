"""Which row goes into which split."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.config import DataConfig
from wellfit.data.readers import RawData
from wellfit.data.store import SPLIT_NAMES, SplitName
from wellfit.errors import WellfitError

Rows = NDArray[np.int64]


class Assignment(NamedTuple):
    """Row numbers of each split, ascending.

    Attributes:
        rows: by split.
        repeated: rows outside the publisher's test split with the x of an earlier one, kept in the split of that one.
        left_out: rows of the publisher's train split with the x of a row of the publisher's test split.
    """

    rows: dict[SplitName, Rows]
    repeated: int
    left_out: int


def assign_rows(raw: RawData, data: DataConfig) -> Assignment:
    """Splits at random, seeded, and stratified by class for a classification.

    Rows of equal x always stand in the same split: it is the distinct rows that are drawn, and twins follow. A
    publisher's test split is kept, and rows of the train split with a twin in it are left out.

    Args:
        raw: the whole data set.
        data: shares of the distinct rows (of those of the publisher's train split where there is one) and the seed.

    Raises:
        WellfitError: a split would be empty, or a class has too few rows to stand in every split.
    """
    twins = first_twins(raw.x)
    n_rows = len(raw.x)
    published = np.arange(n_rows if raw.first_test_row is None else raw.first_test_row, n_rows)
    candidates = np.arange(n_rows - len(published))
    kept = candidates[~np.isin(twins[candidates], twins[published])]
    distinct = kept[twins[kept] == kept]
    drawn = _draw(distinct, raw, data)
    rows = {name: kept[np.isin(twins[kept], drawn[name])] for name in drawn}
    if len(published):
        rows["test"] = published
    return Assignment(
        {name: rows[name] for name in SPLIT_NAMES},
        repeated=len(kept) - len(distinct),
        left_out=len(candidates) - len(kept),
    )


def first_twins(x: NDArray[Any]) -> Rows:
    """For each row the number of the first row with equal values.

    Args:
        x: (n, ...), without NaN.
    """
    flat = np.ascontiguousarray(x).reshape(len(x), -1)
    if flat.dtype.kind == "f":
        flat = flat + flat.dtype.type(0)  # makes -0.0 the 0.0 that it equals, for bytes are compared below
    keys = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    twins: Rows = first[group]
    return twins


def _draw(distinct: Rows, raw: RawData, data: DataConfig) -> dict[SplitName, Rows]:
    """Train, val and (unless the publisher made one) test out of rows that have no twins."""
    from sklearn.model_selection import train_test_split

    sizes = _sizes(len(distinct), data, with_test=raw.first_test_row is None)
    drawn: dict[SplitName, Rows] = {}
    rest = distinct
    for name in [name for name in sizes if name != "train"]:
        labels = raw.y[rest] if raw.class_names else None
        try:
            rest, drawn[name] = train_test_split(rest, test_size=sizes[name], stratify=labels, random_state=data.seed)
        except ValueError:  # fewer rows than classes, or a class of one row
            raise _too_small_a_class(raw, distinct, sizes) from None
    drawn["train"] = rest
    if any(len(np.unique(raw.y[rows])) < len(raw.class_names) for rows in drawn.values()):
        raise _too_small_a_class(raw, distinct, sizes)
    return drawn


def _sizes(n_rows: int, data: DataConfig, *, with_test: bool) -> dict[SplitName, int]:
    sizes: dict[SplitName, int] = {"val": round(n_rows * data.val_fraction)}
    if with_test:
        sizes["test"] = round(n_rows * data.test_fraction)
    sizes["train"] = n_rows - sum(sizes.values())
    for name, size in sizes.items():
        if size < 1:
            raise WellfitError(
                f"data.name {data.name}: the {name} split would be empty, as {n_rows} distinct rows are split by "
                f"data.val_fraction {data.val_fraction:g} and data.test_fraction {data.test_fraction:g}; change these"
            )
    return sizes


def _too_small_a_class(raw: RawData, distinct: Rows, sizes: dict[SplitName, int]) -> WellfitError:
    counts = np.bincount(raw.y[distinct], minlength=len(raw.class_names))
    rarest = int(counts.argmin())
    listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return WellfitError(
        f"class {raw.class_names[rarest]!r} has {counts[rarest]} distinct rows, too few to stand in every split "
        f"({listed} rows); raise data.val_fraction or data.test_fraction, or get more rows"
    )
