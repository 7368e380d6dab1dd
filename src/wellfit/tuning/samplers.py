"""What proposes the values of the next trial: the samplers that ``tune.sampler`` names.

All keep nothing between two trials: a study is worked on by several processes and taken up again, so all that a
proposal depends on stands in the trials and in a seed. Settings import this file, so Optuna is imported where used.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from wellfit.tuning.space import Space, TuneConfig


def _tpe(space: "Space", seed: int) -> "BaseSampler":
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, multivariate=True, constant_liar=True)


def _random(space: "Space", seed: int) -> "BaseSampler":
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def _gp(space: "Space", seed: int) -> "BaseSampler":
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed)


def _cmaes(space: "Space", seed: int) -> "BaseSampler":
    from wellfit.tuning.covariance import CovarianceSampler

    return CovarianceSampler(space, seed)


def _grid(space: "Space", seed: int) -> "BaseSampler":
    from wellfit.tuning.grid import GridSampler

    return GridSampler(space, seed)


class Sampler(NamedTuple):
    """An entry of the table.

    Attributes:
        build: makes the sampler of one trial, from the space and the seed of the proposal.
        numbers_only: it proposes numbers; what is none is drawn at random.
        needs_steps: each key must have a list of choices, or a step.
        learns: what it proposes depends on the trials before.
    """

    build: Callable[["Space", int], "BaseSampler"]
    numbers_only: bool = False
    needs_steps: bool = False
    learns: bool = True


SAMPLERS = {
    "tpe": Sampler(_tpe),
    "random": Sampler(_random, learns=False),
    "gp": Sampler(_gp),
    "cmaes": Sampler(_cmaes, numbers_only=True),
    "grid": Sampler(_grid, needs_steps=True, learns=False),
}


def drawn_at_random(config: "TuneConfig", space: "Space") -> list[str]:
    """The keys for which the sampler proposes nothing."""
    if not SAMPLERS[config.sampler].numbers_only:
        return []
    from wellfit.tuning.covariance import numbers_of

    numbers = numbers_of(space)
    return [key for key in space.distributions if key not in numbers]
