"""Baselines against scikit-learn on the same rows."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from wellfit.baselines import fit
from wellfit.baselines.fit import BASELINES, Fitted, fit_baselines
from wellfit.data.meta import Meta
from wellfit.data.store import load_meta, load_split

from .conftest import Splits, table

pytestmark = pytest.mark.filterwarnings("error")


def fitted(splits: Splits, meta: Meta) -> dict[str, Fitted]:
    found = fit_baselines(splits["train"], splits["val"], splits["test"].x, meta)
    return {one.name: one for one in found}


BOOSTING = {"learning_rate": 0.1, "leaves": 7.0, "l2": 1.0}
SETTINGS = {name: list(baseline.settings) for name, baseline in BASELINES.items()}


@pytest.fixture(autouse=True)
def _one_boosting(monkeypatch: pytest.MonkeyPatch) -> None:
    few_settings(monkeypatch, gradient_boosting=[BOOSTING])


def few_settings(monkeypatch: pytest.MonkeyPatch, **settings: list[dict[str, float]]) -> None:
    for name, those in settings.items():
        monkeypatch.setitem(fit.BASELINES, name, BASELINES[name]._replace(settings=those))


def mixed(classes: int, rows: int = 300, weights: np.ndarray | None = None) -> tuple[Splits, Meta]:
    """Two numbers and a category of which some rows have none that is known."""
    random = np.random.default_rng(0)
    x = np.column_stack([random.normal(5, 3, (rows, 2)), random.integers(-1, 4, rows)]).astype(np.float32)
    signal = (x[:, 0] - 5) / 3 + 1.5 * np.isin(x[:, 2], [0, 3]) + random.normal(0, 0.4, rows)
    y = np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes)) if classes else 10 + 7 * signal
    return table(x, y, categories=4, classes=classes, weights=weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_gradient_boosting_stops_at_the_best_iteration_on_validation_rows(classes: int, weighted: bool) -> None:
    weights = np.random.default_rng(1).choice([0.02, 5.0], 300) if weighted else None
    splits, meta = mixed(classes, weights=weights)
    found = fitted(splits, meta)["gradient_boosting"]
    iterations = int(found.setting["iterations"])
    train, val = splits["train"], splits["val"]
    inputs = {name: split.x.astype(np.float64) for name, split in splits.items()}
    for rows in inputs.values():
        rows[rows[:, 2] < 0, 2] = np.nan
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor

    def loss(count: int) -> tuple[float, np.ndarray]:
        model = kind(
            max_iter=count, max_leaf_nodes=7, l2_regularization=1.0, early_stopping=False, categorical_features=[2]
        ).fit(inputs["train"], train.y, train.weights)
        predict = model.predict_proba if classes else model.predict
        judge = log_loss if classes else root_mean_squared_error
        return judge(val.y, predict(inputs["val"]), sample_weight=val.weights), predict(inputs["test"])

    losses = {count: loss(count) for count in (iterations - 3, iterations, iterations + 3)}
    assert min(losses, key=lambda count: losses[count][0]) == iterations
    np.testing.assert_allclose(found.predictions, losses[iterations][1], rtol=1e-6)
    name = "log_loss" if classes else "rmse"
    assert found.validation[name] == pytest.approx(losses[iterations][0], rel=1e-6)


@pytest.mark.parametrize("classes", [0, 3])
def test_the_linear_model_is_that_of_standardized_numbers_and_one_hot_categories(
    monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    few_settings(monkeypatch, linear=[{"l2": 2.0}])
    weights = np.random.default_rng(1).uniform(0.1, 3, 300)
    splits, meta = mixed(classes, weights=weights)
    one_hot = OneHotEncoder(categories=[np.arange(4)], handle_unknown="ignore", sparse_output=False)
    encoder = ColumnTransformer([("numbers", StandardScaler(), [0, 1]), ("category", one_hot, [2])])
    model = LogisticRegression(C=0.5, tol=1e-8, max_iter=1000) if classes else Ridge(alpha=2.0)
    train, test = splits["train"], splits["test"]
    test.x[:, :2] = test.x[:, :2].clip(train.x[:, :2].min(0), train.x[:, :2].max(0))  # what is beyond is bounded
    weight = {f"{type(model).__name__.lower()}__sample_weight": train.weights}
    pipeline = make_pipeline(encoder, model).fit(train.x, train.y, **weight)
    expected = pipeline.predict_proba(test.x) if classes else pipeline.predict(test.x)
    np.testing.assert_allclose(fitted(splits, meta)["linear"].predictions, expected, atol=2e-3)


def test_a_linear_model_bounds_numbers_beyond_those_of_the_training_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    few_settings(monkeypatch, linear=[{"l2": 1.0}])
    splits, meta = mixed(classes=0)
    expected = fitted(splits, meta)["linear"].predictions
    highest = splits["train"].x[:, 0].max()
    splits["test"].x[:2, 0] = highest
    at_most = fitted(splits, meta)["linear"].predictions
    splits["test"].x[:2, 0] = highest + 1e6, 1e30
    found = fitted(splits, meta)["linear"].predictions
    np.testing.assert_array_equal(found[2:], expected[2:])
    of_a_deviation = 7 * splits["train"].x[:, 0].std() / 3
    assert found[:2] - at_most[:2] == pytest.approx(of_a_deviation, rel=0.1)


@pytest.mark.parametrize("name", ["gradient_boosting", "linear"])
def test_the_setting_with_the_lowest_validation_loss_is_taken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    splits, meta = mixed(classes=2, rows=150)
    settings = SETTINGS[name][-3:]
    alone = {}
    for setting in settings:
        few_settings(monkeypatch, **{name: [dict(setting)]})
        alone[tuple(setting.values())] = fitted(splits, meta)[name].validation["log_loss"]
    assert len(set(alone.values())) > 1
    few_settings(monkeypatch, **{name: [dict(setting) for setting in settings]})
    found = fitted(splits, meta)[name]
    assert found.validation["log_loss"] == min(alone.values())
    best = min(alone, key=lambda values: alone[values])
    assert tuple(found.setting[key] for key in settings[0]) == best


def test_the_constant_has_the_weighted_shares_or_mean() -> None:
    x, weights = np.random.default_rng(0).normal(size=(12, 1)).astype(np.float32), np.r_[1, 1, 6, 0, np.ones(8)]
    splits, meta = table(x, np.array([0, 0, 1, 1] * 3), classes=2, weights=weights)
    np.testing.assert_allclose(fitted(splits, meta)["constant"].predictions, [[0.25, 0.75]] * 4)
    splits, meta = table(x, np.arange(12.0), weights=weights)
    np.testing.assert_allclose(fitted(splits, meta)["constant"].predictions, [(0 + 1 + 6 * 2) / 8] * 4)


def test_a_column_of_more_categories_than_bins_is_taken_as_numbers() -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 300, 900)
    splits, meta = table(
        np.column_stack([random.normal(size=900), codes]).astype(np.float32), codes * 1.0, categories=300
    )
    assert fitted(splits, meta)["gradient_boosting"].validation["rmse"] < 20


def test_classes_that_training_rows_lack_have_no_probability() -> None:
    splits, meta = mixed(classes=3)
    train = splits["train"]
    kept = train.y != 1
    splits["train"] = train._replace(x=train.x[kept], y=train.y[kept], ids=train.ids[kept])
    found = fitted(splits, meta)
    for name in BASELINES:
        assert found[name].predictions.shape == (100, 3)
        assert (found[name].predictions[:, 1] == 0).all()
    one = splits["train"]._replace(y=np.zeros(len(splits["train"].y), np.int64))
    assert list(fitted(splits | {"train": one}, meta)) == ["constant"]
    other = splits["val"]._replace(y=np.ones(len(splits["val"].y), np.int64))
    assert list(fitted(splits | {"val": other}, meta)) == ["constant"]


def test_large_data_get_fewer_settings_and_no_gradient_boosting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    splits, meta = mixed(classes=3)
    work = 100 * 3 * 3
    limited = {name: one._replace(most_work=2.5 * work) for name, one in BASELINES.items()}
    limited["gradient_boosting"] = limited["gradient_boosting"]._replace(most_work=0.9 * work)
    seen = []
    linear = limited["linear"]
    limited["linear"] = linear._replace(fit=lambda *given: (seen.append(given[3]), linear.fit(*given))[1])
    monkeypatch.setattr(fit, "BASELINES", limited)
    assert list(fitted(splits, meta)) == ["linear", "constant"]
    assert seen == list(linear.settings[:2])
    assert "gradient boosting is left out: 900 rows x columns x outputs" in capsys.readouterr().out
    monkeypatch.setitem(limited, "linear", linear._replace(most_work=0))
    assert list(fitted(splits, meta)) == ["linear", "constant"]  # the first setting, however much work it is


@pytest.mark.parametrize("classes", [0, 3])
def test_more_rows_than_memory_holds_are_a_sample_that_is_fitted_to_and_predicted_in_parts(
    classes: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("wellfit.data.scratch.BLOCK_BYTES", 90)
    few_settings(monkeypatch, linear=[{"l2": 1.0}])
    splits, meta = mixed(classes, rows=900)
    asked: list[int] = []
    linear = BASELINES["linear"]
    inputs = lambda rows, meta: (asked.append(len(rows)), linear.inputs(rows, meta))[1]  # noqa: E731
    monkeypatch.setitem(fit.BASELINES, "linear", linear._replace(inputs=inputs))
    boosting = BASELINES["gradient_boosting"]
    monkeypatch.setitem(fit.BASELINES, "gradient_boosting", boosting._replace(column_bytes=0))
    width = splits["train"].x.shape[1]
    budget = 4 * 8 * width * 120
    found = {one.name: one for one in fit_baselines(splits["train"], splits["val"], splits["test"].x, meta, budget)}
    assert "fitted to 120 of " in capsys.readouterr().out
    assert asked[:2] == [120, 120]
    assert max(asked[2:]) == 90 // (4 * width)
    assert {name: one.setting.get("rows") for name, one in found.items()} == {
        "gradient_boosting": 120,
        "linear": 120,
        "constant": None,
    }
    rows = np.sort(np.random.default_rng(0).permutation(len(splits["train"].y))[:120])
    train = splits["train"]
    sampled = train._replace(x=train.x[rows], y=train.y[rows], ids=train.ids[rows])
    expected = fitted({**splits, "train": sampled}, meta)["linear"]
    np.testing.assert_allclose(found["linear"].predictions, expected.predictions, rtol=1e-6)
    assert found["linear"].validation == pytest.approx(dict(expected.validation), rel=1e-6)


def test_gradient_boosting_is_left_out_where_memory_does_not_hold_its_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    splits, meta = mixed(3)
    found = fit_baselines(splits["train"], splits["val"], splits["test"].x, meta, 3 * 2**17 - 1)
    assert [one.name for one in found] == ["linear", "constant"]
    assert "gradient boosting is left out: what it keeps of 3 columns takes more than" in capsys.readouterr().out


@pytest.mark.slow
def test_images_are_pixels_to_the_baselines(prepared: Path) -> None:
    meta = load_meta(prepared / "digits")
    splits: Splits = {name: load_split(prepared / "digits", meta, name) for name in ("train", "val", "test")}
    found = fitted(splits, meta)
    y = splits["test"].y
    assert (found["gradient_boosting"].predictions.argmax(1) == y).mean() > 0.93
    assert (found["linear"].predictions.argmax(1) == y).mean() > 0.93
