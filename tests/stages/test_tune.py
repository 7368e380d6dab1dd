"""The tune stage: real trials on real data, in MLflow, and taken up again after an interruption."""

import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState
from ruamel.yaml import YAML

from wellfit import tracking
from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params
from wellfit.stages.tune import tune
from wellfit.training.checkpoint import load_checkpoint
from wellfit.training.setup import begin, load_training_data
from wellfit.tuning.storage import open_saved
from wellfit.tuning.study import Study
from wellfit.tuning.trials import open_study

from ..conftest import PLAIN
from ..damage import fill_with_garbage, flip_digit

ROOT = Path(__file__).resolve().parents[2]
PARAMS_FILE = ROOT / "params.yaml"
BASE = ["data.name=moons", "data.n_samples=240", "train.epochs=6", "model.hidden=[8]", "train.threads=1"]
BASE += ["tune.n_trials=6", "tune.pack=3", "tune.leaders=1", "tune.repeats=0"]
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
# Far too small a rate is pruned, far too large a one fails.
WILD = ["optim.name=sgd", "model.norm=none", "schedule.warmup_epochs=0", "optim.lr=0.1", "tune.n_trials=12"]
WILD += ["tune.space.optim.lr={low: 1e-30, high: 1e30, log: true}", "tune.pruner_startup_trials=1"]
WILD += ["tune.pruner_warmup_epochs=1"]


def params_with(*changes: str) -> Params:
    return load_params(PARAMS_FILE, [*PLAIN, *BASE, *changes])


def run(project: Path, prepared: Path, *changes: str, report: str = "reports/tune") -> Path:
    params = params_with(*changes)
    tune(params, prepared / params.data.name, project / report, project / "models")
    return project / report


def trials_of(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((report / "trials.csv").read_text().splitlines()))


def runs(stage_name: str) -> list[Run]:
    """Of a stage; trials in the order of their numbers."""
    client = MlflowClient(tracking.store_uri())
    experiment = client.get_experiment_by_name("wellfit")
    if experiment is None:
        return []
    query = f"tags.`wellfit.stage` = '{stage_name}'"
    found = client.search_runs([experiment.experiment_id], query, order_by=["start_time ASC"])
    return sorted(found, key=lambda each: int(each.data.tags.get("wellfit.trial", 0)))


def saved(params: Params, prepared: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials in the storage, lost ones included."""
    data = load_training_data(params, prepared / params.data.name)
    with open_study(params, data) as study:
        name = study.name
    return open_saved(params.tune.storage, name).trials


def artifacts(run_of_mlflow: Run) -> Path:
    return Path(run_of_mlflow.info.artifact_uri.removeprefix("file://"))


@pytest.mark.usefixtures("drawn")
def test_a_study_from_the_first_trial_to_the_report(project: Path, prepared: Path) -> None:
    report = run(project, prepared, "tune.repeats=3")
    trials, params = trials_of(report), params_with()
    assert [trial["trial"] for trial in trials] == [str(number) for number in range(6)]
    assert {key: float(trials[0][key]) for key in params.tune.searched} == {
        key: params.flat()[key] for key in params.tune.searched
    }
    best = min((trial for trial in trials if trial["state"] == "complete"), key=lambda trial: float(trial["value"]))
    chosen = YAML(typ="safe", pure=True).load(report / "best_params.yaml")["params"]
    assert chosen["optim"] == {key: float(best[f"optim.{key}"]) for key in ("lr", "weight_decay")}
    assert chosen["model"] == {"dropout": float(best["model.dropout"])}
    assert float(trials[-1]["best_so_far"]) == float(best["value"])
    pictures = {"history.png", "slices.png", "importance.png", "parallel.png", "rank.png"}
    assert {path.name for path in (report / "plots").iterdir()} == pictures
    repeats = list(csv.reader((report / "repeats.csv").read_text().splitlines()))
    assert [row[:2] for row in repeats] == [["trial", "seed"], *([best["trial"], seed] for seed in "123")]
    scores = [float(row[2]) for row in repeats[1:]]

    (study,) = runs("tune")
    assert (study.info.status, study.data.metrics["best/val/loss"]) == ("FINISHED", float(best["value"]))
    assert study.data.metrics["best_trial"] == float(best["trial"])
    assert study.data.metrics["repeats/mean"] == pytest.approx(sum(scores) / 3)
    client, children = MlflowClient(tracking.store_uri()), runs("trial")
    assert len(children) == 6
    for trial, child in zip(trials, children, strict=True):
        assert child.info.status == STATUS[trial["state"]]
        assert child.data.tags["mlflow.parentRunId"] == study.info.run_id
        assert child.data.params["optim.lr"] == trial["optim.lr"]
        losses = client.get_metric_history(child.info.run_id, "val/loss")
        assert [loss.step for loss in losses] == list(range(1, int(trial["epochs"]) + 1))
        assert min(loss.value for loss in losses) == float(trial["value"])
        checkpoint = load_checkpoint(artifacts(child) / "checkpoint" / "best.safetensors")
        assert checkpoint.info["epoch"] == int(trial["best_epoch"])
        assert checkpoint.info["metrics"]["val/loss"] == float(trial["value"])
        assert checkpoint.info["config"]["optim"]["lr"] == float(trial["optim.lr"])
    stored = saved(params_with("tune.repeats=3"), prepared)
    assert [each.state.name.lower() for each in stored] == [trial["state"] for trial in trials]
    assert [len(each.intermediate_values) for each in stored] == [int(trial["epochs"]) for trial in trials]
    assert not list(project.rglob("*.tmp"))
    assert not list(project.rglob("open*.lock"))


@pytest.mark.usefixtures("publisher_here")
def test_pruned_and_failed_trials_are_marked(project: Path, prepared: Path) -> None:
    trials = trials_of(run(project, prepared, *WILD))
    states = [trial["state"] for trial in trials]
    assert set(states) == set(STATUS)
    assert [child.info.status for child in runs("trial")] == [STATUS[state] for state in states]
    for trial, child in zip(trials, runs("trial"), strict=True):
        failure = child.data.tags.get("wellfit.failure", "")
        assert bool(failure) == (trial["state"] == "failed")
        assert not failure or (("is nan" in failure or "is inf" in failure) and " in epoch " in failure)
        assert int(trial["epochs"]) == 6 if trial["state"] == "complete" else int(trial["epochs"]) < 6


@pytest.mark.usefixtures("publisher_here")
def test_n_trials_counts_those_of_before(project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = trials_of(run(project, prepared, "tune.n_trials=4"))
    more = trials_of(run(project, prepared))
    assert more[:4] == first
    assert len(more) == 6
    assert "4 trials from before; 2 to go" in capsys.readouterr().out
    best = (project / "reports/tune/best_params.yaml").read_bytes()
    fewer = trials_of(run(project, prepared, "tune.n_trials=4"))
    assert fewer == first  # what a study of four trials would have given
    again = trials_of(run(project, prepared))
    assert again == more  # nothing was thrown away, nothing done again
    assert (project / "reports/tune/best_params.yaml").read_bytes() == best
    assert [study.info.status for study in runs("tune")] == ["FINISHED"]
    assert [child.data.tags["wellfit.trial"] for child in runs("trial")] == [str(number) for number in range(6)]


@pytest.mark.usefixtures("publisher_here")
@pytest.mark.parametrize("when", ["in an epoch", "between trials"])
def test_an_interrupted_study_goes_on_as_if_it_had_not_been(
    project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    settings = ["tune.pack=1", "tune.n_trials=5"]
    whole = run(project, prepared, *settings, "tune.storage=.wellfit/whole", "tune.study=whole", report="whole")
    before = len(runs("trial"))
    what, times = ("should_prune", 20) if when == "in an epoch" else ("ask", 4)
    original, calls = getattr(Study, what), []

    def interrupted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == times:
            raise KeyboardInterrupt
        return original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Study, what, interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(project, prepared, *settings, report="parts")
    assert not (project / "parts").exists()
    assert [each.info.status for each in runs("tune")] == ["FINISHED", "KILLED"]
    states = [trial.state for trial in saved(params_with(*settings), prepared)]
    assert TrialState.RUNNING not in states
    assert states.count(TrialState.COMPLETE) + states.count(TrialState.PRUNED) == 3
    parts = run(project, prepared, *settings, report="parts")
    assert (parts / "best_params.yaml").read_text().split("\n")[1:] == (
        (whole / "best_params.yaml").read_text().split("\n")[1:]
    )
    assert [list(trial.values())[1:] for trial in trials_of(parts)] == [
        list(trial.values())[1:] for trial in trials_of(whole)
    ]  # the numbers of lost trials are not used again
    assert [each.info.status for each in runs("tune")] == ["FINISHED", "FINISHED"]
    assert len(runs("trial")) == before + 5


@pytest.mark.usefixtures("publisher_here")
def test_trials_that_are_cut_short_search_the_learning_rate_alone(
    project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = trials_of(run(project, prepared, "tune.max_steps=10", "train.batch_size=32"))
    assert [key for key in trials[0] if "." in key] == ["optim.lr"]
    assert max(int(trial["epochs"]) for trial in trials) == 2  # of 5 steps: 144 rows by 32
    said = "too few to judge regularization: optim.weight_decay and model.dropout stay as they are"
    assert said in capsys.readouterr().out
    shipped = load_params(PARAMS_FILE)
    (study,) = runs("tune")
    assert study.data.params["model.dropout"] == str(shipped.model.dropout)
    assert study.data.params["optim.weight_decay"] == str(shipped.optim.weight_decay)
    for trial in runs("trial"):
        assert trial.data.params["model.dropout"] == str(shipped.model.dropout)
        assert trial.data.params["optim.weight_decay"] == str(shipped.optim.weight_decay)
        assert trial.data.params["train.epochs"] == "2"
    # A trial of half of the epochs judges regularization, too.
    half = trials_of(run(project, prepared, "tune.max_steps=15", "train.batch_size=32", "tune.n_trials=2"))
    assert [key for key in half[0] if "." in key] == ["optim.lr", "optim.weight_decay", "model.dropout"]
    assert "too few" not in capsys.readouterr().out
    # Where that is all there is to search, it is searched.
    only = ["tune.space.optim=null", "tune.n_trials=2", "tune.max_steps=10"]
    assert [key for key in trials_of(run(project, prepared, *only))[0] if "." in key] == ["model.dropout"]


@pytest.mark.usefixtures("publisher_here")
def test_not_one_good_trial_is_an_error(project: Path, prepared: Path) -> None:
    changes = ["optim.name=sgd", "model.norm=none", "schedule.warmup_epochs=0", "tune.n_trials=2"]
    changes += ["tune.space={optim: {lr: [1.0e+30, 2.0e+30]}}", "optim.lr=1.0e+30"]
    with pytest.raises(WellfitError, match=r"none of 2 trials ended well: .* in epoch"):
        run(project, prepared, *changes)
    assert not (project / "reports").exists()
    (study,) = runs("tune")
    assert study.info.status == "FAILED"
    assert "none of 2 trials ended well" in study.data.tags["wellfit.failure"]
    assert [child.info.status for child in runs("trial")] == ["FAILED", "FAILED"]


@pytest.mark.usefixtures("publisher_here")
@pytest.mark.parametrize("name", ["moons", "diabetes"])
def test_the_best_trial_trained_again_gives_its_value(project: Path, prepared: Path, name: str) -> None:
    from wellfit.stages.train import train

    report = run(project, prepared, f"data.name={name}")
    data, models = prepared / name, project / "models"
    train(params_with(f"data.name={name}"), data, report, models, project / "reports/train")
    metrics = json.loads((project / "reports/train/metrics.json").read_text())
    assert metrics["val/loss"] == pytest.approx(float(trials_of(report)[-1]["best_so_far"]), rel=1e-3)


@pytest.mark.usefixtures("publisher_here")
def test_keys_that_change_the_shape_are_searched_in_packs(
    project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(members: Any, data: Any, *, packed: bool) -> Any:
        if packed:
            sizes.append(len(members))
        return begin(members, data, packed=packed)

    monkeypatch.setattr("wellfit.training.shards.begin", counted)
    space = "tune.space={model: {hidden: [[8], [8, 4]]}, train: {batch_size: [32, 64]}, optim: {name: [adamw, sgd]}}"
    changes = [space, "tune.n_trials=16", "tune.pack=8", "tune.sampler=random"]
    trials = trials_of(run(project, prepared, *changes, "tune.pruner=none"))
    assert {trial["state"] for trial in trials} == {"complete"}
    tried = {(trial["model.hidden"], trial["train.batch_size"], trial["optim.name"]) for trial in trials}
    assert len(tried) > 4
    assert len(sizes) < len(trials) // 2
    for child, trial in zip(runs("trial"), trials, strict=True):
        assert child.data.params["model.hidden"] == trial["model.hidden"]
        weights = load_checkpoint(artifacts(child) / "checkpoint" / "best.safetensors").weights
        widths = [len(tensor) for name, tensor in weights.items() if name.endswith("weight") and tensor.ndim == 2]
        assert sorted(widths) == sorted([*json.loads(trial["model.hidden"]), 2])


@pytest.mark.usefixtures("publisher_here")
def test_convolutions_are_tried_one_by_one(project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["data.name=digits", "model.name=cnn", "model.channels=[2]", "train.epochs=3", "tune.n_trials=2"]
    trials = trials_of(run(project, prepared, *changes))
    assert [trial["state"] for trial in trials] == ["complete", "complete"]
    assert "trains trials one by one" in capsys.readouterr().out


@pytest.mark.usefixtures("publisher_here")
def test_values_that_contradict_each_other_fail_as_trials(project: Path, prepared: Path) -> None:
    space = "tune.space={model: {norm: [batch, group], groups: [2, 3]}}"
    changes = [space, "tune.sampler=grid", "tune.n_trials=5"]
    trials = trials_of(run(project, prepared, *changes))
    failed = [trial for trial in trials if trial["state"] == "failed"]
    assert {(trial["model.norm"], trial["model.groups"]) for trial in failed} == {("group", "3")}
    for child, trial in zip(runs("trial"), trials, strict=True):
        assert child.info.status == STATUS[trial["state"]]
        assert child.data.params["model.groups"] == trial["model.groups"]
        assert ("model.groups" in child.data.tags.get("wellfit.failure", "")) == (trial in failed)
    assert TrialState.RUNNING not in [trial.state for trial in saved(params_with(*changes), prepared)]


@pytest.mark.usefixtures("publisher_here")
def test_a_timeout_ends_the_study_with_what_there_is(
    project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WellfitError, match=r"^tune.timeout 1e-09 was over before a trial had begun \(params.yaml\)$"):
        run(project, prepared, "tune.timeout=1e-9")
    ask = Study.ask
    asked: list[Study] = []

    def late(study: Any, count: int, **options: Any) -> Any:
        asked.append(study)
        if len(asked) == 2:
            study._deadline = 0.0
        return ask(study, count, **options)

    monkeypatch.setattr(Study, "ask", late)
    trials = trials_of(run(project, prepared, "tune.timeout=60"))
    assert len(trials) == 3


@pytest.mark.usefixtures("publisher_here")
def test_packs_of_all_sizes_try_the_same(project: Path, prepared: Path) -> None:
    same = ["tune.sampler=random", "tune.pruner=none", "tune.n_trials=7"]
    one, four = (
        trials_of(run(project, prepared, *same, f"tune.pack={size}", f"tune.study=of{size}", report=f"of{size}"))
        for size in (1, 4)
    )
    for alone, together in zip(one, four, strict=True):
        for column in ("trial", "state", "epochs", *params_with().tune.searched):
            assert alone[column] == together[column]
        assert float(alone["value"]) == pytest.approx(float(together["value"]), rel=1e-3)


@pytest.mark.usefixtures("publisher_here")
def test_repeats_are_what_training_with_other_seeds_gives(project: Path, prepared: Path) -> None:
    from wellfit.stages.train import train

    report = run(project, prepared, "tune.repeats=1", "train.seed=4")
    rows = {row["seed"]: row["score"] for row in csv.DictReader((report / "repeats.csv").read_text().splitlines())}
    train(params_with("train.seed=5"), prepared / "moons", report, project / "models", project / "reports/train")
    metrics = json.loads((project / "reports/train/metrics.json").read_text())
    assert float(rows["5"]) == pytest.approx(metrics["val/loss"], rel=1e-4)
    run(project, prepared, "train.seed=4")
    assert (report / "repeats.csv").read_text() == "trial,seed,score\n"  # nothing of the call before


# The script, as a process


@pytest.fixture
def start(project: Path, prepared: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts ``pipelines/tune.py`` in a project of its own; what is left of it is killed in the end."""
    shutil.copytree(ROOT / "pipelines", project / "pipelines")
    shutil.copy(PARAMS_FILE, project)
    (project / "data").mkdir()
    (project / "data/processed").symlink_to(prepared)
    started: list[subprocess.Popen[str]] = []

    def run_script(*changes: str) -> "subprocess.Popen[str]":
        settings = [part for change in [*PLAIN, *BASE, *changes] for part in ("--set", change)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "COV_"))}
        process = subprocess.Popen(
            [sys.executable, "pipelines/tune.py", *settings],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=kept | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"},
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        started.append(process)
        return process

    yield run_script
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for_trials(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    # A folder that is not whole yet has a longer name.
    while sum(path.parent.name.isdecimal() for path in folder.glob(".wellfit/records/*/*/trials/*/trial.json")) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("publisher_here")
def test_two_stages_on_one_study_report_the_same(
    start: Callable[..., "subprocess.Popen[str]"], project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, others = Study.ask, []

    def ask(study: Study, count: int, **options: Any) -> Any:
        trials = original(study, count, **options)
        if not others:  # the other finds the first ones taken, and waits for them
            others.append(start("tune.n_trials=5"))
            wait_for_trials(project, 2)
        return trials

    monkeypatch.setattr(Study, "ask", ask)
    report = run(project, prepared, "tune.n_trials=5", report="here")
    out, err = others[0].communicate(timeout=120)
    assert (others[0].returncode, err) == (0, "")
    assert "waits for 3 trials under way in other workers" in out
    assert [trial["trial"] for trial in trials_of(report)] == [str(number) for number in range(5)]
    assert (project / "reports/tune/trials.csv").read_bytes() == (report / "trials.csv").read_bytes()
    assert [study.info.status for study in runs("tune")] == ["FINISHED"]


@pytest.mark.slow
def test_ctrl_c_ends_the_stage_in_order(
    start: Callable[..., "subprocess.Popen[str]"], project: Path, prepared: Path
) -> None:
    changes = ["tune.n_trials=5000", "tune.study=mine", "tune.pruner=none"]
    process = start(*changes)
    wait_for_trials(project, 6)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate()
    assert (process.returncode, err) == (130, "tune: interrupted\n")
    assert [study.info.status for study in runs("tune")] == ["KILLED"]
    trials = saved(params_with(*changes), prepared)
    assert TrialState.RUNNING not in [trial.state for trial in trials]
    ended = sum(trial.state == TrialState.COMPLETE for trial in trials)
    assert len(runs("trial")) == ended >= 6
    assert {child.info.status for child in runs("trial")} == {"FINISHED"}
    assert not (project / "reports").exists()

    report = run(project, prepared, f"tune.n_trials={ended + 2}", *changes[1:])
    assert len(trials_of(report)) == len(runs("trial")) == ended + 2
    assert [study.info.status for study in runs("tune")] == ["FINISHED"]


@pytest.mark.usefixtures("publisher_here")
def test_the_seed_decides_what_comes_out(project: Path, prepared: Path) -> None:
    changes = ["tune.n_trials=8", "tune.study=one", "tune.repeats=2"]
    files = ("trials.csv", "best_params.yaml", "importance.csv", "repeats.csv")
    report = run(project, prepared, *changes)
    first = [(report / name).read_bytes() for name in files]
    changes[1] = "tune.study=other"
    again = run(project, prepared, *changes, report="again")
    assert [(again / name).read_bytes() for name in files] == first


@pytest.mark.usefixtures("publisher_here")
def test_a_damaged_study_is_rebuilt_from_its_records(
    project: Path, prepared: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changes = ["tune.n_trials=4", "tune.study=mine", "tune.pruner=none"]
    files = ("trials.csv", "best_params.yaml", "importance.csv")
    report = run(project, prepared, *changes)
    expected = [(report / name).read_bytes() for name in files]
    (journal,) = (project / ".wellfit" / "studies").glob("*.log")
    (records,) = project.glob(".wellfit/records/*/mine/trials")
    cells = trials_of(report)

    # What the journal says of a trial is changed: its record counts.
    text = journal.read_text()
    value = f'"best":{cells[2]["value"]}'
    assert text.count(value) == 1
    journal.write_text(text.replace(value, '"best":0.001'))
    again = run(project, prepared, *changes, report="changed")
    assert [(again / name).read_bytes() for name in files] == expected
    assert "mine.log was damaged" in capfd.readouterr().err

    # Nothing is left of the journal, and a record is damaged, too: that trial is run again.
    fill_with_garbage(journal)
    flip_digit(records / "3" / "trial.json")
    again = run(project, prepared, *changes, report="lost")
    assert [(again / name).read_bytes() for name in files] == expected
    out, err = capfd.readouterr()
    assert "mine.log was damaged" in err
    assert re.search(r"3/trial\.json is not as the training left it .*set_aside/3-.*the trial is run again", err)
    assert "the study has 3 trials from before; 1 to go" in out


@pytest.mark.usefixtures("publisher_here")
def test_trials_that_were_changed_in_a_database_do_not_count(
    project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["tune.n_trials=4", "tune.study=mine", "tune.pruner=none", "tune.storage=sqlite:///studies.db"]
    files = ("trials.csv", "best_params.yaml", "importance.csv")
    report = run(project, prepared, *changes)
    expected = [(report / name).read_bytes() for name in files]
    (records,) = project.glob(".wellfit/records/*/mine/trials")
    shutil.rmtree(records / "3")
    statement = "UPDATE trial_user_attributes SET value_json = '0.001' WHERE key = 'best' AND trial_id IN (2, 4)"
    with closing(sqlite3.connect(project / "studies.db")) as database, database:
        assert database.execute(statement).rowcount == 2
    capsys.readouterr()
    again = run(project, prepared, *changes, report="changed")
    assert [(again / name).read_bytes() for name in files] == expected
    out, err = capsys.readouterr()
    assert err.splitlines()[0] == (
        "warning: tune.storage has trials that were changed since they ended (their sha256 differs); "
        "counted as recorded here: 1; run again: 3"
    )
    assert "the study has 3 trials from before; 1 to go" in out
    run(project, prepared, *changes, report="once more")
    assert "warning" not in capsys.readouterr().err


@pytest.mark.usefixtures("publisher_here")
def test_what_the_network_does_not_read_is_not_searched(
    project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_tables = "tune.space.model.embedding_scale=[0.1, 0.2]"
    trials = trials_of(run(project, prepared, "tune.n_trials=2", of_tables))
    assert [key for key in trials[0] if "." in key] == ["optim.lr", "optim.weight_decay", "model.dropout"]
    said = "tune.space.model.embedding_scale is left out: model.embedding none does not read it\n"
    assert said in capsys.readouterr().out
    with pytest.raises(
        WellfitError, match=r"^nothing is left to search: give tune\.space another key \(params\.yaml\)$"
    ):
        run(project, prepared, "tune.space={model: {embedding_scale: [0.1, 0.2]}}", report="reports/other")
    assert not (project / "reports/other").exists()
