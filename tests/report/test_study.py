"""Charts of studies that were made up."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from wellfit.charts.style import svg
from wellfit.report.study import StudyCharts
from wellfit.settings.params import load_params
from wellfit.tuning.report import Row

HIDDEN = [[8], [8, 4]]
PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"


def charts_of(trials: Sequence[Row], monitor: str = "val/loss") -> StudyCharts:
    return StudyCharts(trials, load_params(PARAMS_FILE, [f"train.monitor={monitor}"]))


def study(*, higher: bool = False, states: tuple[str, ...] = (), n: int = 6) -> StudyCharts:
    trials = [
        Row(
            i,
            states[i] if i < len(states) else "complete",
            5,
            3,
            0.1 * (i + 1),
            {"optim.lr": 10.0 ** (-1 - i % 3), "model.hidden": HIDDEN[i % 2], "model.dropout": 0.1 * i},
        )
        for i in range(n)
    ]
    return charts_of(trials, "val/accuracy" if higher else "val/loss")


def slice_of(charts: StudyCharts, key: str) -> str:
    (chart,) = [chart for chart in charts.slices() if chart.title == key]
    return chart.says


@pytest.mark.parametrize(("higher", "best"), [(False, 0), (True, 5)])
def test_the_best_is_told_by_the_direction(higher: bool, best: int) -> None:
    found = study(higher=higher)
    assert found.best
    assert found.best.number == best
    assert f"came with trial {best}" in found.history().says


def test_only_completed_trials_can_win() -> None:
    found = study(states=("pruned", "failed"))
    assert found.best
    assert found.best.number == 2
    assert [trial.number for trial in found.ranked] == [2, 3, 4, 5]
    assert found.history().says.startswith("4 complete, 1 pruned, 1 failed.")


def test_the_first_of_equals_wins() -> None:
    base = study()
    trials = [trial._replace(value=0.5) for trial in base.trials]
    best = charts_of(trials, "val/accuracy").best
    assert best
    assert best.number == 0


def test_history_compares_with_params_yaml() -> None:
    assert "the values of params.yaml, trial 0, have 10.0\u00a0%" in study(higher=True).history().says
    assert "params.yaml" not in study().history().says


def test_a_slice_says_where_the_best_are() -> None:
    says = slice_of(study(n=30), "model.dropout")
    assert "The best trial has 0; the best 3 completed trials have values from 0 to 0.2." in says
    assert "trials have [8] and [8, 4]." in slice_of(study(n=30), "model.hidden")


def test_a_share_is_told_in_percent() -> None:
    found = charts_of(study().trials, "val/accuracy")
    assert "The best val/accuracy, 60.0\u00a0%, came with trial 5" in found.history().says


def test_a_slice_says_no_more_of_a_best_trial_alone() -> None:
    assert slice_of(study(n=6), "model.dropout") == "The best trial has 0."


def test_a_slice_says_where_the_best_agree() -> None:
    trials = [trial._replace(values={"model.dropout": 0.25}) for trial in study(n=30).trials]
    says = slice_of(charts_of(trials), "model.dropout")
    assert says == "The best trial has 0.25; the best 3 completed trials all have it."


def test_a_wide_space_is_moved_sideways() -> None:
    trials = [Row(i, "complete", 1, 1, float(i), {f"optim.key{k}": 0.5 * i for k in range(9)}) for i in range(3)]
    charts = charts_of(trials)
    assert charts.parallel().least > 600
    assert study().parallel().least == 0


def test_ranks_pair_the_most_important_keys() -> None:
    importance = {"model.dropout": 0.7, "optim.lr": 0.2, "model.hidden": 0.1}
    titles = [chart.title for chart in study().ranks(importance)]
    assert titles == ["model.dropout and optim.lr", "model.dropout and model.hidden", "optim.lr and model.hidden"]


def test_importance_is_sorted() -> None:
    chart = study().importance({"optim.lr": 0.25, "model.dropout": 0.75})
    assert "model.dropout 75.0\N{NO-BREAK SPACE}%, optim.lr 25.0\N{NO-BREAK SPACE}%" in chart.says
    assert chart.table
    assert chart.table.rows == [("model.dropout", 0.75), ("optim.lr", 0.25)]


@pytest.mark.parametrize("states", [("failed",) * 6, ("pruned",) * 6, ("failed",) * 5])
def test_a_study_with_hardly_a_completed_trial_is_drawn(states: tuple[str, ...]) -> None:
    found = study(states=states)
    assert all(
        "nan" not in svg(chart.figure, "a")
        for chart in [found.history(), found.parallel(), *found.slices(), *found.ranks({})]
    )


@pytest.mark.parametrize("value", [None, "a", True, [1], 3, 0.5])
def test_values_of_any_type_have_their_place(value: Any) -> None:
    trials = [
        Row(0, "complete", 1, 1, 0.5, {"model.key": value}),
        Row(1, "failed", 0, 0, None, {"model.key": value}),
    ]
    found = charts_of(trials)
    assert all("nan" not in svg(chart.figure, "a") for chart in (found.history(), *found.slices(), found.parallel()))
    assert found.ranks({}) == []
