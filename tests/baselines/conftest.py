"""Splits of small tables, with what ``preprocess`` would say of them."""

from typing import Any

import numpy as np

from wellfit.data.meta import SPLIT_NAMES, Column, Meta, SplitName
from wellfit.data.prepare import column_quantiles
from wellfit.data.store import Split

Splits = dict[SplitName, Split]


def column(name: str, categories: tuple[str, ...] = ()) -> Column:
    return Column(name=name, fill=None if categories else 0.0, flags_missing=False, categories=categories)


def table(
    x: np.ndarray, y: np.ndarray, categories: int = 0, *, classes: int = 0, weights: np.ndarray | None = None
) -> tuple[Splits, Meta]:
    """Three equal parts of rows.

    Args:
        x: (n, columns) numbers, then codes of categories where there are any.
        y: (n,).
        categories: how many the last column has; 0: it is a number.
        classes: C; 0: a regression.
        weights: (n,), or None.
    """
    parts: list[Any] = [np.array_split(np.asarray(values), 3) for values in (x, y, np.arange(len(y)))]
    parts.append([None] * 3 if weights is None else np.array_split(np.asarray(weights, np.float32), 3))
    splits = {name: Split(*(part[i] for part in parts)) for i, name in enumerate(SPLIT_NAMES)}
    train = splits["train"]
    numbers = train.x[:, : x.shape[1] - bool(categories)]
    columns = [column(f"n{i}") for i in range(numbers.shape[1])]
    if categories:
        columns.append(column("c", tuple(f"c{i:04}" for i in range(categories))))
    meta = Meta(
        name="csv",
        kind="table",
        task="classification" if classes else "regression",
        columns=tuple(columns),
        class_names=tuple(f"class {i}" for i in range(classes)),
        target_name="y",
        input_shape=(x.shape[1],),
        split_sizes={name: len(split.y) for name, split in splits.items()},
        mean=tuple(numbers.mean(0).tolist()),
        std=tuple(numbers.std(0).tolist()),
        quantiles=column_quantiles(numbers),
        target_mean=None if classes else float(train.y.mean()),
        target_std=None if classes else float(train.y.std()),
        class_counts=tuple(np.bincount(train.y, minlength=classes).tolist()) if classes else (),
        warnings=(),
        manifest={},
    )
    return splits, meta
