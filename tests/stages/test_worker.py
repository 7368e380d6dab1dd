"""A worker: trials without a report."""

from pathlib import Path

import pytest

from wellfit.errors import WellfitError
from wellfit.stages.worker import work
from wellfit.training.setup import load_training_data
from wellfit.tuning.storage import ended_trials, open_saved
from wellfit.tuning.trials import open_study

from .test_tune import params_with, run, runs, trials_of

STORAGE = "tune.storage=sqlite:///studies.db"


@pytest.mark.usefixtures("publisher_here")
def test_a_worker_completes_the_study_and_leaves_the_report_to_tune(
    project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = params_with(STORAGE, "tune.study=mine")
    work(params, prepared / "moons")
    assert capsys.readouterr().out.endswith("the study mine has 6 trials\n")
    assert list(ended_trials(open_saved(params.tune.storage, "mine"))) == list(range(6))
    assert [study.info.status for study in runs("tune")] == ["FINISHED"]
    assert [child.data.tags["wellfit.trial"] for child in runs("trial")] == [str(number) for number in range(6)]
    assert not (project / "reports").exists()
    assert len(trials_of(run(project, prepared, STORAGE, "tune.study=mine"))) == 6
    assert "6 trials from before; 0 to go" in capsys.readouterr().out


@pytest.mark.usefixtures("project", "publisher_here")
def test_workers_say_that_they_share_a_study(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = params_with(STORAGE, "tune.study=mine", "tune.timeout=1")
    with open_study(params, load_training_data(params, prepared / "moons")) as other:
        other.ask(2)
        work(params, prepared / "moons")
    assert "other workers share the study: they have 2 of its trials under way\n" in capsys.readouterr().out
    work(params, prepared / "moons")
    assert "other workers" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("tune.enabled=false", r"a worker needs tune\.enabled true and a tune\.space to search \(params\.yaml\)"),
        ("tune.space={}", r"a worker needs tune\.enabled true and a tune\.space"),
        (
            "tune.storage=.wellfit/studies",
            r"tune\.storage must be a database .* got \.wellfit/studies \(params",
        ),
    ],
)
def test_what_a_worker_cannot_work_on(change: str, fault: str, prepared: Path) -> None:
    with pytest.raises(WellfitError, match=f"^{fault}"):
        work(params_with(change), prepared / "moons")
