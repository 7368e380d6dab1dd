"""Views of the runs in MLflow's pages. That MLflow opens them as meant was looked at in a browser."""

import json
from typing import Any

import pytest
from mlflow import MlflowClient

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.tracking.views import runs_view, trials_view

TAG = "mlflow.sharedViewState."
SEARCHED = ["optim.lr", "model.dropout"]


def state(tags: dict[str, str], key: str) -> dict[str, Any]:
    view = json.loads(tags[TAG + key])
    assert {type(view["name"]), type(view["createdAt"])} == {str, int}  # else MLflow does not list it
    found: dict[str, Any] = json.loads(view["state"])
    return found


def test_the_table_of_runs_has_scores_then_what_is_searched() -> None:
    found = state(runs_view(SEARCHED), "runs")
    columns = found["selectedColumns"]
    assert columns[0] == "metrics.`test/accuracy`"
    assert columns[-4:] == [
        "params.`optim.lr`",
        "params.`model.dropout`",
        "attributes.`Models`",
        "attributes.`Dataset`",
    ]
    assert found["columnOrder"][1:] == columns


@pytest.mark.parametrize("higher", [False, True])
def test_trials_are_those_of_one_study_with_the_best_first(higher: bool) -> None:
    found = state(trials_view("abc", SEARCHED, "val/accuracy", higher_is_better=higher), "trials")
    assert found["searchFilter"] == "tags.mlflow.parentRunId = 'abc'"
    assert (found["orderByKey"], found["orderByAsc"]) == ("metrics.`best/val/accuracy`", not higher)
    assert found["selectedColumns"][0] == "metrics.`best/val/accuracy`"
    (coordinates,) = [chart for chart in found["compareRunCharts"] if chart["type"] == "PARALLEL"]
    assert coordinates["selectedParams"] == SEARCHED


@pytest.mark.parametrize(
    "tags", [runs_view, lambda keys: trials_view("a" * 32, keys, "val/loss", higher_is_better=False)]
)
def test_each_chart_is_in_a_section_and_a_tag_is_not_too_long(tags: Any) -> None:
    (made,) = tags([f"regularize.long_name_{i}" for i in range(60)]).items()
    found = state(dict([made]), made[0].removeprefix(TAG))
    sections = {section["uuid"] for section in found["compareRunSections"]}
    charts = found["compareRunCharts"]
    assert {chart["metricSectionId"] for chart in charts} == sections
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    assert len(made[1]) <= 5000


def test_the_experiment_has_the_views_and_gets_them_again(client: MlflowClient, meta: Meta) -> None:
    with tracking.start_run("train", "a run", meta) as run:
        pass
    tags = client.get_experiment(run.experiment_id).tags
    assert tags[f"{TAG}runs"] == runs_view()[f"{TAG}runs"]
    client.delete_experiment_tag(run.experiment_id, f"{TAG}runs")  # as an earlier version left it
    with tracking.start_run("train", "a run", meta) as run:
        run.tag_experiment(trials_view(run.id, SEARCHED, "val/loss", higher_is_better=False))
    tags = client.get_experiment(run.experiment_id).tags
    assert {f"{TAG}runs", f"{TAG}trials"} <= set(tags)
