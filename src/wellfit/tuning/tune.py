"""The tune stage: trials of the very training that ``train`` runs, one after another."""

import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState
from torch import Tensor

import wellfit
from wellfit import tracking
from wellfit.errors import WellfitError
from wellfit.evaluation.curves import tuning_history, tuning_slices
from wellfit.evaluation.style import save
from wellfit.files import project_root, write_csv
from wellfit.params import Params, flatten
from wellfit.progress import Progress
from wellfit.training.checkpoint import save_checkpoint
from wellfit.training.metrics import is_higher_better
from wellfit.training.record import best_metrics, resolved_config
from wellfit.training.setup import TrainingData, begin, load_training_data, steps_per_epoch
from wellfit.tuning.best import TRIAL_COLUMNS, write_best
from wellfit.tuning.study import Study

REGULARIZATION = ("optim.weight_decay", "model.dropout")
RUN_STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}


class Outcome(NamedTuple):
    """What a trial brought."""

    state: TrialState
    best: float
    best_epoch: int
    history: list[dict[str, float]]
    weights: dict[str, Tensor]
    failure: str


def tune(params: Params, data_folder: Path, report: Path) -> None:
    """Searches ``tune.space`` until the study has ``tune.n_trials`` trials, those of earlier calls included.

    Args:
        params: the configuration; its values are trial 0.
        data_folder: ``data/processed/<name>``.
        report: gets ``best_params.yaml``, ``trials.csv`` and the pictures.

    Raises:
        WellfitError: missing data, a damaged journal, or not one trial that ended well.
    """
    data = load_training_data(params, data_folder)
    base = _shortened(params, data)
    if base.train.epochs < params.train.epochs:
        params, base = _without_regularization(params, base)
    current = {key: params.flat()[key] for key in params.tune.ranges}
    higher = is_higher_better(params.train.monitor)
    journal = project_root() / params.tune.storage / f"{data.meta.name}-{fingerprint(base, data.meta.sha256)}.log"
    with _locked(journal):
        study = Study(journal, params.tune, current, higher_is_better=higher)
        with tracking.start_run(
            "tune", f"tune {data.meta.name} {params.model.name}", data.meta, again=study.run_id
        ) as run:
            study.run_id = run.id
            run.log_params(flatten(study_config(params)))
            run.tag("wellfit.n_trials", params.tune.n_trials)  # not a param: those cannot change when a study goes on
            _run_trials(study, base, data, run, params.tune.n_trials)
            best = study.best
            if best is None:
                raise WellfitError(f"none of {len(study.trials)} trials ended well: {_failures(study.trials)}")
            _write_report(study, best, params, data, report)
            run.log_metrics({f"best/{params.train.monitor}": best.value, "best_trial": best.number})
            run.log_files(report, "tune")


def study_config(params: Params) -> dict[str, Any]:
    """The settings that decide what the trials of a study are, in sections."""
    tune_section = params.model_dump(mode="json")["tune"]
    free = ("n_trials", "enabled", "storage")
    config = resolved_config(params)
    return config | {
        "data": {key: config["data"][key] for key in ("name", "augment")},  # the rest is in the data themselves
        "tune": {key: value for key, value in tune_section.items() if key not in free},
    }


def fingerprint(params: Params, data_sha256: str) -> str:
    """Tells studies apart: one is taken up again only with the same settings, data and training code.

    ``tune.n_trials`` may change: that is what going on means.
    """
    code = hashlib.sha256()
    root = Path(wellfit.__file__).parent
    packages = (sorted((root / package).glob("*.py")) for package in ("data", "models", "training", "tuning"))
    for file in (root / "runtime.py", *itertools.chain(*packages)):
        code.update(file.read_bytes())
    text = json.dumps([study_config(params), data_sha256, code.hexdigest()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _shortened(params: Params, data: TrainingData) -> Params:
    """The params of a trial: at most ``tune.max_steps``, in whole epochs."""
    if params.tune.max_steps is None:
        return params
    epochs = min(params.train.epochs, max(1, params.tune.max_steps // steps_per_epoch(params, data)))
    warmup = min(params.schedule.warmup_epochs, epochs - 1)
    return params.replace({"train.epochs": epochs, "schedule.warmup_epochs": warmup})


def _without_regularization(params: Params, base: Params) -> tuple[Params, Params]:
    """Params and those of a trial, with a space of which only what a short trial can judge is left.

    A network that has seen the data once or twice does not over-fit yet: the less regularization, the better it looks,
    and trained to the end with what won it over-fits. Where nothing else is searched, the space stays.
    """
    fixed = [key for key in params.tune.ranges if key in REGULARIZATION]
    if fixed and len(fixed) < len(params.tune.ranges):
        print(
            f"a trial has {base.train.epochs} of {params.train.epochs} epochs (tune.max_steps), too few to judge "
            f"regularization: {' and '.join(fixed)} stay as they are"
        )
        gone = {f"tune.space.{key}": None for key in fixed}
        return params.replace(gone), base.replace(gone)
    return params, base


def _run_trials(study: Study, base: Params, data: TrainingData, run: tracking.Run, n_trials: int) -> None:
    done = len(study.trials)
    if done:
        print(f"the study has {done} trials from before; {max(0, n_trials - done)} to go")
    with Progress("tune", n_trials, "trial", done) as progress:
        for number in range(done + 1, n_trials + 1):
            trial, values = study.ask()
            params = base.replace(values)
            name = f"trial {trial.number} {data.meta.name} {params.model.name}"
            with tracking.start_run("trial", name, data.meta, parent=run) as trial_run:
                outcome = _run_trial(trial, params, data)
                _log_trial(trial_run, trial, params, data, outcome)
            attributes = {"values": values, "epochs": len(outcome.history), "best_epoch": outcome.best_epoch}
            attributes |= {"best": outcome.best, "run_id": trial_run.id, "failure": outcome.failure}
            study.tell(trial, outcome.state, outcome.best, attributes)
            best = study.best
            progress.show(number, {"best": best.value} if best and best.value is not None else {})


def _run_trial(trial: Trial, params: Params, data: TrainingData) -> Outcome:
    training = begin(params, data)
    members = training.members
    history: list[dict[str, float]] = []
    weights: dict[str, Tensor] = {}
    state = TrialState.COMPLETE
    for epoch in training.epochs:
        history.append(epoch.of(member=0))
        if epoch.improved[0]:
            weights = training.learner.weights(0)
        if members.failure[0] is None:
            trial.report(history[-1][params.train.monitor], int(epoch.number[0]))
            if members.active[0] and int(epoch.number[0]) < params.train.epochs and trial.should_prune():
                state = TrialState.PRUNED
                members.active[0] = False
    if members.failure[0]:
        state = TrialState.FAIL
    return Outcome(
        state, float(members.best[0]), int(members.best_epoch[0]), history, weights, members.failure[0] or ""
    )


def _log_trial(run: tracking.Run, trial: Trial, params: Params, data: TrainingData, outcome: Outcome) -> None:
    config = resolved_config(params)
    run.log_params(flatten(config))
    for number, metrics in enumerate(outcome.history, start=1):
        run.log_metrics(metrics, step=number)
    run.tag("wellfit.trial", trial.number)
    run.tag("wellfit.trial_state", outcome.state.name.lower())
    run.status = RUN_STATUS[outcome.state]
    if outcome.failure:
        run.tag("wellfit.failure", outcome.failure)
    if outcome.weights:
        best = outcome.history[outcome.best_epoch - 1]
        run.log_metrics(best_metrics(best) | {"best_epoch": outcome.best_epoch})
        info = {"config": config, "data_sha256": data.meta.sha256, "epoch": outcome.best_epoch}
        info |= {"metrics": {k: v for k, v in best.items() if k.startswith("val/")}}
        scratch = project_root() / ".wellfit" / "trials" / run.id / "best.safetensors"
        save_checkpoint(scratch, outcome.weights, info)
        run.log_file(scratch, "checkpoint")
        scratch.unlink()
        scratch.parent.rmdir()


def _write_report(study: Study, best: FrozenTrial, params: Params, data: TrainingData, report: Path) -> None:
    keys = list(params.tune.ranges)
    higher = is_higher_better(params.train.monitor)
    rows, so_far = [], None
    for trial in study.trials:
        attributes = trial.user_attrs
        value = attributes["best"] if attributes["best_epoch"] else None
        if trial.state == TrialState.COMPLETE and value is not None:
            so_far = value if so_far is None else (max if higher else min)(so_far, value)
        row = [trial.number, trial.state.name.lower(), attributes["epochs"], attributes["best_epoch"], value, so_far]
        rows.append(row + [attributes["values"][key] for key in keys])
    write_csv(report / "trials.csv", [*TRIAL_COLUMNS, *keys], rows)
    values, states = [row[4] for row in rows], [row[1] for row in rows]
    monitor = params.train.monitor
    save(tuning_history(values, states, monitor, higher), report / "plots" / "history.png")
    searched = {key: [row[len(TRIAL_COLUMNS) + i] for row in rows] for i, key in enumerate(keys)}
    log_keys = {key for key, interval in params.tune.ranges.items() if interval.log}
    save(tuning_slices(searched, values, states, monitor, higher, log_keys), report / "plots" / "slices.png")
    chosen = best.user_attrs["values"]
    what = f"best of {len(rows)} trials: trial {best.number}, {params.train.monitor} {best.value:.6g}"
    write_best(report / "best_params.yaml", chosen, data.meta.sha256, what)
    print(what + ": " + ", ".join(f"{key} {value:.4g}" for key, value in chosen.items()))


def _failures(trials: Sequence[FrozenTrial]) -> str:
    return "; ".join(sorted({str(t.user_attrs.get("failure")) for t in trials if t.user_attrs.get("failure")})[:3])


def _locked(journal: Path) -> FileLock:
    """Keeps other processes from the study, or waits until they have left it."""
    path = project_root() / ".wellfit" / "locks" / f"{journal.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another process is at this study: waiting until it has ended", flush=True)
        lock.acquire()
    return lock
