"""Views of the runs in MLflow's pages: the columns of the table and the charts that they open with.

MLflow takes no columns from a server but these: a view is a tag of the experiment, stands in the list *Views* of its
page, and is opened by ``?viewStateShareKey=<key>``. What a tag holds is the state of MLflow's page, as MLflow 3.17
writes it when a user saves a view.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

RUNS_VIEW, TRIALS_VIEW = "runs", "trials"  # keys, as they stand in the address of the page
TEST_SCORES = ("test/accuracy", "test/log_loss", "test/rmse", "test/mae")  # a run has two of them
MOST_SEARCHED = 12  # columns: a tag holds 5,000 characters
CURVES = (("val/loss", "train/loss"), ("val/accuracy", "train/accuracy"), ("val/rmse", "train/rmse"), ("lr",))
CURVES_OF_TRIALS = CURVES[:3]


def runs_view(searched: Sequence[str] = ()) -> dict[str, str]:
    """The tag for all runs: test scores, the best validation loss, and the values of what is searched.

    Args:
        searched: dotted keys of ``params.yaml``.
    """
    scores = [*TEST_SCORES, "best/val/loss"]
    state = {
        **_columns(scores, searched, ["Models", "Dataset"]),
        **_charts({"Scores": [_bars(score) for score in scores], "Curves": [_lines(curve) for curve in CURVES]}),
    }
    return _tag(RUNS_VIEW, "Scores of all runs", state)


def trials_view(study_run_id: str, searched: Sequence[str], monitor: str, *, higher_is_better: bool) -> dict[str, str]:
    """The tag for the trials of one study, the best first: their values, and what came of them.

    Args:
        study_run_id: the run below which the trials are nested.
        searched: dotted keys of ``params.yaml``.
        monitor: by which trials are judged.
        higher_is_better: whether that is to rise.
    """
    best = f"best/{monitor}"
    scores = list(dict.fromkeys([best, "best/val/loss", "best/val/accuracy", "best/val/rmse"]))
    curves = dict.fromkeys([(monitor,), *CURVES_OF_TRIALS])
    state = {
        "searchFilter": f"tags.mlflow.parentRunId = '{study_run_id}'",
        "orderByKey": f"metrics.`{best}`",
        "orderByAsc": not higher_is_better,
        **_columns([*scores, "best_epoch"], searched, []),
        "runsHiddenMode": "SHOW_ALL",
        **_charts({"Trials": [_coordinates(searched, best)], "Curves": [_lines(curve) for curve in curves]}),
    }
    return _tag(TRIALS_VIEW, "Trials of the latest study", state)


def _tag(key: str, name: str, state: dict[str, Any]) -> dict[str, str]:
    view = {"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state, separators=(",", ":"))}
    return {f"mlflow.sharedViewState.{key}": json.dumps(view)}


def _columns(metrics: Sequence[str], params: Sequence[str], attributes: Sequence[str]) -> dict[str, list[str]]:
    selected = [f"metrics.`{name}`" for name in metrics]
    selected += [f"params.`{name}`" for name in params[:MOST_SEARCHED]]
    selected += [f"attributes.`{name}`" for name in attributes]
    return {"selectedColumns": selected, "columnOrder": ["attributes.`Created`", *selected]}


def _charts(sections: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Charts by section. MLflow adds one of each other metric below them."""
    shown = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    return {
        "isAccordionReordered": True,  # else MLflow sorts the sections by their names
        "compareRunSections": [{"uuid": name, "name": name, **shown} for name in sections],
        "compareRunCharts": [
            {"uuid": f"{name}-{number}", "metricSectionId": name, "deleted": False, "isGenerated": False, **chart}
            for name, charts in sections.items()
            for number, chart in enumerate(charts)
        ],
    }


def _bars(metric: str) -> dict[str, Any]:
    return {"type": "BAR", "runsCountToCompare": 10, "metricKey": metric, "displayName": metric}


def _lines(metrics: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "LINE",
        "runsCountToCompare": 10,
        "metricKey": metrics[0],
        "selectedMetricKeys": list(metrics),
        "xAxisKey": "step",
        "scaleType": "linear",
        "range": {},
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _coordinates(params: Sequence[str], metric: str) -> dict[str, Any]:
    return {
        "type": "PARALLEL",
        "runsCountToCompare": 10,
        "selectedParams": list(params[:MOST_SEARCHED]),
        "selectedMetrics": [metric],
        "showAllRuns": True,
    }
