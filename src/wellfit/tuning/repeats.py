"""The best configuration once more with other seeds: whether the winner of a study was luck."""

from collections.abc import Sequence

from wellfit.params import Params
from wellfit.training.pack import can_pack
from wellfit.training.setup import TrainingData, begin, begin_pack


def repeat(params: Params, data: TrainingData, size: int) -> dict[int, float]:
    """The best value of ``train.monitor`` for each of ``tune.repeats`` seeds after ``train.seed``.

    The seed of the study itself is left out: it has been chosen for its value.

    Args:
        params: the best configuration.
        data: what it trains on.
        size: K of a pack.

    Returns:
        Seed to value, without those whose training blew up.
    """
    seeds = [(params.train.seed + 1 + i) % 2**32 for i in range(params.tune.repeats)]
    members = [params.replace({"train.seed": seed}) for seed in seeds]
    together = size if can_pack(params) else 1
    values = [each for i in range(0, len(seeds), together) for each in _train(members[i : i + together], data)]
    return {seed: value for seed, value in zip(seeds, values, strict=True) if value is not None}


def _train(members: Sequence[Params], data: TrainingData) -> list[float | None]:
    training = begin_pack(members, data) if len(members) > 1 else begin(members[0], data)
    for _ in training.epochs:
        pass
    found = training.members
    return [
        None if failure or not epoch else float(best)
        for best, epoch, failure in zip(found.best, found.best_epoch, found.failure, strict=True)
    ]
