"""The leading trials of a study: trained again with other seeds, and kept as candidates for an ensemble."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from wellfit.settings.params import Params
from wellfit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoints
from wellfit.training.cores import Cores
from wellfit.training.finish import Finished, checkpoints_of, finish_folds, mean_best
from wellfit.training.record import checkpoint_name
from wellfit.training.setup import TrainingData
from wellfit.training.size import Size
from wellfit.tuning.configuration import of_trial
from wellfit.tuning.report import Repeats, Row
from wellfit.tuning.study import Trial

CANDIDATE_BYTES = 2**28


class Leader(NamedTuple):
    """A leading trial.

    Attributes:
        number: in the study.
        params: its configuration.
        outcomes: seed to what the training of each fold came to, without the seeds with which one blew up; without
            folds, there is one.
    """

    number: int
    params: Params
    outcomes: dict[int, list[Finished]]


def repeat_leaders(
    rows: Sequence[Row], params: Params, data: TrainingData, size: Size, cores: Cores, kept: Path | None = None
) -> list[Leader]:
    """Trains each of the first ``tune.leaders`` trials with each of ``tune.repeats`` seeds after ``train.seed``.

    The seed of the study itself is left out: they have been chosen for their values with it.

    Args:
        rows: completed trials, the best first.
        params: the configuration, with the space that was searched.
        data: what they train on.
        size: how many train at once.
        cores: as many processes as the size says, at least.
        kept: gets what has ended, which is not trained again; None: nothing is kept.
    """
    numbers = [row.number for row in rows[: params.tune.leaders]]
    leading = [of_trial(params, Trial(row.number, dict(row.values)), data) for row in rows[: params.tune.leaders]]
    seeds = [(params.train.seed + 1 + i) % 2**32 for i in range(params.tune.repeats)]
    repeats = [each.replace({"train.seed": seed}) for each in leading for seed in seeds]
    outcomes = iter(finish_folds(repeats, data, size, cores, kept))
    by_seed = [zip(seeds, islice(outcomes, len(seeds)), strict=True) for _ in leading]
    return [
        Leader(number, each, {seed: models for seed, models in found if models is not None})
        for number, each, found in zip(numbers, leading, map(list, by_seed), strict=True)
    ]


def scores_of(leaders: Sequence[Leader]) -> Repeats:
    """Number of a trial to seed to the best value of ``train.monitor``, with folds the mean over them."""
    return {each.number: {seed: mean_best(models) for seed, models in each.outcomes.items()} for each in leaders}


def save_candidates(
    path: Path, rows: Sequence[Row], records: Path, leaders: Sequence[Leader], data: TrainingData, *, higher: bool
) -> None:
    """Writes the checkpoints of trials and repeats, the best ones, as many as 256 MB hold.

    With folds, a candidate is a checkpoint for each, one after the other, with the same source.

    Args:
        path: the file.
        rows: completed trials.
        records: the folder of their records. Those of trials that ran on other machines are not there.
        leaders: with their repeats.
        data: what they were trained on.
        higher: whether ``train.monitor`` is to rise.
    """
    sign, size = -1.0 if higher else 1.0, 0
    kept: list[Checkpoint] = []
    for candidate in sorted(_candidates(rows, records, leaders, data), key=lambda each: sign * each.value):
        models = candidate.load()
        size += sum(tensor.nbytes for model in models for tensor in model.weights.values())
        if size > CANDIDATE_BYTES:
            break
        kept += models
    save_checkpoints(path, kept)


class _Candidate(NamedTuple):
    value: float
    load: Callable[[], list[Checkpoint]]


def _candidates(
    rows: Sequence[Row], records: Path, leaders: Sequence[Leader], data: TrainingData
) -> Iterator[_Candidate]:
    for row in rows:
        files = [records / str(row.number) / checkpoint_name(fold) for fold in range(data.n_folds)]
        if row.value is not None and all(file.is_file() for file in files):
            yield _Candidate(row.value, partial(_of_trial, files, f"trial {row.number}"))
    for leader in leaders:
        for seed, models in leader.outcomes.items():
            params, source = leader.params.replace({"train.seed": seed}), f"trial {leader.number} with seed {seed}"
            yield _Candidate(mean_best(models), partial(checkpoints_of, models, params, data, source))


def _of_trial(files: Sequence[Path], source: str) -> list[Checkpoint]:
    found = [load_checkpoint(file, "tune") for file in files]
    return [Checkpoint(weights, info | {"source": source}) for weights, info in found]
