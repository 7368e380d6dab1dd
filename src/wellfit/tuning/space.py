"""``tune.space`` as Optuna knows it, and values on their way between the two."""

import json
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from wellfit.settings.params import Params
from wellfit.tuning.config import Interval, number_type


class Space:
    """What is searched.

    Optuna's categories are scalars, so a choice that is a list stands there as its JSON text. What Optuna holds is
    called drawn here; a value is what ``params.yaml`` holds.

    Args:
        params: whose ``tune.space`` is meant, and whose values are the current ones.

    Attributes:
        distributions: dotted key of ``params.yaml`` to its distribution, in the order of the file.
        current: dotted key to the value in ``params.yaml``.
    """

    def __init__(self, params: Params) -> None:
        flat = params.flat()
        self.distributions = {key: _distribution(params, key, entry) for key, entry in params.tune.searched.items()}
        self.current = {key: flat[key] for key in self.distributions}
        self._choices = {
            key: {_scalar(choice): choice for choice in entry}
            for key, entry in params.tune.searched.items()
            if isinstance(entry, list)
        }

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """What was drawn as values of ``params.yaml``."""
        return {key: self._choices[key][item] if key in self._choices else item for key, item in drawn.items()}

    def drawn(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values as if Optuna had drawn them, without those outside an interval and those that are no choice."""
        scalars = {key: _scalar(value) for key, value in values.items()}
        return {key: scalar for key, scalar in scalars.items() if _holds(self.distributions[key], scalar)}

    def grid(self) -> dict[str, list[Any]]:
        """All that can be drawn for each key.

        Raises:
            ValueError: an interval of numbers without a step.
        """
        return {key: _members(key, distribution) for key, distribution in self.distributions.items()}


def _distribution(params: Params, key: str, entry: Interval | list[Any]) -> BaseDistribution:
    if isinstance(entry, list):
        return CategoricalDistribution([_scalar(choice) for choice in entry])
    section, name = key.split(".")
    if number_type(getattr(params, section), name) is int:
        return IntDistribution(int(entry.low), int(entry.high), step=int(entry.step or 1), log=entry.log)
    return FloatDistribution(entry.low, entry.high, step=entry.step, log=entry.log)


def _scalar(choice: Any) -> Any:
    return json.dumps(choice) if isinstance(choice, list | tuple) else choice


def _holds(distribution: BaseDistribution, scalar: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return scalar in distribution.choices
    if scalar is None:
        return False
    return bool(distribution._contains(distribution.to_internal_repr(scalar)))


def _members(key: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not distribution.step:
        raise ValueError(f"{key} has no step")
    steps = round((distribution.high - distribution.low) / distribution.step)
    members = [distribution.low + number * distribution.step for number in range(steps + 1)]
    return [*members[:-1], distribution.high]  # the sum may miss the end by a rounding error
