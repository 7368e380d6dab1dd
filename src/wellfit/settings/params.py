"""Reads ``params.yaml`` into one frozen, validated object.

The sections and their rules are declared beside the code that uses them; this module composes the sections.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

from pydantic import ValidationError, model_validator

from wellfit.baselines.fit import BaselineConfig
from wellfit.config import Config, DataKind
from wellfit.data.fetch import FetchConfig
from wellfit.data.meta import Kind, Task
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError
from wellfit.explain.explanation import ExplainConfig
from wellfit.metrics.intervals import EvaluateConfig
from wellfit.models import ModelConfig
from wellfit.settings.messages import known_keys, one_line, unknown_key
from wellfit.settings.parse import AS_IN_FILE, parse_override, read_yaml
from wellfit.settings.rules import faults
from wellfit.tracking.tensorboard import TrackConfig
from wellfit.training.loss import LossConfig
from wellfit.training.lr_range import LrFindConfig
from wellfit.training.members import TrainConfig
from wellfit.training.optim import OptimConfig
from wellfit.training.regularize import RegularizeConfig
from wellfit.training.schedule import ScheduleConfig
from wellfit.tuning.space import TuneConfig

PARAMS_FILE = "params.yaml"
C = TypeVar("C", bound=Config)


class Params(Config):
    """All of ``params.yaml``."""

    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    optim: OptimConfig
    schedule: ScheduleConfig
    loss: LossConfig
    regularize: RegularizeConfig
    tune: TuneConfig
    baseline: BaselineConfig
    evaluate: EvaluateConfig
    explain: ExplainConfig
    fetch: FetchConfig
    track: TrackConfig
    lr_find: LrFindConfig

    @model_validator(mode="after")
    def _agree(self) -> Self:
        entry = self.data.entry
        task: Task | None = entry.task
        if self.data.task == "classification" or self.data.task == "regression":
            task = self.data.task
        for fault in faults(self, DataKind(entry.kind, task)):
            raise ValueError(fault)
        return self

    @property
    def pretrained_settings(self) -> dict[str, Any]:
        """Keys and values on which depends what the stage ``features`` makes."""
        names = ["name", "weights", "input_size", "freeze"]
        if self.model.has_features:
            names += ["feature_copies", "pooled" if self.model.is_frozen else "partial"]
        model = self.model.model_dump(mode="json")
        found: dict[str, Any] = {f"model.{name}": model[name] for name in names}
        if self.model.has_features and self.model.feature_copies:
            found["data.augment"] = self.model_dump(mode="json")["data"]["augment"]
            found["data.seed"] = self.data.seed
        return found

    def check_data(self, kind: Kind, task: Task, classes: int) -> None:
        """Checks what could not be checked before it was known what the data are.

        Args:
            kind: images or table.
            task: classification or regression.
            classes: how many; 0 for a regression.

        Raises:
            WellfitError: a key that does not fit them.
        """
        for fault in faults(self, DataKind(kind, task, classes)):
            raise WellfitError(f"{fault} ({PARAMS_FILE})")

    def replace(
        self, changes: Mapping[str, Any], source: str | Mapping[str, str] = PARAMS_FILE, file: str = PARAMS_FILE
    ) -> "Params":
        """A copy with other values, validated like the file.

        Args:
            changes: dotted key to new value, such as ``{"optim.lr": 0.01}``.
            source: where they come from, or where each of them does, for the message.
            file: where all others come from, likewise.

        Raises:
            WellfitError: an unknown key, or a value that breaks a rule.
        """
        sources = dict.fromkeys(changes, source) if isinstance(source, str) else source
        tree = self.model_dump()
        for key, value in changes.items():
            _assign(tree, key, value, sources[key])
        return validate(Params, tree, file, sources)

    def flat(self) -> dict[str, Any]:
        """Dotted keys and values, as MLflow logs them."""
        return flatten(self.model_dump(mode="json"))


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def load_params(path: str | Path = PARAMS_FILE, overrides: Sequence[str] = ()) -> Params:
    """Reads and validates a params file.

    Args:
        path: the file.
        overrides: ``KEY=VALUE`` texts that replace values of the file; VALUE is YAML, and an empty one means 'as in the
            file'. A value given here is final: its key leaves ``tune.space``.

    Raises:
        WellfitError: one line for the first mistake found.
    """
    tree = read_yaml(Path(path))
    sources = {}
    for text in overrides:
        key, value = parse_override(text)
        if value is AS_IN_FILE:
            continue
        _assign(tree, key, value, "--set")
        sources[key] = "--set"
        _stop_searching(tree, key)
    return validate(Params, tree, str(path), sources)


def validate(model: type[C], tree: dict[str, Any], path: str, sources: Mapping[str, str] = MappingProxyType({})) -> C:
    """A configuration from what a file says.

    Args:
        model: what it should be.
        tree: what the file says, changes included.
        path: of the file, for the message.
        sources: where changed keys come from, likewise.

    Raises:
        WellfitError: one line for the first mistake found.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        # A key that is misspelt is also one that is missing: its own name says more.
        errors = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        raise WellfitError(one_line(errors[0], path, sources, model, Params)) from None


def _stop_searching(tree: dict[str, Any], key: str) -> None:
    space: Any = tree.get("tune", {}).get("space") if isinstance(tree.get("tune"), dict) else None
    section, _, name = key.partition(".")
    keys = space.get(section) if isinstance(space, dict) else None
    if isinstance(keys, dict) and name in keys:
        keys[name] = None


def _assign(tree: dict[str, Any], key: str, value: Any, source: str) -> None:
    *parents, last = key.split(".")
    node: Any = tree
    may_be_new = re.fullmatch(r"tune\.space\.(\w+\.\w+)(\.(low|high|step|log))?", key)
    is_new = may_be_new is not None and may_be_new[1] in known_keys(Params)
    for name in parents:
        if is_new and isinstance(node, dict) and node.get(name) is None:
            node[name] = {}
        node = node.get(name) if isinstance(node, dict) else None
    if not isinstance(node, dict) or (last not in node and not is_new):
        raise WellfitError(f"{unknown_key(key, flatten(tree), Params)} ({source})")
    node[last] = value
