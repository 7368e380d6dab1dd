"""The best configuration once more with other seeds: whether the winner of a study was luck."""

from collections.abc import Sequence

from wellfit.params import Params
from wellfit.training.pack import can_pack
from wellfit.training.setup import TrainingData, begin, begin_pack


def repeat(params: Params, data: TrainingData, size: int) -> list[float | None]:
    """The best value of ``train.monitor`` for each of ``tune.repeats`` seeds after ``train.seed``.

    The seed of the study itself is left out: it has been chosen for its value.

    Args:
        params: the best configuration.
        data: what it trains on.
        size: K of a pack.

    Returns:
        A value for each seed; None of a training that blew up.
    """
    seeds = range(params.train.seed + 1, params.train.seed + 1 + params.tune.repeats)
    members = [params.replace({"train.seed": seed % 2**32}) for seed in seeds]
    step = size if can_pack(params) else 1
    return [best for start in range(0, len(members), step) for best in _train(members[start : start + step], data)]


def _train(members: Sequence[Params], data: TrainingData) -> list[float | None]:
    training = begin_pack(members, data) if len(members) > 1 else begin(members[0], data)
    for _ in training.epochs:
        pass
    found = training.members
    return [
        None if failure or not epoch else float(best)
        for best, epoch, failure in zip(found.best, found.best_epoch, found.failure, strict=True)
    ]
