"""The best configuration once more with other seeds: whether the winner of a study was luck."""

from collections.abc import Sequence

from wellfit.settings.params import Params
from wellfit.training.pack import can_pack
from wellfit.tuning.shards import Shards
from wellfit.tuning.size import Size


def repeat(params: Params, size: Size, shards: Shards) -> dict[int, float]:
    """The best value of ``train.monitor`` for each of ``tune.repeats`` seeds after ``train.seed``.

    The seed of the study itself is left out: it has been chosen for its value.

    Args:
        params: the best configuration.
        size: of a pack.
        shards: that train it.

    Returns:
        Seed to value, without those whose training blew up.
    """
    seeds = [(params.train.seed + 1 + i) % 2**32 for i in range(params.tune.repeats)]
    members = [params.replace({"train.seed": seed}) for seed in seeds]
    together = size.members if can_pack(params) else 1
    packs = [members[i : i + together] for i in range(0, len(members), together)]
    values = [value for pack in packs for value in _train(pack, size, shards)]
    return {seed: value for seed, value in zip(seeds, values, strict=True) if value is not None}


def _train(members: Sequence[Params], size: Size, shards: Shards) -> list[float | None]:
    training = shards.begin(members, size)
    for _ in training.epochs:
        pass
    found = training.members
    return [
        None if failure or not epoch else float(best)
        for best, epoch, failure in zip(found.best, found.best_epoch, found.failure, strict=True)
    ]
