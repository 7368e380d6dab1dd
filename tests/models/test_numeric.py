import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from torch import Tensor

from wellfit.data.prepare import column_quantiles, column_statistics
from wellfit.models.numeric import ColumnStatistics, quantile, robust, standard


def table(n: int = 2049) -> np.ndarray:
    random = np.random.default_rng(0)
    columns = [random.normal(5, 3, n), random.lognormal(0, 2, n), random.integers(0, 4, n), np.full(n, 7.0)]
    return np.stack(columns, 1).astype(np.float32)


def statistics(x: np.ndarray) -> ColumnStatistics:
    mean, std = column_statistics(x)
    quantiles = torch.tensor(column_quantiles(x))
    return ColumnStatistics(torch.tensor(mean), torch.tensor(std), quantiles, torch.searchsorted(quantiles, quantiles))


def beyond(x: np.ndarray) -> Tensor:
    """The rows, some between them, and some beyond all of them."""
    return torch.tensor(np.concatenate([x, x + 0.3, x * 10 - 20]))


def test_standard_is_scikit_learns_between_the_training_rows() -> None:
    x = table()
    rows = np.concatenate([x, (x[1:] + x[:-1]) / 2])
    expected = StandardScaler().fit(x).transform(rows)
    np.testing.assert_allclose(standard(torch.tensor(rows), statistics(x)), expected, rtol=1e-3, atol=1e-4)


def test_standard_bends_smoothly_beyond_the_training_rows() -> None:
    x = table()[:, :2]
    columns = statistics(x)
    for end, sign in ((columns.quantiles[:, 0], -1.0), (columns.quantiles[:, -1], 1.0)):
        at_end = standard(end[None], columns)
        steps = torch.tensor([0.01, 1.0, 1e9])[:, None]  # deviations beyond the end
        beyond = (standard(end + sign * steps * columns.std, columns) - at_end) * sign
        torch.testing.assert_close(beyond, steps.tanh().expand(3, 2), rtol=2e-2, atol=0)


def test_quantile_is_scikit_learns() -> None:
    x = table()
    theirs = QuantileTransformer(n_quantiles=257, output_distribution="normal", subsample=None).fit(x[:, :3])
    ours, expected = quantile(beyond(x), statistics(x))[:, :3].numpy(), theirs.transform(beyond(x)[:, :3].numpy())
    # Theirs puts the smallest and the largest value at the ends, be they of many rows.
    tied = np.zeros(ours.shape, bool)
    tied[:, 2] = np.isin(beyond(x)[:, 2].numpy(), [0, 3])
    np.testing.assert_allclose(ours[~tied], expected[~tied], rtol=1e-3, atol=2e-3)


def test_rows_of_one_value_get_the_middle_of_their_shares() -> None:
    x = np.repeat([[0.0], [1.0], [5.0]], [256, 512, 257], axis=0).astype(np.float32)
    ours = quantile(torch.tensor([[0.0], [1.0], [5.0]]), statistics(x))
    np.testing.assert_allclose(ours[:, 0], norm.ppf([0.125, 0.5, 0.875]), atol=0.01)


@pytest.mark.parametrize(("transform", "bound"), [(standard, 47), (quantile, 5.2), (robust, 3)])
def test_outliers_and_constant_columns_stay_bounded(transform: object, bound: float) -> None:
    """No standardized number of n is farther from 0 than the square root of n."""
    x = table()
    assert callable(transform)
    far = transform(torch.tensor([[1e30, -1e30, 1e30, 7.0], [5.0, 1.0, 2.0, 1e30]]), statistics(x))
    assert far.isfinite().all()
    assert far.abs().max() <= bound


def test_robust_is_the_papers_formula() -> None:
    x = table()
    low, median, high = np.quantile(x.astype(np.float64), [0.25, 0.5, 0.75], axis=0)
    rows = beyond(x).numpy()[:, :2].astype(np.float64)
    scaled = (rows - median[:2]) / (high - low)[:2]
    np.testing.assert_allclose(
        robust(beyond(x), statistics(x))[:, :2], scaled / np.sqrt(1 + (scaled / 3) ** 2), rtol=1e-3, atol=1e-4
    )
    rare = np.repeat([[0.0], [10.0]], [99, 1], axis=0).astype(np.float32)  # of equal quartiles: by the range
    scaled = np.array([0.0, 2.0])
    torch.testing.assert_close(
        robust(torch.tensor([[0.0], [10.0]]), statistics(rare))[:, 0],
        torch.tensor(scaled / np.sqrt(1 + (scaled / 3) ** 2), dtype=torch.float32),
    )
    assert not robust(torch.full((3, 4), 7.0), statistics(x))[:, 3].any()
