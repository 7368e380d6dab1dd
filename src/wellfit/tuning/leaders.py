"""The leading trials of a study: trained again with other seeds, and kept as candidates for an ensemble."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from wellfit.settings.params import Params
from wellfit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoints
from wellfit.training.cores import Cores
from wellfit.training.finish import Finished, finish
from wellfit.training.record import CHECKPOINT
from wellfit.training.setup import TrainingData
from wellfit.training.size import Size
from wellfit.tuning.report import Repeats, Row
from wellfit.tuning.study import Trial
from wellfit.tuning.trials import of_trial

CANDIDATE_BYTES = 2**28


class Leader(NamedTuple):
    """A leading trial.

    Attributes:
        number: in the study.
        params: its configuration.
        outcomes: seed to what it came to, without the seeds with which it blew up.
    """

    number: int
    params: Params
    outcomes: dict[int, Finished]


def repeat_leaders(rows: Sequence[Row], params: Params, data: TrainingData, size: Size, cores: Cores) -> list[Leader]:
    """Trains each of the first ``tune.leaders`` trials with each of ``tune.repeats`` seeds after ``train.seed``.

    The seed of the study itself is left out: they have been chosen for their values with it.

    Args:
        rows: completed trials, the best first.
        params: the configuration, with the space that was searched.
        data: what they train on.
        size: how many train at once.
        cores: as many processes as the size says, at least.
    """
    numbers = [row.number for row in rows[: params.tune.leaders]]
    leading = [of_trial(params, Trial(row.number, dict(row.values)), data) for row in rows[: params.tune.leaders]]
    seeds = [(params.train.seed + 1 + i) % 2**32 for i in range(params.tune.repeats)]
    outcomes = iter(finish([each.replace({"train.seed": seed}) for each in leading for seed in seeds], size, cores))
    by_seed = [zip(seeds, islice(outcomes, len(seeds)), strict=True) for _ in leading]
    return [
        Leader(number, each, {seed: outcome for seed, outcome in found if outcome is not None})
        for number, each, found in zip(numbers, leading, map(list, by_seed), strict=True)
    ]


def scores_of(leaders: Sequence[Leader]) -> Repeats:
    """Number of a trial to seed to the best value of ``train.monitor``."""
    return {each.number: {seed: found.best for seed, found in each.outcomes.items()} for each in leaders}


def save_candidates(
    path: Path, rows: Sequence[Row], records: Path, leaders: Sequence[Leader], data_sha256: str, *, higher: bool
) -> None:
    """Writes the checkpoints of trials and repeats, the best ones, as many as 256 MB hold.

    Args:
        path: the file.
        rows: completed trials.
        records: the folder of their records. Those of trials that ran on other machines are not there.
        leaders: with their repeats.
        data_sha256: of the data they were trained on.
        higher: whether ``train.monitor`` is to rise.
    """
    sign, size = -1.0 if higher else 1.0, 0
    kept: list[Checkpoint] = []
    for _, candidate in sorted(_candidates(rows, records, leaders, data_sha256), key=lambda each: sign * each[0]):
        checkpoint = load_checkpoint(candidate, "tune") if isinstance(candidate, Path) else candidate
        size += sum(tensor.nbytes for tensor in checkpoint.weights.values())
        if size > CANDIDATE_BYTES:
            break
        if isinstance(candidate, Path):
            checkpoint.info["source"] = f"trial {candidate.parent.name}"
        kept.append(checkpoint)
    save_checkpoints(path, kept)


def _candidates(
    rows: Sequence[Row], records: Path, leaders: Sequence[Leader], data_sha256: str
) -> Iterator[tuple[float, Path | Checkpoint]]:
    """The value of each candidate, and its checkpoint or where that is."""
    for row in rows:
        file = records / str(row.number) / CHECKPOINT
        if row.value is not None and file.is_file():
            yield row.value, file
    for leader in leaders:
        for seed, found in leader.outcomes.items():
            params, source = leader.params.replace({"train.seed": seed}), f"trial {leader.number} with seed {seed}"
            yield found.best, found.checkpoint(params, data_sha256, source)
