import numpy as np
import pytest

from wellfit.data.meta import Meta
from wellfit.data.target import TargetTransform, fit_transform
from wellfit.metrics.smearing import fit_smearing, smeared

MEAN, STD = 1.5, 0.8


def meta_of(transform: TargetTransform | None) -> Meta:
    return Meta.model_construct(target_mean=MEAN, target_std=STD, target_transform=transform)


def rows(n=150, seed=4, spread=0.7, name="log"):
    """What a network that knows the mean of the transformed target puts out, and targets around it."""
    random = np.random.default_rng(seed)
    location = random.normal(3, 1, n)
    y = np.exp(location + spread * random.normal(size=n))
    transform, _ = fit_transform(name, y, 0.0)
    assert transform is not None
    errors = transform.forward(y) - transform.forward(np.exp(location))
    return meta_of(transform), (transform.forward(np.exp(location)) + errors.mean() - MEAN) / STD, y


def test_the_factor_of_a_logarithm_is_duans():
    """Of log(1 + y / scale): the mean of exp(error) times (1 + y / scale), minus 1."""
    meta, outputs, y = rows()
    residuals, note = fit_smearing(meta, outputs, y, None, seed=0)
    assert len(residuals) == 150
    scale = meta.target_transform.numbers[0]
    logarithm = MEAN + STD * outputs
    errors = np.log1p(y / scale) - logarithm
    # Beyond the highest target and below 0 there are bounds.
    inside = (logarithm + errors.max() < np.log1p(y.max() / scale)) & (logarithm + errors.min() > 0)
    expected = scale * (np.exp(logarithm) * np.exp(errors).mean() - 1)
    found = smeared(meta, outputs, residuals)
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-9)
    assert inside.sum() > 50
    assert note.startswith("predictions are smeared (Duan 1983), which lowers the RMSE of validation rows from ")


@pytest.mark.parametrize("name", ["log", "quantile"])
def test_it_takes_the_bias_away(name):
    meta, outputs, y = rows(n=1500, name=name)
    residuals, _ = fit_smearing(meta, outputs, y, None, seed=0)
    assert len(residuals) == 200
    plain, mean = (smeared(meta, outputs, each).mean() for each in (np.empty(0), residuals))
    assert plain < 0.85 * y.mean()
    assert mean == pytest.approx(y.mean(), rel=0.12)


def test_where_it_does_not_help_predictions_stay_as_they_are():
    meta, outputs, y = rows(seed=0)
    residuals, note = fit_smearing(meta, outputs, y, None, seed=0)
    assert not len(residuals)
    assert note.startswith("predictions are not smeared, which would change the RMSE of validation rows from")


def test_rows_of_weight_zero_do_not_count():
    meta, outputs, y = rows()
    weights = np.where(np.arange(150) < 100, 2.0, 0.0)
    found = fit_smearing(meta, outputs, np.where(weights > 0, y, 1e6), weights, seed=0)
    expected = fit_smearing(meta, outputs[:100], y[:100], None, seed=0)
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]


def test_a_row_of_twice_the_weight_counts_as_two():
    meta, outputs, y = rows(n=40)
    weights = np.where(np.arange(40) < 10, 2.0, 1.0)
    twice = np.r_[np.arange(40), np.arange(10)]
    found, _ = fit_smearing(meta, outputs, y, weights, seed=0)
    expected, _ = fit_smearing(meta, outputs[twice], y[twice], None, seed=0)
    assert smeared(meta, outputs, found) == pytest.approx(smeared(meta, outputs, expected), rel=0.1)


def test_without_a_transform_there_is_nothing_to_mend():
    residuals, note = fit_smearing(meta_of(None), np.zeros(5), np.ones(5), None, seed=0)
    assert (len(residuals), note) == (0, "")
    assert smeared(meta_of(None), np.array([1.0]), residuals).tolist() == [MEAN + STD]
