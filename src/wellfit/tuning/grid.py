"""The sampler of ``tune.sampler`` grid: each combination once."""

import math
import random
from typing import TYPE_CHECKING, Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

if TYPE_CHECKING:
    from wellfit.tuning.space import Space


class GridExhaustedError(Exception):
    """Each combination has been tried, or is being tried."""


class GridSampler(BaseSampler):
    """Each combination once, in an order drawn at random.

    Optuna's own sampler holds the whole grid in memory, and may give a combination that is being tried to another
    process as well.

    Args:
        space: of which each key has a number of values.
        seed: of the order.
    """

    def __init__(self, space: "Space", seed: int) -> None:
        self._space, self._random = space, random.Random(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All of the space."""
        return self._space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A combination that no other trial has.

        Raises:
            GridExhaustedError: there is none.
        """
        grid = self._space.grid()
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        tried = {tuple(other.params.get(key) for key in grid) for other in others}
        size = math.prod(len(members) for members in grid.values())
        # One more than were tried, so that one of them is new, and no more, for a grid may be huge.
        for place in self._random.sample(range(size), min(size, len(tried) + 1)):
            combination = {}
            for key, members in grid.items():
                place, number = divmod(place, len(members))
                combination[key] = members[number]
            if tuple(combination.values()) not in tried:
                return combination
        raise GridExhaustedError

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never called: each parameter is a part of the combination."""
        raise NotImplementedError(param_name)
