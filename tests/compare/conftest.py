"""Comparisons that train in a moment, and made-up outcomes, like those of real trainings."""

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wellfit.compare.comparison import Comparison
from wellfit.compare.outcome import Outcome
from wellfit.data.meta import Column, Meta
from wellfit.files import write_yaml
from wellfit.settings.params import Params, flatten, load_params
from wellfit.settings.parse import parse_override, read_yaml

from ..training.conftest import _torch_as_it_was as _torch_as_it_was

SHIPPED = Path(__file__).parents[2] / "comparisons"
SMALL: dict[str, Any] = {
    "title": "Small",
    "question": "Does it run?",
    "expectation": "It does.",
    "base": {
        "data.n_samples": 100,
        "model.hidden": [8],
        "train.epochs": 4,
        "train.device": "cpu",
        "train.threads": 1,
        "optim.lr": 0.01,
    },
    "variants": {"plain": {}, "dropout 0.4": {"model.dropout": 0.4}},
    "seeds": 2,
    "weights": "best",
    "measure": ["test/accuracy", "gap/loss"],
}

Write = Callable[..., Path]


def base_params(*changes: str) -> Params:
    """The shipped settings that comparisons begin with, with other ``KEY=VALUE`` on top."""
    base = flatten(read_yaml(SHIPPED / "base.yaml"))
    no_study = {"tune.enabled": False, "tune.space": {}}
    return load_params(SHIPPED.parent / "params.yaml").replace(no_study | base | dict(map(parse_override, changes)))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a project, with the shipped settings of comparisons."""
    (tmp_path / "comparisons").mkdir(exist_ok=True)
    shutil.copy(SHIPPED.parent / "params.yaml", tmp_path)
    shutil.copy(SHIPPED / "base.yaml", tmp_path / "comparisons")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(root: Path) -> Write:
    """Writes a small comparison with changes, where None takes a key out, and returns its file."""

    def write(name: str = "small", **changes: Any) -> Path:
        path = root / "comparisons" / f"{name}.yaml"
        content = {key: value for key, value in (SMALL | changes).items() if value is not None}
        write_yaml(path, content, "a comparison")
        return path

    return write


def outcomes_of(**scores: Mapping[str, list[float]]) -> list[Outcome]:
    """``outcomes_of(plain={"test/accuracy": [0.9, 0.8]})``: a training for each seed."""
    return [
        Outcome(variant, seed, [], {key: of_seeds[seed] for key, of_seeds in own.items()}, 3, 1.0)
        for variant, own in scores.items()
        for seed in range(len(next(iter(own.values()))))
    ]


def describe(**changes: Any) -> Meta:
    """Two balanced classes of two features."""
    numbers = tuple(Column(name=name, fill=0.0, flags_missing=False, categories=()) for name in ("x1", "x2"))
    fields: dict[str, Any] = {
        "name": "moons",
        "kind": "table",
        "task": "classification",
        "columns": numbers,
        "class_names": ("upper", "lower"),
        "target_name": "moon",
        "input_shape": (2,),
        "split_sizes": {"train": 1200, "val": 400, "test": 400},
        "mean": (0.0, 0.0),
        "std": (1.0, 1.0),
        "target_mean": None,
        "target_std": None,
        "class_counts": (600, 600),
        "warnings": (),
        "manifest": {},
    }
    return Meta(**fields | changes)


REGRESSION = {"task": "regression", "class_names": (), "class_counts": (), "target_mean": 1.0, "target_std": 2.0}


def compare(variants: Mapping[str, Mapping[str, Any]], **changes: Any) -> Comparison:
    fields: dict[str, Any] = {
        "title": "Dropout on moons",
        "question": "Does dropout help a network that has learned its rows by heart?",
        "expectation": "Dropout narrows the gap between training and validation (Srivastava et al. 2014).",
        "base": {"data.name": "moons", "model.hidden": [128, 128]},
        "variants": {name: dict(own) for name, own in variants.items()},
        "seeds": 5,
        "weights": "last",
        "measure": ["test/accuracy", "gap/accuracy"],
    }
    return Comparison.model_validate(fields | changes)


def train(
    variant: str,
    seed: int,
    *,
    speed: float = 0.1,
    level: float = 0.9,
    gap: float = 0.03,
    epochs: int = 60,
    lr: Callable[[int], float] = lambda epoch: 0.01,
    regression: bool = False,
    blows_up: int = 0,
) -> Outcome:
    """A training that learns exponentially fast, over-fits, and may end early or blow up in an epoch."""
    random = np.random.default_rng([seed, len(variant), sum(map(ord, variant))])
    level, gap = level + random.normal(0, 0.004), gap * (1 + random.normal(0, 0.1))
    score = "mae" if regression else "accuracy"
    history = []
    for epoch in range(1, epochs + 1):
        learned = 1 - math.exp(-speed * epoch)
        over = gap * epoch / 60
        loss = 0.7 - 0.6 * learned * level + random.normal(0, 0.004)
        train_score, val_score = 0.5 + (level + over - 0.5) * learned, 0.5 + (level - 0.5) * learned
        val_score += random.normal(0, 0.003)
        if regression:
            train_score, val_score = 40 * (1.5 - train_score), 40 * (1.5 - val_score)
        if blows_up and epoch >= blows_up:
            loss *= 1e6
        history.append(
            {
                "train/loss": loss - over,
                "val/loss": loss + 2 * over,
                f"train/{score}": train_score,
                f"val/{score}": val_score,
                "gap/loss": 3 * over,
                f"gap/{score}": abs(train_score - val_score),
                "lr": lr(epoch),
                "grad_norm": (2 - 1.8 * learned) * math.exp(random.normal(0, 0.1)),
            }
        )
    if blows_up:
        return Outcome(variant, seed, history, {}, 0, 2.0, f"train/loss became NaN in epoch {epochs}")
    last = history[-1]
    scores = {name: value for name, value in last.items() if "/" in name}
    scores |= {
        name.replace("val/", "test/"): value + random.normal(0, 0.003) for name, value in last.items() if "val/" in name
    }
    scores |= {"train/r2": 0.5} if regression else {"train/balanced_accuracy": last["train/accuracy"]}
    return Outcome(variant, seed, history, scores, max(1, epochs - 10), 2.0 + random.random())


@pytest.fixture
def two_variants() -> list[Outcome]:
    """Dropout that narrows the gap."""
    return [train(name, seed, gap=gap) for name, gap in (("none", 0.06), ("dropout 0.4", 0.01)) for seed in range(5)]
