"""The sampler of ``tune.sampler`` cmaes: a covariance matrix that adapts to the values found."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from wellfit.tuning.space import Space

GENERATION = "generation"


class CovarianceSampler(BaseSampler):
    """CMA-ES (Hansen 2016, The CMA evolution strategy: a tutorial), as ``cmaes`` has it.

    Optuna's own sampler stores its optimizer pickled in the trials. Here each trial stores the number of its
    generation as a user attribute, and the optimizer is made anew from the values of the generations that are complete,
    which takes milliseconds. What is not a number is drawn at random.

    Args:
        space: what is searched.
        seed: of the proposal.

    Attributes:
        generation: of the last proposal; None: it has no number. Whoever keeps the trial keeps it as ``GENERATION``.
    """

    def __init__(self, space: "Space", seed: int) -> None:
        self.generation: int | None = None
        self._numbers, self._seed = numbers_of(space), seed
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The numbers of the space."""
        return dict(self._numbers)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A point of the generation that is under way."""
        if not self._numbers:
            return {}
        from cmaes import CMA

        size = len(self._numbers)
        bounds = np.tile([0.0, 1.0], (size, 1))
        # The middle of the space, and a sixth of it, are where Optuna begins as well.
        optimizer = CMA(mean=np.full(size, 0.5), sigma=1 / 6, bounds=bounds, seed=self._seed)
        generations: dict[int, list[FrozenTrial]] = {}
        for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            generations.setdefault(other.user_attrs.get(GENERATION, -1), []).append(other)
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        while len(members := generations.get(optimizer.generation, [])) >= optimizer.population_size:
            optimizer.tell(
                [
                    (self._point(other.params), sign * (other.value or 0.0))
                    for other in members[: optimizer.population_size]
                ]
            )
        self.generation = optimizer.generation
        point = optimizer.ask()
        return {
            key: _from_unit(number, float(x)) for (key, number), x in zip(self._numbers.items(), point, strict=True)
        }

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value at random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _point(self, drawn: Mapping[str, Any]) -> NDArray[np.float64]:
        return np.array([_to_unit(number, drawn[key]) for key, number in self._numbers.items()])


Number = FloatDistribution | IntDistribution


def numbers_of(space: "Space") -> dict[str, Number]:
    """The numbers of a space, in an order of their own, so that a proposal does not hang on that of the file."""
    return {key: each for key, each in sorted(space.distributions.items()) if isinstance(each, Number)}


def _to_unit(number: Number, value: float) -> float:
    low, high = _edges(number)
    if number.log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def _from_unit(number: Number, x: float) -> float:
    low, high = _edges(number)
    value = math.exp(math.log(low) + x * (math.log(high) - math.log(low))) if number.log else low + x * (high - low)
    if number.step:
        value = number.low + round((value - number.low) / number.step) * number.step
    value = min(max(value, number.low), number.high)
    return int(value) if isinstance(number, IntDistribution) else value


def _edges(number: Number) -> tuple[float, float]:
    """The ends, with half a step beyond, so that the first and last value are as likely as those between."""
    half = (number.step or 0) / 2
    return number.low - half, number.high + half
