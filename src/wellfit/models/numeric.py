"""Fixed transforms of columns of numbers, by their names in ``params.yaml``, fitted on the training rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

TAIL = 1e-7  # share of rows beyond the largest and the smallest training value, as scikit-learn has it


class ColumnStatistics(NamedTuple):
    """What the training rows say of N columns of numbers.

    Attributes:
        mean: (N,).
        std: (N,), 1.0 where a column is constant.
        quantiles: (N, Q) at Q equal steps from 0 to 1, Q odd.
        firsts: (N, Q) int64, the first of the quantiles that equal each.
    """

    mean: Tensor
    std: Tensor
    quantiles: Tensor
    firsts: Tensor


def standard(x: Tensor, columns: ColumnStatistics) -> Tensor:
    """Zero mean and unit variance: ``sklearn.preprocessing.StandardScaler``, clipped smoothly to the training rows.

    Beyond the smallest and the largest value of the training rows it bends, and comes to one deviation more at most.
    """
    lowest, highest = columns.quantiles[:, 0], columns.quantiles[:, -1]
    within = x.clamp(lowest, highest)
    return (within - columns.mean).div_(columns.std).add_(((x - within) / columns.std).tanh_())


def quantile(x: Tensor, columns: ColumnStatistics) -> Tensor:
    """A normal distribution, through the quantiles: ``sklearn.preprocessing.QuantileTransformer``.

    Between two quantiles the share of smaller rows is linear. A value that is several quantiles gets the middle of
    their shares.
    """
    import torch

    quantiles = columns.quantiles
    steps = quantiles.shape[1] - 1
    values = x.t().contiguous()  # (N, B)
    last = (torch.searchsorted(quantiles, values, right=True) - 1).clamp_(0)  # of those that are not above the value
    low = last.clamp(max=steps - 1)
    start, end = quantiles.gather(1, low), quantiles.gather(1, low + 1)
    within = ((values - start) / (end - start)).nan_to_num_(0.0).clamp_(0, 1)
    middle = 0.5 * (columns.firsts.gather(1, last) + last)
    share = torch.where(quantiles.gather(1, last) == values, middle, low + within) / steps
    normal: Tensor = torch.special.ndtri(share.double().clamp_(TAIL, 1 - TAIL)).float().t()
    return normal


def robust(x: Tensor, columns: ColumnStatistics) -> Tensor:
    """Median and quartiles in place of mean and deviation, bounded smoothly to -3 to 3 (RealMLP, Holzmueller 2024).

    Columns whose quartiles are equal are scaled by their range; constant ones become zero.
    """
    import torch

    lowest, lower, median, upper, highest = columns.quantiles[:, :: (columns.quantiles.shape[1] - 1) // 4].unbind(1)
    spread = torch.where(upper > lower, upper - lower, (highest - lowest) / 2)
    scaled = (x - median) * torch.where(spread > 0, 1 / spread, 0.0)
    return scaled / (1 + (scaled / 3) ** 2).sqrt_()


NUMERIC: dict[str, Callable[[Tensor, ColumnStatistics], Tensor]] = {
    "standard": standard,
    "quantile": quantile,
    "robust": robust,
}
