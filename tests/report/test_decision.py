"""The section of what validation rows have decided."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from wellfit.metrics.conformal import Coverage
from wellfit.metrics.decision import Decision, Outputs, decide, hold, other_scores
from wellfit.report.content import Share
from wellfit.report.decision import Decided, charts_of, coverage_in_words, section
from wellfit.settings.params import load_params

from .conftest import made_up, read

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
COVERAGE = [Coverage("all rows", 100, 0.9, 0.85, 0.94, 1.2), Coverage("yes", 40, 0.8, 0.7, 0.88, 1.4)]


def logits(seed: int) -> Outputs:
    random = np.random.default_rng(seed)
    outputs = random.normal(scale=1.5, size=(200, 2))
    y = (softmax(outputs, axis=1).cumsum(axis=1) < random.random((200, 1))).sum(axis=1)
    return Outputs(4 * outputs, y)


@pytest.mark.usefixtures("undrawn")
def test_where_nothing_was_decided_there_is_no_section(tmp_path: Path, reports: Path) -> None:
    assert section(Decided(), {}, "classification") is None
    page = read(made_up(tmp_path), reports)
    assert (2, "Decisions from validation rows") not in page.headings
    assert "#decisions" not in page.text


def test_the_section_says_what_was_decided(tmp_path: Path, reports: Path) -> None:
    run = made_up(tmp_path, settings=["evaluate.threshold=f1", "evaluate.calibration=temperature"])
    config, val, test = run.params.evaluate, logits(0), logits(1)
    decision = decide(val, None, run.meta, config)
    held = hold(decision, decision.predictions(test.outputs, run.meta), test, run.meta)
    charts = charts_of(decision, held.coverage, val, test, run.meta, config)
    assert list(charts) == ["confusion_matrix_at_half", "threshold", "reliability_without_temperature", "coverage"]
    metrics = run.metrics | other_scores(decision, test, run.meta, 15) | held.metrics(0.9)
    page = read(run._replace(decided=Decided(decision, held.coverage, charts), metrics=metrics), reports)
    assert (2, "Decisions from validation rows") in page.headings
    assert "Logits are divided by the temperature" in page.words
    assert f"yes is predicted where its probability is above {decision.threshold:.4g}" in page.words
    assert "Sets of classes hold the truth in" in page.words
    assert {"Scores of the test split without what was decided"} <= set(page.captions)
    for title in ("Confusion matrix at 0.5", "Threshold", "Reliability without the temperature", "Coverage"):
        assert title in page.words
    assert "without the temperature" in page.words


def test_scores_stand_beside_what_they_would_be_otherwise() -> None:
    decided = Decided(Decision(threshold=0.3, notes=("threshold 0.3 has the best F1",)))
    found = section(
        decided, {"f1": 0.7, "f1_low": 0.6, "threshold/chosen": 0.3, "threshold/at_half/f1": 0.6}, "classification"
    )
    assert found is not None
    assert found["says"] == ["Threshold 0.3 has the best F1."]
    assert found["scores"].rows == [["F1", Share(0.7), Share(0.6), "at threshold 0.5"]]
    assert found["coverage"] is None


def test_the_coverage_is_told_with_its_doubt() -> None:
    words = coverage_in_words(COVERAGE[0], Decision(coverage=0.95), "regression").replace("\N{NO-BREAK SPACE}", " ")
    assert words == (
        "Intervals hold the truth in 90.0 % of the test rows, 95 % interval 85.0 % to 94.0 %, where 95.0 % was asked "
        "for; their mean width is 1.2. The validation rows that they come from also chose the epoch and the trial, so "
        "the coverage of new rows may lie slightly below what was asked for."
    )
    infinite = COVERAGE[0]._replace(size=math.inf)
    assert "their mean width is infinite." in coverage_in_words(infinite, Decision(coverage=0.9), "regression")
    moved = coverage_in_words(COVERAGE[0], Decision(coverage=0.9, threshold=0.2), "classification")
    assert moved.endswith("so the class that the threshold predicts may not be in them.")
    found = section(Decided(Decision(coverage=0.9), COVERAGE), {}, "classification")
    assert found is not None
    assert [row[0] for row in found["coverage"].rows] == ["all rows", "yes"]


def test_a_threshold_that_is_a_number_has_no_curve(tmp_path: Path) -> None:
    run = made_up(tmp_path)
    config = load_params(PARAMS_FILE, ["evaluate.threshold=0.3", "evaluate.calibration=none"]).evaluate
    decision = Decision(threshold=0.3)
    assert list(charts_of(decision, [], logits(0), logits(1), run.meta, config)) == ["confusion_matrix_at_half"]
    (lowest,) = charts_of(Decision(coverage=0.9), COVERAGE, logits(0), logits(1), run.meta, config).values()
    assert "Lowest for yes: 80.0" in lowest.says


@pytest.mark.usefixtures("undrawn")
def test_the_page_says_what_the_network_learns_of_the_target(tmp_path: Path, reports: Path) -> None:
    run = made_up(tmp_path, classes=())
    noted = run.meta.model_copy(update={"target_note": "auto: log, skewness 3.41 before and 0.12 after"})
    assert "Target: auto: log, skewness 3.41 before and 0.12 after." in read(run._replace(meta=noted), reports).words
