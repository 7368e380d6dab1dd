"""A project with comparisons of its own, which train in a moment."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from wellfit.files import write_yaml

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


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a project, with the shipped base of comparisons."""
    (tmp_path / "comparisons").mkdir(exist_ok=True)
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
