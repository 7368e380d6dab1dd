"""The tune stage: trials of the very training that ``train`` runs, many of them as one pack."""

import operator
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from optuna.trial import FrozenTrial

from wellfit.errors import WellfitError
from wellfit.interruptions import deferred
from wellfit.metrics.names import is_higher_better
from wellfit.models import why_unread
from wellfit.progress import Progress
from wellfit.settings.params import PARAMS_FILE, Params, flatten
from wellfit.tracking import Publisher
from wellfit.training.cores import Cores
from wellfit.training.setup import TrainingData, check_can_train, load_training_data
from wellfit.training.size import Size, choose_size, processes_for
from wellfit.tuning.best import CANDIDATES_FILE
from wellfit.tuning.configuration import shortened
from wellfit.tuning.identity import study_config
from wellfit.tuning.leaders import repeat_leaders, save_candidates, scores_of
from wellfit.tuning.leases import trials_under_way
from wellfit.tuning.outage import persistently
from wellfit.tuning.publish import describe_study
from wellfit.tuning.report import Row, ranked, write_report
from wellfit.tuning.snapshot import worker_snapshots
from wellfit.tuning.space import unread
from wellfit.tuning.storage import STATES, changed_places, ended_trials, store_record
from wellfit.tuning.study import Study
from wellfit.tuning.trials import most_processes, open_study, record_trials, sizes_of_study

REGULARIZATION = (
    *("model.dropout", "model.input_dropout", "model.channel_dropout", "loss.label_smoothing", "optim.weight_decay"),
    *("optim.l1", "optim.max_norm", "regularize.input_noise", "regularize.mixup", "regularize.cutmix"),
)

ENOUGH_EPOCHS = 0.5  # of those of the training, in a trial that judges regularization


def tune(params: Params, data_folder: Path, report: Path, models: Path) -> None:
    """Searches ``tune.space`` until the study has ``tune.n_trials`` trials, those of earlier calls included.

    Args:
        params: the configuration; its values are trial 0.
        data_folder: ``data/processed/<name>``.
        report: gets ``best_params.yaml``, ``trials.csv``, ``importance.csv``, ``repeats.csv`` and the pictures.
        models: gets ``candidates.safetensors``, of which ``train`` selects an ensemble.

    Raises:
        WellfitError: missing data, a storage that cannot be opened, or not one trial that ended well.
    """
    with searched(params, data_folder) as found:
        params, data, study = found.params, found.data, found.study
        higher = is_higher_better(params.train.monitor)
        best = ranked(found.rows, higher_is_better=higher)
        if not best:
            raise WellfitError(_nothing_found(params, len(found.rows), found.failures))
        leaders = repeat_leaders(best, params, data, found.size, found.cores, found.kept)
        metrics, winner = write_report(
            report, found.rows, params, data.meta.sha256, scores_of(leaders), higher_is_better=higher
        )
        if not params.train.ensemble:
            best, leaders = [], []
        save_candidates(models / CANDIDATES_FILE, best, study.folder / "trials", leaders, data, higher=higher)
        found.publisher.finish(report, "tune", metrics, describe_study(params, data.meta, winner))


class Searched(NamedTuple):
    """A study that is complete, or that ``tune.timeout`` has ended.

    Attributes:
        params: the configuration, with the space that was searched.
        data: what was trained on.
        study: with all of its trials.
        rows: of its trials.
        failures: what went wrong in some.
        size: how many train at once.
        cores: on which more can be trained.
        kept: folder of what is not to be trained twice, until all of this is done.
        publisher: of its run in MLflow.
    """

    params: Params
    data: TrainingData
    study: Study
    rows: list[Row]
    failures: set[str]
    size: Size
    cores: Cores
    kept: Path | None
    publisher: Publisher


@contextmanager
def searched(params: Params, data_folder: Path) -> Iterator[Searched]:
    """Trains trials until the study has ``tune.n_trials``, those of other workers included.

    Args:
        params: the configuration; its values are trial 0.
        data_folder: ``data/processed/<name>``.

    Raises:
        WellfitError: missing data, or a storage that cannot be opened.
    """
    data = load_training_data(params, data_folder)
    params = _without_unread(params, data)
    first = shortened(params, data)
    if first.train.epochs < ENOUGH_EPOCHS * params.train.epochs:
        params = _without_regularization(params, first.train.epochs)
        first = shortened(params, data)
    higher = is_higher_better(params.train.monitor)
    with Cores(data, processes_for(first, data, most_processes(first))) as cores, open_study(params, data) as study:
        _store_what_was_left(study, study.folder / "trials")
        rows = {trial.number: _row(trial) for trial in study.trials}
        failures = {trial.user_attrs["failure"] for trial in study.trials} - {""}
        left = max(0, params.tune.n_trials - len(rows))  # other clones may have made one more
        if rows:
            unused = len(persistently(lambda: ended_trials(study.saved))) - len(rows)
            more = f", and {unused} more that tune.n_trials leaves out" if unused > 0 else ""
            print(f"the study has {len(rows)} trials from before{more}; {left} to go")
        if others := persistently(lambda: trials_under_way(study.saved, study.folder / "workers")):
            print(f"other workers share the study: they have {len(others)} of its trials under way", flush=True)
        check_can_train(first, data)  # what is tried may be unfit to train, and fails; what is set must not be
        size = choose_size(first, data, sizes_of_study(params), cores)
        if left:
            print(f"trains {size.describe('models of the folds' if data.folds else 'trials')}", flush=True)
        # The publisher is begun after the other processes, which would hold its pipe open.
        with Publisher("wellfit.tuning.publish") as publisher, worker_snapshots(study, data, size) as snapshots:
            _open(publisher, study, params, data)
            counted = _Counted(rows.values(), higher=higher)
            progress = Progress("tune", params.tune.n_trials, "trial", len(rows))
            with deferred(), progress:
                trials = record_trials(
                    study, params, data, size, study.folder / "trials", cores, snapshots if left else None
                )
                for folder, record in trials:
                    publisher.add(folder)
                    rows[record.number] = Row.of(record)
                    failures.update({record.failure} - {""})
                    counted.add(rows[record.number])
                    progress.show(len(rows), counted.shown)
            if study.why_ended:
                print(f"no more trials: {study.why_ended}", flush=True)
            if failures:
                print(f"failed trials: {'; '.join(sorted(failures)[:3])}", flush=True)
            # Other workers may have worked on the study as well; what the storage has counts.
            rows |= {trial.number: _row(trial) for trial in study.trials}
            yield Searched(params, data, study, list(rows.values()), failures, size, cores, snapshots.folder, publisher)
            snapshots.remove()


def _open(publisher: Publisher, study: Study, params: Params, data: TrainingData) -> None:
    tags = {
        "wellfit.n_trials": params.tune.n_trials,  # not a param: it may change when a study goes on
        "wellfit.study": study.folder.name,  # by which the storage of Optuna knows it
        "mlflow.note.content": describe_study(params, data.meta),
    }
    details = {
        "folder": str(study.folder.absolute()),
        "storage": params.tune.storage,
        "searched": list(params.tune.searched),
        "monitor": params.train.monitor,
        "higher_is_better": is_higher_better(params.train.monitor),
    }
    name = f"tune {data.meta.title} {params.model.name}"
    publisher.open("tune", name, data.meta, flatten(study_config(params)), tags, details)


def _nothing_found(params: Params, ended: int, failures: Collection[str]) -> str:
    if not ended and params.tune.timeout:
        return f"tune.timeout {params.tune.timeout:g} was over before a trial had begun ({PARAMS_FILE})"
    return f"none of {ended} trials ended well: {'; '.join(sorted(failures)[:3])}"


def _without_unread(params: Params, data: TrainingData) -> Params:
    """Params with a space of which only what makes a difference to the network is left.

    Raises:
        WellfitError: nothing is left.
    """
    useless = unread(params, data.meta.kind)
    for key in useless:
        print(f"tune.space.{key} is left out: {why_unread(params.model, data.meta.kind, key)}")
    if useless and len(useless) == len(params.tune.searched):
        raise WellfitError(f"nothing is left to search: give tune.space another key ({PARAMS_FILE})")
    return params.replace({f"tune.space.{key}": None for key in useless})


def _without_regularization(params: Params, epochs: int) -> Params:
    """Params with a space of which only what a short trial can judge is left.

    A network that has seen the data once or twice does not over-fit yet: the less regularization, the better it looks,
    and trained to the end with what won it over-fits. A trial of half of the epochs, whose schedule ends with it, sees
    the data half as often as the training does, and over-fits where that will. Where nothing else is searched, the
    space stays.
    """
    fixed = [key for key in params.tune.searched if key in REGULARIZATION]
    if not fixed or len(fixed) == len(params.tune.searched):
        return params
    print(
        f"a trial has {epochs} of {params.train.epochs} epochs (tune.max_steps), too few to judge regularization: "
        f"{' and '.join(fixed)} stay as they are"
    )
    return params.replace({f"tune.space.{key}": None for key in fixed})


def _store_what_was_left(study: Study, records: Path) -> None:
    """Tells the storage of trials that ended when nobody was left to tell it, before their places are taken again."""
    known = persistently(lambda: ended_trials(study.saved))
    changed = persistently(lambda: changed_places(study.saved))
    for folder in records.glob("*"):
        if folder.name.isdecimal() and int(folder.name) not in known:
            persistently(partial(store_record, study.saved, folder))
    if changed:
        again = persistently(lambda: changed_places(study.saved))
        recorded = [place for place in changed if place not in again]
        parts = {"counted as recorded here": recorded, "run again": again}
        text = "; ".join(f"{how}: {', '.join(map(str, places))}" for how, places in parts.items() if places)
        print(
            f"warning: tune.storage has trials that were changed since they ended (their sha256 differs); {text}",
            file=sys.stderr,
            flush=True,
        )


def _row(trial: FrozenTrial) -> Row:
    """A trial of the storage, as the report has it."""
    said = trial.user_attrs
    state = next(state for state, known in STATES.items() if known == trial.state)
    return Row(trial.number, state, said["epochs"], said["best_epoch"], said["best"], said["values"])


class _Counted:
    """What the progress bar says beside the number of trials."""

    def __init__(self, rows: Iterable[Row], *, higher: bool) -> None:
        self.shown: dict[str, float] = {"pruned": 0}
        self._is_better = operator.gt if higher else operator.lt
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        if row.state != "complete":
            self.shown[row.state] = self.shown.get(row.state, 0) + 1
        elif row.value is not None and ("best" not in self.shown or self._is_better(row.value, self.shown["best"])):
            self.shown["best"] = row.value
