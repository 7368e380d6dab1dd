"""The section ``tune`` of ``params.yaml``, and ``tune.space`` as Optuna knows it."""

import json
from collections.abc import Mapping
from fractions import Fraction
from itertools import product
from pathlib import PurePath
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from wellfit.config import MOST, Config, Count, CountOrZero, OneOf, Positive, Seed, auto_or_between
from wellfit.models import unread_keys
from wellfit.tuning.pruners import PRUNERS
from wellfit.tuning.samplers import SAMPLERS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from wellfit.data.meta import Kind
    from wellfit.settings.params import Params

# What a trial is and what it is compared by is settled before a study begins.
NOT_SEARCHED = {
    "train.monitor": "it is what trials are compared by",
    "train.seed": "the best of several seeds is luck; a seed is no setting",
    "train.fold": "each trial is trained for all folds",
    "train.seeds": "it is of the final training, which follows the study",
    "train.ensemble": "an ensemble is selected among the trials",
    "train.device": "it decides where a model is trained, not what it becomes",
    "train.threads": "it decides how fast a model is trained, not what it becomes",
    **dict.fromkeys(
        tuple(f"model.{key}" for key in ("weights", "freeze", "input_size", "pooled", "feature_copies")),
        "weights are fetched and features are computed before the study",
    ),
    "model.partial": "it decides of which stages maps are computed before the study; compare its values by a study "
    "each, `dvc exp run -S model.partial=3`",
    "train.compile": "it decides how fast a model is trained, not what it becomes",
}
DECIDING = ("name", "embedding", "category")  # keys of model on which it depends which others are read
LONGEST_NAME = 200  # bytes; of 255 that file systems allow, some are needed for an ending
# Folders at the root of the project, git, DVC and MLflow: a journal there would be deleted with an out, or taken for a
# change of the code.
TAKEN = (
    *(".ci", ".devcontainer", ".dvc", ".git", ".github", ".venv", "benchmarks", "comparisons", "data", "docs"),
    *("dvc_plots", "exports", "mlartifacts", "mlruns", "models", "notebooks", "pipelines", "reports", "site", "src"),
    "tests",
)
SEARCHED_SECTIONS = ("model", "loss", "regularize", "optim", "schedule", "train")


class Interval(Config):
    """Numbers from low to high, both ends included, on a linear or a logarithmic scale, or one step after the other."""

    low: float
    high: float
    step: float | None = Field(None, gt=0)
    log: bool = False

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be < high, got low {self.low:g} and high {self.high:g}")
        if self.log and not self.low > 0:
            raise ValueError(f"low must be > 0 on a logarithmic scale, got {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError(f"step must be null on a logarithmic scale, got {self.step:g}")
        if self.step is not None and (self.high - self.low) / self.step > MOST:
            raise ValueError(f"step must lead from low to high in at most {MOST} steps, got {self.step:g}")
        if self.step is not None and (Fraction(str(self.high)) - Fraction(str(self.low))) % Fraction(str(self.step)):
            raise ValueError(
                f"high must be low and a number of steps, got low {self.low:g}, high {self.high:g} and step "
                f"{self.step:g}"
            )
        return self

    @model_serializer(mode="wrap")
    def _said(self, as_usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what need not be said, so that a space reads the same whether the file says it or not."""
        usual = {"step": None, "log": False}
        return {key: value for key, value in as_usual(self).items() if key not in usual or value != usual[key]}


def _several(choices: list[Any]) -> list[Any]:
    if len(choices) < 2:
        raise ValueError(f"a list of choices must have at least 2 entries, got {choices}")
    for number, choice in enumerate(choices):
        if choice in choices[:number]:
            raise ValueError(f"each choice must stand there once, got {choice!r} twice")
    return choices


def _kind(entry: Any) -> str | None:
    if isinstance(entry, dict | Interval):
        return "[interval]"
    return "[choices]" if isinstance(entry, list) else None


# The tags are in brackets to keep them apart from keys in the place that an error names.
Entry = Annotated[
    Annotated[Interval, Tag("[interval]")] | Annotated[list[Any], AfterValidator(_several), Tag("[choices]")],
    Discriminator(
        _kind,
        custom_error_type="space_entry",
        custom_error_message="must be an interval, such as {{low: 0.1, high: 1.0}}, or a list of choices",
    ),
]


def _without_empty(space: dict[str, Any]) -> dict[str, Any]:
    kept = {
        section: {key: entry for key, entry in (keys or {}).items() if entry is not None}
        for section, keys in space.items()
    }
    return {section: keys for section, keys in kept.items() if keys}


def _plain_name(study: str | None) -> str | None:
    if study is None:
        return None
    if not all(c.isalnum() or c in "-_." for c in study) or not study.strip("."):
        raise PydanticCustomError("study", "must be of letters, digits, -, _ and ., and not of . alone")
    if len(study.encode()) > LONGEST_NAME:  # it is the name of files
        raise PydanticCustomError("study", f"must be at most {LONGEST_NAME} bytes in UTF-8")
    return study


def _own_folder(storage: str) -> str:
    if "://" in storage:
        return storage
    path = PurePath(storage)
    if path.is_absolute() or ".." in path.parts or not path.parts or not storage.isprintable():
        rule = "must be a folder below the root of the project, or a URL such as sqlite:///studies.db"
        raise PydanticCustomError("storage", rule)
    if path.parts[0].casefold() in TAKEN:
        raise PydanticCustomError("storage", "must be a folder of its own, such as .wellfit/studies")
    if max(len(part.encode()) for part in path.parts) > LONGEST_NAME:
        raise PydanticCustomError("storage", f"must have no name of more than {LONGEST_NAME} bytes in UTF-8")
    return storage


class TuneConfig(Config):
    enabled: bool
    n_trials: Count
    timeout: Positive | None
    max_steps: Annotated[Literal["auto"] | int | None, auto_or_between(1, 10**9, or_null=True)]
    pack: Annotated[Literal["auto"] | int, auto_or_between(1, 1000)]
    space: Annotated[dict[str, dict[str, Entry | None] | None], AfterValidator(_without_empty)]
    sampler: Annotated[str, OneOf(SAMPLERS)]
    pruner: Annotated[str, OneOf(PRUNERS)]
    pruner_percentile: float = Field(gt=0, lt=100)
    pruner_startup_trials: CountOrZero
    pruner_warmup_epochs: CountOrZero
    leaders: int = Field(ge=1, le=100)
    repeats: int = Field(ge=0, le=1000)
    seed: Seed
    study: Annotated[str | None, Field(min_length=1), AfterValidator(_plain_name)]
    storage: Annotated[str, Field(min_length=1), AfterValidator(_own_folder)]

    @property
    def searched(self) -> dict[str, Interval | list[Any]]:
        """Dotted key of ``params.yaml`` to what is tried for it: an interval, or a list of choices."""
        return {
            f"{section}.{key}": entry
            for section, keys in self.space.items()
            for key, entry in (keys or {}).items()
            if entry is not None
        }


def ends(entry: Interval | list[Any]) -> list[tuple[str, Any]]:
    """What of an entry must keep the rules of its key, with what is added to the key's name."""
    if isinstance(entry, Interval):
        # A key that takes whole numbers takes no 3.0, one that takes numbers takes a 3.
        return [(f".{name}", int(v) if v.is_integer() else v) for name, v in (("low", entry.low), ("high", entry.high))]
    return [("", choice) for choice in entry]


def unread(params: "Params", kind: "Kind") -> list[str]:
    """Keys that are searched and make no difference to the network, whatever is chosen for the others."""
    searched = params.tune.searched
    deciding = {name: searched.get(f"model.{name}") or [getattr(params.model, name)] for name in DECIDING}
    combinations = (dict(zip(deciding, values, strict=True)) for values in product(*map(list, deciding.values())))
    of_each = [unread_keys(params.model.model_copy(update=chosen), kind) for chosen in combinations]
    by_none = set.intersection(*of_each)
    return [key for key in searched if key.startswith("model.") and key.removeprefix("model.") in by_none]


def number_type(section: Config, name: str) -> type[int] | type[float] | None:
    """Whether a key takes whole numbers, numbers, or something else: then None."""
    annotation = type(section).model_fields[name].annotation
    parts = [part for part in get_args(annotation) or (annotation,) if get_origin(part) is not Literal]
    kinds = {get_args(part)[0] if get_origin(part) is Annotated else part for part in parts} - {NoneType}
    return float if kinds == {float} else int if kinds == {int} else None


def shown(value: Any) -> str:
    """A value for a line of output: numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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

    def __init__(self, params: "Params") -> None:
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

    def grid(self) -> dict[str, list[Any]]:
        """All that can be drawn for each key.

        Raises:
            ValueError: an interval of numbers without a step.
        """
        return {key: _members(key, distribution) for key, distribution in self.distributions.items()}


def drawn(values: Mapping[str, Any], distributions: "Mapping[str, BaseDistribution]") -> dict[str, Any]:
    """Values of ``params.yaml`` as if Optuna had drawn them.

    Args:
        values: dotted key to value.
        distributions: dotted key to its distribution.

    Returns:
        Dotted key to scalar, without the values outside an interval and those that are no choice.
    """
    scalars = {key: _scalar(value) for key, value in values.items()}
    return {key: scalar for key, scalar in scalars.items() if _contains(distributions[key], scalar)}


def _distribution(params: "Params", key: str, entry: Interval | list[Any]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(entry, list):
        return CategoricalDistribution([_scalar(choice) for choice in entry])
    section, name = key.split(".")
    if number_type(getattr(params, section), name) is int:
        return IntDistribution(int(entry.low), int(entry.high), step=int(entry.step or 1), log=entry.log)
    return FloatDistribution(entry.low, entry.high, step=entry.step, log=entry.log)


def _scalar(choice: Any) -> Any:
    return json.dumps(choice) if isinstance(choice, list | tuple) else choice


def _contains(distribution: "BaseDistribution", scalar: Any) -> bool:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return scalar in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if scalar is None or not distribution.low <= scalar <= distribution.high:
        return False
    steps = (scalar - distribution.low) / distribution.step if distribution.step else 0
    return bool(abs(steps - round(steps)) < 1e-8)  # as Optuna rounds


def _members(key: str, distribution: "BaseDistribution") -> list[Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not distribution.step:
        raise ValueError(f"{key} has no step")
    steps = round((distribution.high - distribution.low) / distribution.step)
    members = [distribution.low + number * distribution.step for number in range(steps + 1)]
    return [*members[:-1], distribution.high]  # the sum may miss the end by a rounding error
