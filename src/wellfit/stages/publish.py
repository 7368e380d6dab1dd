"""What MLflow gets of an evaluation."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from wellfit import tracking
from wellfit.baselines.comparison import Compared, conclusion
from wellfit.data.meta import Meta
from wellfit.report.records import Evaluated
from wellfit.serving.rows import example_rows

BASELINE_TAG = "wellfit.baseline"


def publish(run_id: str, models: Path, evaluated: Evaluated, report: Path, page: Path) -> None:
    """Adds the test scores and the model to the run that trained it; without it, to a run of their own.

    Args:
        run_id: of the run that trained the model.
        models: has the model in a folder of the data's name.
        evaluated: what was found.
        report: the folder of its files.
        page: the run as one page.

    Raises:
        TrackingError: MLflow's store cannot be used.
    """
    meta, run = evaluated.meta, tracking.reopen_run(run_id)
    if run:
        _add(run, evaluated, report, page, models)
    else:
        missing = f"is not in {tracking.shown_store_uri()}, or was deleted there"
        print(f"the run that trained the model ({run_id}) {missing}: logging to a new one")
    if not run or tracking.project_run():
        with tracking.start_run("evaluate", f"evaluate {meta.title}", meta) as own:
            if not run:
                own.tag(tracking.TRAINED_BY, run_id)
            _add(own, evaluated, report, page, models)


def _add(run: tracking.Run, evaluated: Evaluated, report: Path, page: Path, models: Path) -> None:
    run.log_metrics({f"test/{name}": value for name, value in evaluated.all_metrics.items()})
    run.log_files(report, "evaluate")
    run.log_file(page, "evaluate")
    meta, has_coverage = evaluated.meta, evaluated.decided.decision.coverage is not None
    example = example_rows(evaluated.params.data, meta, evaluated.test)
    tune = evaluated.params.tune
    searched = list(tune.searched) if tune.enabled else []
    run.log_model(models / meta.name, meta, example, searched, has_coverage=has_coverage)
    if evaluated.baselines:
        run.tag("wellfit.baselines", conclusion(evaluated.baselines, evaluated.decided.decision.threshold))
        _add_baselines(run, evaluated.baselines, evaluated.meta)


def _add_baselines(run: tracking.Run, compared: Sequence[Compared], meta: Meta) -> None:
    """Nests a run of each baseline in that of the network.

    Their times are those of the evaluation: how long a fit took is not written down, so that files stay the same.
    """
    now = time.time()
    for one in compared:
        name, setting = one.fitted.name, one.fitted.setting
        tags = {BASELINE_TAG: json.dumps([name, setting])}
        params = {"model.name": name} | {f"baseline.{key}": value for key, value in setting.items()}
        scores = {f"val/{key}": value for key, value in one.fitted.validation.items()}
        scores |= {f"test/{key}": value for key, value in one.scores.items() if value is not None}
        title = f"baseline {meta.title} {name}"
        ended = tracking.EndedRun("baseline", title, "FINISHED", now, now, tags, params, scores, [], 0, [])
        run.log_child(ended, meta, BASELINE_TAG)
