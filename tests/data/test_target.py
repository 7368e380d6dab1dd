from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import skew, yeojohnson
from sklearn.preprocessing import QuantileTransformer

from wellfit.data.target import TargetTransform, check_targets, fit_transform, in_own_unit, standardized
from wellfit.errors import WellfitError


def skewed(n=2000, seed=0):
    return np.random.default_rng(seed).lognormal(3, 1, n)


def fitted(name, y, lowest=0.0):
    transform, _ = fit_transform(name, y, lowest)
    assert transform is not None
    return transform


def test_the_logarithm_is_that_of_scikit_learns_power_transformer():
    """Yeo and Johnson's transform with a power of 0 is log(1 + y)."""
    y = skewed()
    transform = fitted("log", y)
    scale = transform.numbers[0]
    assert scale == np.quantile(y, 0.05)
    np.testing.assert_allclose(transform.forward(y), yeojohnson(y / scale, 0.0), rtol=1e-12)


def test_the_quantiles_are_those_of_scikit_learn():
    y = skewed(500)
    transform = fitted("quantile", y)
    theirs = QuantileTransformer(n_quantiles=500, output_distribution="normal").fit(y[:, np.newaxis])
    between = np.sort(np.random.default_rng(1).permutation(y)[:200] * 1.001)[1:-1]
    np.testing.assert_allclose(
        transform.forward(between), theirs.transform(between[:, np.newaxis])[:, 0], rtol=1e-6, atol=1e-9
    )
    normal = np.linspace(-2.5, 2.5, 50)
    np.testing.assert_allclose(
        transform.inverse(normal), theirs.inverse_transform(normal[:, np.newaxis])[:, 0], rtol=1e-6
    )


@pytest.mark.parametrize("name", ["log", "quantile"])
def test_the_inverse_gives_the_targets_back(name):
    y = np.append(skewed(300), np.zeros(20))
    transform = fitted(name, y)
    inner = y < y.max()
    np.testing.assert_allclose(transform.inverse(transform.forward(y))[inner], y[inner], rtol=1e-9, atol=1e-9)
    assert np.diff(transform.forward(np.sort(y))).min() >= 0


@pytest.mark.parametrize("name", ["log", "quantile"])
def test_a_skewed_target_becomes_even(name):
    y = skewed()
    assert skew(y) > 3
    assert abs(skew(fitted(name, y).forward(y))) < 0.5


def test_whatever_the_unit_the_logarithm_is_the_same():
    y = skewed()
    np.testing.assert_allclose(fitted("log", y).forward(y), fitted("log", 1e-6 * y).forward(1e-6 * y))


def test_zeros_stay_where_they_are_and_do_not_set_the_scale():
    y = np.append(np.zeros(500), skewed(100))
    transform = fitted("log", y)
    assert transform.numbers[0] == np.quantile(skewed(100), 0.05)
    assert transform.forward(np.zeros(1)) == [0.0]
    assert fitted("log", np.zeros(5)).forward(np.zeros(2)).tolist() == [0, 0]


@pytest.mark.parametrize("name", ["log", "quantile"])
def test_what_a_network_may_put_out_is_bounded(name):
    y = skewed()
    found = fitted(name, y).inverse(np.array([-1e300, -50.0, 50.0, 1e300]))
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 3 * y.max()


def test_equal_targets_share_the_middle_of_their_range():
    y = np.repeat([1.0, 2.0, 3.0], [250, 500, 250])
    assert fitted("quantile", y).forward(np.array([1.0, 2.0, 3.0])) == pytest.approx([-1.15, 0, 1.15], abs=0.01)


def test_auto_leaves_an_even_target_and_says_so():
    y = np.random.default_rng(0).normal(50, 9, 500)
    transform, note = fit_transform("auto", y, y.min())
    assert transform is None
    assert note == f"auto: none, as the skewness of the training targets is {skew(y):.2f}, within 1 of 0"


def test_auto_takes_the_logarithm_of_a_skewed_target_and_says_so():
    y = skewed()
    transform, note = fit_transform("auto", y, y.min())
    assert transform is not None
    after = skew(transform.forward(y))
    assert note == f"auto: log, skewness of the training targets {skew(y):.2f} before and {after:.2f} after"


@pytest.mark.parametrize("case", ["a negative target", "a long lower tail", "a negative target of other rows"])
def test_auto_takes_quantiles_where_the_logarithm_does_not_help(case):
    y = skewed()
    lowest = 0.0
    if case == "a negative target":
        y[0], lowest = -1.0, -1.0
    elif case == "a long lower tail":
        y = y.max() - y
    else:
        lowest = -1.0
    transform, note = fit_transform("auto", y, lowest)
    assert transform is not None
    assert transform.name == "quantile"
    assert note.startswith("auto: quantile, skewness")


def test_none_says_nothing_and_a_named_one_says_what_it_did():
    assert fit_transform("none", skewed(), 0.0) == (None, "")
    assert fit_transform("quantile", skewed(), 0.0)[1].startswith("quantile, skewness of the training targets ")


def test_a_constant_target_is_not_skewed():
    transform, note = fit_transform("auto", np.full(9, 3.0), 3.0)
    assert transform is None
    assert "is 0.00" in note


def test_negative_targets_have_no_logarithm():
    y = np.array([1.0, -2.5, -3.0])
    with pytest.raises(WellfitError) as caught:
        check_targets("log", y, lambda row: f"houses.csv row {row + 2}", "price")
    assert str(caught.value) == (
        "houses.csv row 3, column 'price': data.target_transform log needs targets >= 0, got -2.5; use quantile or "
        "none (params.yaml)"
    )
    for name in ("none", "auto", "quantile"):
        check_targets(name, y, str, "price")
    check_targets("log", y.clip(0), str, "price")


def test_targets_are_transformed_and_then_standardized():
    y = skewed(50)
    transform = fitted("log", y)
    meta = SimpleNamespace(target_mean=2.0, target_std=0.5, target_transform=transform)
    np.testing.assert_allclose(standardized(meta, y), (transform.forward(y) - 2.0) / 0.5)
    np.testing.assert_allclose(in_own_unit(meta, standardized(meta, y)), y)
    meta.target_transform = None
    np.testing.assert_allclose(standardized(meta, y), (y - 2.0) / 0.5)
    np.testing.assert_allclose(in_own_unit(meta, standardized(meta, y)), y)


def test_it_is_kept_as_json():
    transform = fitted("log", skewed())
    assert TargetTransform.model_validate_json(transform.model_dump_json()) == transform
