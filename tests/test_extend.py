"""What docs/extend.md says of additions: in a copy of the source, each is made and trained with."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
# What each addition may touch.
FILES = {
    "optimizer": {"src/wellfit/training/optim.py"},
    "schedule": {"src/wellfit/training/schedule.py"},
    "loss": {"src/wellfit/training/loss.py", "params.yaml"},
    "model": {"src/wellfit/models/quadratic.py", "src/wellfit/models/__init__.py"},
    "data set": {"src/wellfit/data/catalog.py"},
}

TRAINING = """
import json, sys
from pathlib import Path
import torch
from sklearn.metrics import mean_pinball_loss
from torch import nn
from wellfit.data.fetch import fetch
from wellfit.data.prepare import prepare
from wellfit.models import build_model
from wellfit.models.inputs import Inputs
from wellfit.models.predict import predict
from wellfit.settings.params import load_params
from wellfit.training.setup import begin, load_training_data

ROWS = 10_000  # all of them in each step: their order does not matter
BASE = ["train.epochs=3", f"train.batch_size={ROWS}", "train.threads=1", "train.device=cpu", "tune.space={}"]
BASE += ["model.numeric=standard", "model.embedding=none"]
BASE += ["schedule.name=constant", "schedule.warmup_epochs=0", "optim.weight_decay=0.0", "optim.lr=0.1"]


def trained(name, *overrides):
    params = load_params("params.yaml", [*BASE, f"data.name={name}", *overrides])
    data = load_training_data(params, Path(sys.argv[1]) / name)
    training = begin([params], data, packed=False)
    history = [epoch.of(0) for epoch in training.epochs]
    return params, data, training.learner, history


def close(one, two):
    return torch.allclose(one, two, rtol=1e-4, atol=1e-6)


found = {}
params, data, learner, _ = trained("diabetes", "model.name=linear", "optim.name=adamax")
torch.manual_seed(params.train.seed)
inputs = Inputs(data.meta, "standard", torch.device("cpu"))
model = build_model(params.model, inputs.shape, 1)
before = {name: weights.clone() for name, weights in model.state_dict().items()}
optimizer = torch.optim.Adamax(model.parameters(), 0.1, (params.optim.beta1, params.optim.beta2), params.optim.eps)
for _ in range(3):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(inputs(data.train.x))[:, 0], data.train.y).backward()
    optimizer.step()
weights = learner.weights(0)
by_hand = model.state_dict()
found["optimizer"] = all(close(w, by_hand[name]) and not close(w, before[name]) for name, w in weights.items())

*_, history = trained("moons", "schedule.name=halving")
found["schedule"] = [epoch["lr"] for epoch in history]

_, data, learner, history = trained("diabetes", "loss.name=quantile", "loss.quantile=0.8")
predictions = predict(learner.model, learner.inputs, data.val.x)[:, 0]
found["loss"] = [history[-1]["val/loss"], float(mean_pinball_loss(data.val.y, predictions, alpha=0.8))]

_, _, learner, history = trained("moons", "model.name=quadratic")
found["model"] = [type(learner.model).__name__, history[0]["val/loss"] > history[-1]["val/loss"]]

iris = load_params("params.yaml", [*BASE, "data.name=iris", "train.epochs=100", "model.norm=none"])
fetch(iris.data, iris.fetch, Path("raw"))
prepare(iris.data, Path("raw"), Path("processed"))
data = load_training_data(iris, Path("processed/iris"))
*_, last = begin([iris], data, packed=False).epochs
found["data set"] = [list(data.meta.class_names), last.of(0)["val/accuracy"]]
print(json.dumps(found))
"""


def diffs() -> dict[str, str]:
    """The additions of docs/extend.md, in its order."""
    blocks = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "docs/extend.md").read_text(encoding="utf-8"), re.M | re.S)
    return dict(zip(FILES, blocks, strict=True))


def apply(diff: str, root: Path) -> set[str]:
    """Applies a diff without line numbers, and returns the files that it changed or made."""
    files = re.split(r"^\+\+\+ ", diff, flags=re.M)[1:]
    names = set()
    for name, *lines in (file.splitlines() for file in files):
        names.add(name)
        path = root / name
        text = path.read_text(encoding="utf-8") if path.exists() else "\n"
        for hunk in re.split(r"^@@\n", "\n".join(lines) + "\n", flags=re.M):
            before, after = (
                "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in kept) for kept in (" -", " +")
            )
            if before or not path.exists():
                assert text.count(f"\n{before}") == 1, f"{name}: {before}"
                text = text.replace(f"\n{before}", f"\n{after}")
        path.write_text(text.removeprefix("\n"), encoding="utf-8")
    return names


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source with all additions."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", root)
    for diff in diffs().values():
        apply(diff, root)
    return root


def call(copy: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env={"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(copy: Path, prepared: Path) -> Mapping[str, Any]:
    """What came of a training with each."""
    result: dict[str, Any] = json.loads(call(copy, "-c", TRAINING, str(prepared)))
    return result


@pytest.mark.parametrize("what", FILES)
def test_an_addition_touches_the_files_of_its_entry(what: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    assert apply(diffs()[what], tmp_path) == FILES[what]


def test_the_optimizer_is_torchs(found: Mapping[str, Any]) -> None:
    assert found["optimizer"]


def test_the_schedule_is_the_formula(found: Mapping[str, Any]) -> None:
    assert found["schedule"] == pytest.approx([0.1, 0.05, 0.025])


def test_the_loss_is_the_pinball_loss(found: Mapping[str, Any]) -> None:
    ours, expected = found["loss"]
    assert ours == pytest.approx(expected, rel=1e-5)


def test_the_model_is_built_and_learns(found: Mapping[str, Any]) -> None:
    assert found["model"] == ["Quadratic", True]


def test_names_that_are_not_in_a_table_are_refused(copy: Path) -> None:
    code = """
from wellfit.errors import WellfitError
from wellfit.settings.params import load_params
for key, name in (("optim", "adamx"), ("schedule", "halvin"), ("loss", "quantil"), ("model", "quadratc")):
    try:
        load_params("params.yaml", [f"{key}.name={name}"])
    except WellfitError as error:
        print(str(error).split("did you mean ")[1])
"""
    expected = ["'adamax'? (--set)", "'halving'? (--set)", "'quantile'? (--set)", "'quadratic'? (--set)"]
    assert call(copy, "-c", code).splitlines() == expected


def test_the_data_set_is_fetched_and_trained_on(found: Mapping[str, Any]) -> None:
    classes, accuracy = found["data set"]
    assert classes == ["setosa", "versicolor", "virginica"]
    assert accuracy > 0.8
