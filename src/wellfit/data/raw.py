"""A whole data set before it is split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.store import SplitName

if TYPE_CHECKING:
    import pandas as pd


class RawData(NamedTuple):
    """A whole data set in memory, n rows.

    Attributes:
        x: uint8 (n, channels, height, width) images; or a table of n rows, whose columns are float64 numbers (NaN where
            missing) or categoricals of texts (none where missing).
        y: int64 (n,) class indices, or float32 or float64 (n,) targets.
        class_names: by class index; empty for a regression.
        target_name: what y means.
        splits: (n,) the split that the publisher, or the user's folders, have put a row into; None where nobody has.
        ids: (n,) what a row is called, int64 or text; None for its number.
        weights: float32 (n,) not negative, how much a row counts; None where all count alike.
        groups: int64 (n,) rows of one group are to stay together; None where there are none.
        times: float64 (n,) rising with time; None where the order of rows means nothing.
        warnings: what a user should know of these data, one sentence each.
    """

    x: NDArray[Any] | pd.DataFrame
    y: NDArray[Any]
    class_names: tuple[str, ...]
    target_name: str
    splits: NDArray[np.str_] | None = None
    ids: NDArray[Any] | None = None
    weights: NDArray[np.float32] | None = None
    groups: NDArray[np.int64] | None = None
    times: NDArray[np.float64] | None = None
    warnings: tuple[str, ...] = ()


def published_splits(train: int, test: int) -> NDArray[np.str_]:
    """The ``splits`` of data whose publisher's test rows follow the train rows."""
    names: tuple[SplitName, SplitName] = ("train", "test")
    return np.repeat(names, [train, test])
