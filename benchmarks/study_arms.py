"""Three ways to run a study, for benchmarks/tuning.py: the usual script, our single loop, and packs.

All train the same networks on the same rows with Adam: the usual script in plain torch, the other two by the
configuration that :func:`prepare_case` makes of ``params.yaml``.
"""

import contextlib
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep, time
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import optuna
import torch
from optuna.trial import FrozenTrial, TrialState
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from wellfit import tracking
from wellfit.data.fetch import fetch
from wellfit.data.prepare import prepare
from wellfit.models.inputs import Inputs
from wellfit.settings.params import Params, load_params
from wellfit.stages.tune import tune
from wellfit.tracking import Publisher
from wellfit.tracking.store import open_client
from wellfit.training.setup import TrainingData, begin, load_training_data
from wellfit.tuning.publish import RUN
from wellfit.tuning.record import read_record

LR, WEIGHT_DECAY, DROPOUT = "optim.lr", "optim.weight_decay", "model.dropout"
SPACE = {
    LR: {"low": 3e-4, "high": 3e-2, "log": True},
    WEIGHT_DECAY: {"low": 1e-6, "high": 1e-2, "log": True},
    DROPOUT: {"low": 0.0, "high": 0.5, "log": False},
}
CURRENT = {LR: 3e-3, WEIGHT_DECAY: 1e-4, DROPOUT: 0.2}
VALIDATION_BATCH = 1000
LONGEST_WAIT = 60.0  # seconds for a publisher, which may have died
MLFLOW_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", tracking.PARENT_RUN_VARIABLE)

Values = dict[str, Any]
Batches = DataLoader[tuple[Tensor, ...]]


@dataclass(frozen=True)
class Case:
    """A network on a data set, as in the published comparisons of small networks.

    Attributes:
        dataset: ``data.name``.
        hidden: widths of the hidden layers.
        batch_size: rows a step.
        loss: ``loss.name``.
        epochs: of each trial.
        sample: trials of the study that the two slower arms run, where all of them would take too long.
    """

    dataset: str
    hidden: list[int]
    batch_size: int
    loss: str
    epochs: int
    sample: int

    def __str__(self) -> str:
        return f"{self.dataset} {'-'.join(map(str, self.hidden))}, batch {self.batch_size}"


CASES = [
    Case("moons", [64, 64], batch_size=32, loss="bce", epochs=60, sample=8),
    Case("digits", [128, 64], batch_size=64, loss="cross_entropy", epochs=40, sample=8),
    Case("adult", [64, 64], batch_size=256, loss="bce", epochs=9, sample=4),
    Case("california_housing", [256, 256, 256], batch_size=256, loss="mse", epochs=4, sample=4),
    Case("fashion_mnist", [512, 512], batch_size=100, loss="cross_entropy", epochs=1, sample=3),
]


class Problem(NamedTuple):
    """A case with its configuration and its data.

    Attributes:
        case: the network.
        params: the configuration of our own arms; its values are trial 0.
        processed: ``data/processed/<name>``.
        data: training and validation rows.
        loaders: of the same rows, standardized, for the usual script.
    """

    case: Case
    params: Params
    processed: Path
    data: TrainingData
    loaders: tuple[Batches, Batches]


class Ended(NamedTuple):
    """A trial that has ended: its best ``val/loss``, None where it was pruned or failed, and when, in seconds."""

    values: Values
    best: float | None
    seconds: float


def prepare_case(case: Case, folder: Path, epochs: int | None = None) -> Problem:
    """Fetches and prepares the data of a case below a folder, and reads them."""
    params = load_params().replace(
        {
            "data.name": case.dataset,
            "model.hidden": case.hidden,
            "model.embedding": "none",
            "model.norm": "none",
            "loss.name": case.loss,
            "optim.name": "adam",
            "optim.decay_all": True,  # as torch.optim.Adam has it
            "schedule.name": "constant",
            "schedule.warmup_epochs": 0,
            "train.epochs": epochs or case.epochs,
            "train.batch_size": case.batch_size,
            "train.patience": None,
            "train.monitor": "val/loss",
            "train.device": "cpu",
            "tune.max_steps": None,
            "tune.repeats": 0,
            "tune.space": {},
        }
        | CURRENT
        | {f"tune.space.{key}": interval for key, interval in SPACE.items()}
    )
    processed = folder / "processed" / case.dataset
    if not processed.exists():
        fetch(params.data, params.fetch, folder / "raw")
        prepare(params.data, folder / "raw", folder / "processed")
    data = load_training_data(params, processed)
    return Problem(case, params, processed, data, _loaders(case, data))


def _loaders(case: Case, data: TrainingData) -> tuple[Batches, Batches]:
    inputs = Inputs(data.meta, "standard", torch.device("cpu"))
    as_float = case.loss == "bce"
    train, val = (
        TensorDataset(inputs(split.x).flatten(1), split.y.float() if as_float else split.y)
        for split in (data.train, data.val)
    )
    return DataLoader(train, batch_size=case.batch_size, shuffle=True), DataLoader(val, batch_size=VALIDATION_BATCH)


def usual_study(
    problem: Problem,
    threads: int,
    *,
    trials: Sequence[Values] = (CURRENT,),
    n_trials: int | None = None,
    seed: int = 0,
    prune: bool = False,
    make: "type[Usual] | None" = None,
) -> list[Ended]:
    """The usual script: ``study.optimize`` over a loop with a DataLoader and ``.item()`` in every step, in memory.

    Args:
        problem: what to train.
        threads: of torch.
        trials: values of the first trials.
        n_trials: of the study, whose sampler finds what is not given; None: only those given.
        seed: of sampler, initial weights, batch order and dropout.
        prune: whether the median pruner, set as ``params.yaml`` has it, may stop trials.
        make: what trains a network; None: `Usual`.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)  # our own arms turn it on
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = problem.params.tune
    median = optuna.pruners.MedianPruner(settings.pruner_startup_trials, settings.pruner_warmup_epochs)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed), pruner=median if prune else optuna.pruners.NopPruner()
    )
    for values in trials:
        study.enqueue_trial(values)
    ended: list[Ended] = []
    started = perf_counter()

    def objective(trial: optuna.Trial) -> float:
        values = {
            LR: trial.suggest_float(LR, 3e-4, 3e-2, log=True),
            WEIGHT_DECAY: trial.suggest_float(WEIGHT_DECAY, 1e-6, 1e-2, log=True),
            DROPOUT: trial.suggest_float(DROPOUT, 0.0, 0.5),
        }
        torch.manual_seed(seed)
        usual, best, epochs = (make or Usual)(problem, values), float("inf"), problem.params.train.epochs
        for epoch in range(1, epochs + 1):
            usual.train_epoch()
            loss = usual.validate()
            best = min(best, loss)
            trial.report(loss, epoch)
            if epoch < epochs and trial.should_prune():
                raise optuna.TrialPruned
        return best

    def note(_: optuna.Study, trial: FrozenTrial) -> None:
        value = trial.value if trial.state == TrialState.COMPLETE else None
        ended.append(Ended(trial.params, value, perf_counter() - started))

    study.optimize(objective, n_trials=n_trials or len(trials), callbacks=[note])
    return ended


class Usual:
    """A network of a case in plain torch, and how the usual script trains it.

    Args:
        problem: what to train.
        values: of the trial.
    """

    def __init__(self, problem: Problem, values: Values) -> None:
        self._train, self._val = problem.loaders
        x, y = self._train.dataset[:]
        loss = problem.case.loss
        self._one_output, self._are_classes = loss != "cross_entropy", loss != "mse"
        outputs = 1 if self._one_output else int(y.max()) + 1
        self.model = self.network(problem.case, x.shape[1:], outputs, values[DROPOUT])
        self._criterion = {"bce": nn.BCEWithLogitsLoss(), "cross_entropy": nn.CrossEntropyLoss(), "mse": nn.MSELoss()}[
            loss
        ]
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=values[LR], weight_decay=values[WEIGHT_DECAY])

    def network(self, case: Case, shape: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
        """The network of a case, from inputs of a shape."""
        layers, width = list[nn.Module](), shape[0]
        for hidden in case.hidden:
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden
        return nn.Sequential(*layers, nn.Linear(width, outputs))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs, (B, C) or (B,), and their mean loss."""
        outputs = self.model(x)
        if self._one_output:
            outputs = outputs.squeeze(1)
        return outputs, self._criterion(outputs, y)

    def count(self, outputs: Tensor, loss: Tensor, y: Tensor) -> tuple[float, int]:
        """Summed loss and hits of a batch, as numbers."""
        if not self._are_classes:
            return loss.item() * len(y), 0
        predicted = outputs > 0 if self._one_output else outputs.argmax(1)
        return loss.item() * len(y), int((predicted == y).sum().item())

    def train_epoch(self) -> None:
        """A pass over the training rows."""
        self.model.train()
        total_loss, hits = 0.0, 0
        for x, y in self._train:
            self.optimizer.zero_grad()
            outputs, loss = self.forward(x, y)
            loss.backward()
            self.optimizer.step()
            batch_loss, batch_hits = self.count(outputs, loss, y)
            total_loss, hits = total_loss + batch_loss, hits + batch_hits

    @torch.no_grad()
    def validate(self) -> float:
        """The mean loss over the validation rows."""
        self.model.eval()
        total_loss, hits, rows = 0.0, 0, 0
        for x, y in self._val:
            batch_loss, batch_hits = self.count(*self.forward(x, y), y)
            total_loss, hits, rows = total_loss + batch_loss, hits + batch_hits, rows + len(y)
        return total_loss / rows


def single_trials(problem: Problem, threads: int, trials: Sequence[Values]) -> None:
    """Our own training, one trial after another, the best weights kept; nothing is logged."""
    base = problem.params.replace({"train.threads": threads})
    for values in trials:
        training = begin([base.replace(values)], problem.data, packed=False)
        for epoch in training.epochs:
            if epoch.improved[0]:
                training.learner.weights(0)
        assert np.isfinite(training.members.best[0])


class PackStudy(NamedTuple):
    """What the tune stage did.

    Attributes:
        seconds: of the stage, without the wait for the imports of its publisher.
        trials: of the study so far, in its order; their seconds count from the beginning of this call.
    """

    seconds: float
    trials: list[Ended]


def pack_study(
    problem: Problem, root: Path, n_trials: int, *, seed: int = 0, prune: bool = False, **changes: Any
) -> PackStudy:
    """The whole tune stage, with MLflow and Optuna's journal in a project's folder; a study that is there goes on.

    Args:
        problem: what to train.
        root: of a :func:`project`.
        n_trials: of the study, those from before included.
        seed: of sampler, initial weights, batch order and dropout.
        prune: whether the median pruner may stop trials.
        changes: of ``tune``.
    """
    settings = {"n_trials": n_trials, "seed": seed, "pruner": "median" if prune else "none"} | changes
    params = problem.params.replace({f"tune.{key}": value for key, value in settings.items()} | {"train.seed": seed})
    started = time()
    with contextlib.redirect_stdout(io.StringIO()), publisher_awaited() as waits:
        tune(params, problem.processed, root / "reports" / "tune", root / "models")
    started += sum(waits)
    return PackStudy(time() - started, trials_below(root, started))


@contextlib.contextmanager
def publisher_awaited() -> Iterator[list[float]]:
    """Lets each study begin when its publisher has begun a run; gives the seconds that were waited."""
    waits: list[float] = []
    open_publisher = Publisher.open

    def open_and_wait(publisher: Publisher, *args: Any) -> None:
        folder = Path(args[-1]["folder"])
        before = _written(folder / RUN)
        open_publisher(publisher, *args)
        started = perf_counter()
        while _written(folder / RUN) == before and perf_counter() - started < LONGEST_WAIT:
            sleep(0.01)
        waits.append(perf_counter() - started)

    with mock.patch.object(Publisher, "open", open_and_wait):
        yield waits


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def trials_below(root: Path, started: float) -> list[Ended]:
    """The trials of the only study below a project's folder, from the records of its trials.

    Args:
        root: the folder.
        started: the time that their seconds count from.
    """
    records = sorted(map(read_record, root.glob(".wellfit/records/*/*/trials/[0-9]*")), key=lambda each: each.number)
    return [Ended(r.values, r.best if r.state == "complete" else None, r.ended - started) for r in records]


@contextlib.contextmanager
def project(folder: Path) -> Iterator[Path]:
    """A new folder of a project of its own, with an empty MLflow store at its root, below a folder."""
    store = _empty_store(folder / "empty.db")
    kept = {key: value for key, value in os.environ.items() if key not in MLFLOW_VARIABLES}
    # Never the same folder twice: MLflow goes on with a store that it has open, also when its file is another one.
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as root:
        shutil.copy(store, Path(root) / "mlflow.db")
        with mock.patch.dict(os.environ, kept | {"DVC_ROOT": root}, clear=True):
            open_client.cache_clear()
            yield Path(root)
            open_client.cache_clear()


def _empty_store(path: Path) -> Path:
    """An MLflow store without runs, which takes seconds to make and is therefore copied."""
    if not path.exists():
        from mlflow import MlflowClient

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path
