"""What is decided on validation rows, and that it is what its parts say."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from wellfit.data.meta import Meta
from wellfit.data.target import fit_transform
from wellfit.metrics.conformal import Spread
from wellfit.metrics.decision import Decision, Outputs, decide
from wellfit.metrics.intervals import EvaluateConfig
from wellfit.settings.params import load_params

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"


def config(*changes: str) -> EvaluateConfig:
    return load_params(PARAMS_FILE, [f"evaluate.{change}" for change in changes]).evaluate


def meta_of(classes: int = 0, transform=None) -> Meta:
    numbers = {"target_mean": 10.0, "target_std": 4.0, "target_transform": transform}
    task = {"task": "classification"} if classes else {"task": "regression"} | numbers
    return Meta.model_construct(name="x", class_names=tuple("abcdefgh"[:classes]), **task)


def classes(n=400, count=2, seed=0):
    """Logits that are three times too large."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=1.5, size=(n, count))
    y = (softmax(logits, axis=1).cumsum(axis=1) < random.random((n, 1))).sum(axis=1)
    return Outputs(3 * logits, y)


def numbers(n=400, seed=0):
    random = np.random.default_rng(seed)
    outputs = random.normal(size=n)
    return Outputs(outputs, 10 + 4 * outputs + np.abs(outputs + 3) * random.normal(size=n))


def test_classes() -> None:
    val = classes()
    decision = decide(val, None, meta_of(2), config("threshold=f1"))
    assert decision.temperature == pytest.approx(3.0, rel=0.2)
    probabilities = decision.predictions(val.outputs, meta_of(2))
    np.testing.assert_allclose(probabilities, softmax(val.outputs / decision.temperature, axis=1))
    assert 0.1 < decision.threshold < 0.5
    held = decision.sets(probabilities)[np.arange(400), val.y]
    assert held.mean() == pytest.approx(0.9, abs=0.005)
    assert decision.notes[0].startswith(f"logits are divided by the temperature {decision.temperature:.4g}, which chan")
    assert decision.notes[1].startswith(f"threshold {decision.threshold:.4g} has the best F1 of validation rows, 0.")
    assert len(decision.notes) == 2


def test_what_is_switched_off_changes_nothing() -> None:
    val = classes(count=3)
    decision = decide(val, None, meta_of(3), config("calibration=none", "coverage=null"))
    assert decision == Decision()
    np.testing.assert_array_equal(decision.predictions(val.outputs, meta_of(3)), softmax(val.outputs, axis=1))


def test_a_temperature_that_does_not_help_is_told_and_not_used() -> None:
    val = classes()
    decision = decide(val._replace(outputs=val.outputs / 3), None, meta_of(2), config())
    assert decision.temperature == 1.0
    assert decision.notes[0].startswith("probabilities are left as they are: the temperature ")


def test_a_threshold_that_is_a_number_is_taken_as_it_is() -> None:
    assert decide(classes(), None, meta_of(2), config("threshold=0.31")).threshold == 0.31


def test_costs_move_the_threshold() -> None:
    costs = config("threshold={false_positive: 1, false_negative: 9}")
    decision = decide(classes(n=3000), None, meta_of(2), costs)
    assert decision.threshold == pytest.approx(0.1, abs=0.06)
    assert "has the best mean cost of validation rows" in decision.notes[1]


def test_numbers() -> None:
    val, train = numbers(), numbers(seed=1)
    decision = decide(val, train, meta_of(), config())
    prediction = decision.predictions(val.outputs, meta_of())
    np.testing.assert_allclose(prediction, 10 + 4 * val.outputs)
    low, high = decision.intervals(prediction)
    assert ((low <= val.y) & (val.y <= high)).mean() == pytest.approx(0.9, abs=0.006)
    assert len(decision.spread.predictions) == 10
    widths = (high - low)[np.argsort(prediction)]
    assert widths[-40:].mean() > 2 * widths[:40].mean()
    assert decide(val, None, meta_of(), config()).spread == Spread()
    assert decide(val, train, meta_of(), config("coverage=null")) == Decision()


def test_a_transformed_target_is_smeared_before_intervals_are_made() -> None:
    random = np.random.default_rng(4)
    location = random.normal(3, 1, 600)
    y = np.exp(location + 0.7 * random.normal(size=600))
    transform, _ = fit_transform("log", y, 0.0)
    assert transform is not None
    meta = meta_of(transform=transform)
    outputs = (transform.forward(np.exp(location)) - 10.0) / 4.0
    decision = decide(Outputs(outputs, y), None, meta, config())
    assert decision.smearing
    assert decision.notes[0].startswith("predictions are smeared")
    low, high = decision.intervals(decision.predictions(outputs, meta))
    assert ((low <= y) & (y <= high)).mean() == pytest.approx(0.9, abs=0.006)


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_too_few_rows_are_told(task: str) -> None:
    if task == "classes":
        val, meta = classes(n=8), meta_of(2)
        decision = decide(val, None, meta, config("calibration=none"))
        assert decision.sets(decision.predictions(val.outputs, meta)).all()
        consequence = "sets hold all classes"
    else:
        val, meta = numbers(n=8), meta_of()
        decision = decide(val, None, meta, config())
        low, high = decision.intervals(decision.predictions(val.outputs, meta))
        assert np.isneginf(low).all()
        assert np.isposinf(high).all()
        consequence = "intervals are infinite"
    assert decision.bound is None
    assert decision.notes == (f"8 validation rows are too few for evaluate.coverage 0.9: {consequence}",)


def test_rows_of_weight_zero_do_not_decide() -> None:
    val = classes()
    weights = np.where(np.arange(400) < 250, 1.0, 0.0).astype(np.float32)
    spoilt = Outputs(val.outputs, np.where(weights > 0, val.y, 1 - val.y), weights)
    first = Outputs(val.outputs[:250], val.y[:250])
    found, expected = (decide(each, None, meta_of(2), config("threshold=f1")) for each in (spoilt, first))
    assert found.temperature == pytest.approx(expected.temperature, rel=1e-4)
    assert found.threshold == pytest.approx(expected.threshold, rel=1e-3)
    assert found.bound == pytest.approx(expected.bound, rel=1e-3)


def test_it_is_kept_as_json() -> None:
    for decision in (
        decide(classes(), None, meta_of(2), config("threshold=f1")),
        decide(numbers(), numbers(seed=1), meta_of(), config()),
    ):
        assert Decision.model_validate_json(decision.model_dump_json()) == decision
