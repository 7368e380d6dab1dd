"""Entries of the tables read the settings that they name, and no others."""

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import torch
from torch import nn

from wellfit.config import Config
from wellfit.models import MODELS
from wellfit.models.embedding import TableColumns, column_embedding
from wellfit.settings.params import load_params
from wellfit.training.loss import LOSSES, LossConfig
from wellfit.training.optim import OPTIMIZERS, ByMatrix, OptimConfig
from wellfit.training.schedule import SCHEDULES, ScheduleConfig, Span

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
OF_ALL = {"lr", "weight_decay", "decay_all"}  # what every optimizer has


class Recorder:
    """Stands for a section, and notes which keys are read, but for those that a function sets itself."""

    def __init__(self, section: Config, read: set[str], own: frozenset[str] = frozenset()) -> None:
        self._section, self._read, self._own = section, read, own

    def __getattr__(self, name: str) -> Any:
        if name not in self._own:
            self._read.add(name)
        return getattr(self._section, name)

    def model_copy(self, update: dict[str, Any]) -> "Recorder":
        return Recorder(self._section.model_copy(update=update), self._read, frozenset(update))


def keys_read(section: Config, call: Callable[[Any], Any]) -> set[str]:
    read: set[str] = set()
    call(Recorder(section, read))
    return read


@pytest.mark.parametrize("name", [name for name, entry in OPTIMIZERS.items() if isinstance(entry, ByMatrix)])
def test_optimizers_of_matrices(name: str) -> None:
    entry = OPTIMIZERS[name]
    assert isinstance(entry, ByMatrix)
    matrix, rest = nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(3))
    found = keys_read(PARAMS.optim, lambda config: entry.make(config, [matrix], [rest]))
    assert found - OF_ALL == set(entry.reads)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str) -> None:
    entry = SCHEDULES[name]
    found = keys_read(PARAMS.schedule, lambda config: entry.arguments(config, Span(0.1, 5, 50)))
    assert found == (set() if entry.is_plateau else set(entry.reads))


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("resnet34", "resnet50")])
def test_models(name: str) -> None:
    entry = MODELS[name]
    changes = {"name": name, "norm": "group", "residual": True, "groups": 2, "hidden": (4, 4), "channels": (4,)}
    config = PARAMS.model.model_copy(update=changes)
    shape = (1, 8, 8) if entry.needs_images else (5,)
    build = resolve_name(f"wellfit.models.{entry.builder}")
    found = keys_read(config, lambda recorded: build(recorded, shape, 3))
    if "embedding" in entry.reads:
        columns = TableColumns(torch.arange(5.0).expand(2, 5), 0, (3,), 100)
        for embedding in ("ple", "cosine"):
            chosen = config.model_copy(update={"embedding": embedding, "category": "embedding"})
            found |= keys_read(chosen, lambda recorded: column_embedding(recorded, columns))
    assert found - {"name"} == set(entry.reads)


@pytest.mark.parametrize(
    ("table", "section"), [(OPTIMIZERS, OptimConfig), (SCHEDULES, ScheduleConfig), (LOSSES, LossConfig)]
)
def test_each_key_is_of_its_section(table: dict[str, Any], section: type[Config]) -> None:
    assert {key for entry in table.values() for key in entry.reads} <= set(section.model_fields)


def test_each_builder_is_there() -> None:
    for entry in MODELS.values():
        assert callable(resolve_name(f"wellfit.models.{entry.builder}"))
