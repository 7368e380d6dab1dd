"""A test score that may be due to leakage."""

from pathlib import Path

import pytest

from wellfit.data.meta import Leak
from wellfit.report.card import card
from wellfit.report.leakage import leakage

from .conftest import leave_no_tuning, made_up, read

BOAT = Leak(kind="filled", columns=("<boat>",), score_name="balanced_accuracy", score=0.93)
TOTAL = Leak(kind="sum", columns=("a", "b"), weights=(1, 1), score_name="r2", score=1)


@pytest.mark.parametrize(
    ("leak", "value", "is_said"),
    [
        (BOAT, 0.98, True),
        (BOAT, 0.89, True),
        (BOAT, 0.87, False),
        (TOTAL, 0.96, True),
        (TOTAL, 0.94, False),
        (TOTAL, None, False),
    ],
)
def test_it_is_said_of_scores_that_are_as_good_as_the_leak(
    tmp_path: Path, leak: Leak, value: float | None, *, is_said: bool
) -> None:
    run = made_up(tmp_path, classes=("no", "yes") if leak is BOAT else ())
    meta = run.meta.model_copy(update={"leakage": (leak,)})
    said = leakage(meta, {leak.score_name: value})
    assert bool(said) == is_said
    if said:
        words = "balanced accuracy" if leak is BOAT else "R²"
        assert said[0].startswith(f"the test {words} {value:.3f} may be due to leakage: ")
        assert repr(leak.columns[0]) in said[0]


@pytest.mark.usefixtures("undrawn")
def test_the_page_and_the_card_say_it_beside_the_scores(tmp_path: Path) -> None:
    run = made_up(tmp_path)
    leave_no_tuning(tmp_path / "reports")
    assert "leakage" not in card(run)
    meta = run.meta.model_copy(update={"leakage": (BOAT,)})
    run = run._replace(meta=meta, metrics=run.metrics | {"balanced_accuracy": 0.95})
    sentence = "The test balanced accuracy 0.950 may be due to leakage: whether column"
    results = read(run, tmp_path / "reports").text.split("Test scores, with")[0]
    assert f"<li>{sentence} &#39;&lt;boat&gt;&#39; is filled" in results
    scores = card(run).split("## What it was trained on")[0]
    assert f"{sentence} '&lt;boat>' is filled" in scores
