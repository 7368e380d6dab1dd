"""What ``evaluate`` knows, and what ``train`` and ``tune`` have left; what is of another run counts as missing."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from wellfit.baselines.comparison import Compared
from wellfit.data.meta import Meta
from wellfit.data.store import Split
from wellfit.files import from_json, read_json
from wellfit.manifest import check_manifest
from wellfit.metrics.predictions import ClassRow
from wellfit.metrics.scores import FloatArray
from wellfit.report.content import Chart
from wellfit.report.decision import Decided
from wellfit.report.explain import Explained
from wellfit.settings.params import Params, flatten
from wellfit.training.checkpoint import Checkpoint
from wellfit.training.record import REPORT_FILES as TRAIN_FILES
from wellfit.tuning.best import FILES as TUNE_FILES
from wellfit.tuning.best import TRIAL_COLUMNS
from wellfit.tuning.report import Repeats, Row


class Evaluated(NamedTuple):
    """What ``evaluate`` knows when it has scored the test split.

    Attributes:
        params: the configuration, as ``params.yaml`` has it.
        meta: of the data.
        data_folder: ``data/processed/<name>``.
        test: the test split.
        checkpoint: what was scored.
        checkpoint_file: where it is.
        predictions: (n, C) probabilities of the classes, or (n,) numbers in the target's unit.
        metrics: the scores with the ends of their intervals, as in ``metrics.json``.
        charts: of the predictions, in the order of the page.
        per_class: the report of each class; empty for a regression.
        explained: what the predictions depend on.
        baselines: on the same rows; empty where there are none.
        decided: by validation rows.
        ensemble: the models whose mean it is, and how much each counts; empty for a single one.
    """

    params: Params
    meta: Meta
    data_folder: Path
    test: Split
    checkpoint: Checkpoint
    checkpoint_file: Path
    predictions: FloatArray
    metrics: dict[str, float | None]
    charts: Sequence[Chart]
    per_class: Sequence[ClassRow]
    baselines: Sequence[Compared] = ()
    decided: Decided = Decided()
    ensemble: Mapping[str, float] = MappingProxyType({})
    explained: Explained = Explained("", [], {})

    @property
    def is_classification(self) -> bool:
        """Or else a regression."""
        return self.meta.task == "classification"

    @property
    def all_metrics(self) -> dict[str, float | None]:
        """The scores, and those of the baselines as ``baseline/NAME/SCORE``."""
        return self.metrics | {name: value for one in self.baselines for name, value in one.metrics().items()}


class Training(NamedTuple):
    """``reports/train``.

    Attributes:
        history: each metric, after each epoch.
        best_epoch: whose weights were kept, from 1.
        warnings: kind and text of each finding of ``verdict.json``.
        summary: the network layer by layer.
        members: of the ensemble that was selected: a line of ``ensemble.csv`` for each; none where there was nothing to
            select from.
        losses: of ``metrics.json``.
    """

    history: Mapping[str, Sequence[float]]
    best_epoch: int
    warnings: list[tuple[str, str]]
    summary: str
    members: list[dict[str, str]]
    losses: Mapping[str, float | None]

    @property
    def epochs(self) -> int:
        """How many there were."""
        return len(self.history["epoch"])


class Tuning(NamedTuple):
    """``reports/tune``.

    Attributes:
        trials: in the order of their numbers.
        best: values of ``best_params.yaml`` by dotted key.
        data_sha256: of the data it was tuned on; None where tuning was off.
        importance: share of each key in the differences between trials; empty where it is not known.
        repeats: number of each leading trial to seed to score, trained again with other seeds.
    """

    trials: list[Row]
    best: Mapping[str, Any]
    data_sha256: str | None
    importance: Mapping[str, float]
    repeats: Repeats


class Records(NamedTuple):
    """What ``train`` and ``tune`` have left; None where the stage was not run, or left it of another run."""

    training: Training | None
    tuning: Tuning | None


def read_records(reports: Path, checkpoint: Checkpoint) -> Records:
    """Reads what the page shows of other stages.

    Args:
        reports: has ``train/`` and ``tune/``.
        checkpoint: that is evaluated.

    Raises:
        WellfitError: a file is missing, or is not what the stage wrote.
    """
    return Records(read_training(reports / "train", checkpoint), read_tuning(reports / "tune"))


def read_training(folder: Path, checkpoint: Checkpoint) -> Training | None:
    """The records of the training that made a checkpoint; None where they are not there, or of another training.

    Raises:
        WellfitError: a file is missing, or is not what ``train`` wrote.
    """
    if not check_manifest(folder, "train", TRAIN_FILES):
        return None
    rows = _read_csv(folder / "history.csv")
    epoch = int(checkpoint.info["epoch"])
    if len(rows) < epoch:
        return None
    history = {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}
    kept = checkpoint.info["metrics"]
    if any(name not in history or history[name][epoch - 1] != value for name, value in kept.items()):
        return None
    warnings = [(found["kind"], found["text"]) for found in read_json(folder / "verdict.json")["warnings"]]
    summary = (folder / "summary.txt").read_text(encoding="utf-8")
    members, losses = _read_csv(folder / "ensemble.csv"), read_json(folder / "metrics.json")
    return Training(history, epoch, warnings, summary, members, losses)


def read_tuning(folder: Path) -> Tuning | None:
    """What a study has left; None where ``tune`` was not run.

    Raises:
        WellfitError: a file is missing, or is not what ``tune`` wrote.
    """
    if not check_manifest(folder, "tune", TUNE_FILES):
        return None
    best = YAML(typ="safe", pure=True).load(folder / "best_params.yaml")
    trials = [
        Row(
            int(row["trial"]),
            row["state"],
            int(row["epochs"]),
            int(row["best_epoch"]),
            float(row["value"]) if row["value"] else None,
            {key: _value(text) for key, text in row.items() if key not in TRIAL_COLUMNS},
        )
        for row in _read_csv(folder / "trials.csv")
    ]
    importance = {row["key"]: float(row["share"]) for row in _read_csv(folder / "importance.csv")}
    repeats: dict[int, dict[int, float]] = {}
    for row in _read_csv(folder / "repeats.csv"):
        repeats.setdefault(int(row["trial"]), {})[int(row["seed"])] = float(row["score"])
    return Tuning(trials, flatten(best["params"]), best["data_sha256"], importance, repeats)


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _value(text: str) -> Any:
    """A value as `wellfit.files.write_csv` wrote it: a number, a list, or text."""
    if text in ("True", "False"):
        return text == "True"
    try:
        return from_json(text)
    except ValueError:
        return text or None
