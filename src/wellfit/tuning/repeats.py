"""The best configuration once more with other seeds: whether the winner of a study was luck."""

from collections.abc import Sequence

from wellfit.settings.params import Params
from wellfit.training.cores import Cores
from wellfit.training.pack import can_pack
from wellfit.training.size import Size


def repeat(params: Params, size: Size, cores: Cores) -> dict[int, float]:
    """The best value of ``train.monitor`` for each of ``tune.repeats`` seeds after ``train.seed``.

    The seed of the study itself is left out: it has been chosen for its value.

    Args:
        params: the best configuration.
        size: how many train at once.
        cores: as many processes as the size says, at least.

    Returns:
        Seed to value, without those whose training blew up.
    """
    seeds = [(params.train.seed + 1 + i) % 2**32 for i in range(params.tune.repeats)]
    members = [params.replace({"train.seed": seed}) for seed in seeds]
    at_once = size.at_once if can_pack(params) else size.processes
    groups = [members[i : i + at_once] for i in range(0, len(members), at_once)]
    values = [value for group in groups for value in _train(group, size, cores)]
    return {seed: value for seed, value in zip(seeds, values, strict=True) if value is not None}


def _train(members: Sequence[Params], size: Size, cores: Cores) -> list[float | None]:
    packed = can_pack(members[0]) and min(size.members, len(members)) > 1
    training = cores.begin(members, size, packed=packed)
    for _ in training.epochs:
        pass
    found = training.members
    return [
        None if failure or not epoch else float(best)
        for best, epoch, failure in zip(found.best, found.best_epoch, found.failure, strict=True)
    ]
