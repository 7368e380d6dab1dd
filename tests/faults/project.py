"""A small project after each of its stages, made once, and copied for each round."""

import shutil
import time
from pathlib import Path

from ruamel.yaml import YAML

from wellfit.settings.parse import read_yaml
from wellfit.tracking.store import open_store

from ..conftest import PARAMS_FILE, PLAIN
from .outcomes import Broken
from .processes import call, run

SMALL = [
    *(each for each in PLAIN if "tune.space" not in each),
    *("data.name=moons", "data.n_samples=240", "model.hidden=[8]", "train.epochs=30", "train.patience=null"),
    *("train.threads=1", "train.ensemble=2", "tune.n_trials=6", "tune.pack=3", "tune.leaders=1", "tune.repeats=1"),
    "tune.pruner=none",  # else a trial that is run again is compared with later ones
    *("tune.space={optim: {lr: {low: 0.001, high: 0.02, log: true}}}", "evaluate.resamples=100"),
    *("explain.permutations=10", "explain.repeats=1", "explain.rows=100"),
]
STAGES = ("fetch", "preprocess", "tune", "train", "baseline", "evaluate", "predict")
COMMANDS = {"predict": ("predict", "--input", "new.csv")}
UNFINISHED = ("*.tmp", ".*.new", ".*.old", "*.part")
Content = dict[str, bytes]


def write_params(folder: Path, *changes: str) -> None:
    """Writes ``params.yaml`` with other values."""
    tree, yaml = read_yaml(PARAMS_FILE), YAML(typ="safe", pure=True)
    for key, _, value in (change.partition("=") for change in changes):
        section, _, name = key.partition(".")
        tree[section][name] = yaml.load(value)
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(tree, file)


class Template:
    """The project, kept as it was before and after each stage.

    Args:
        folder: to make.

    Attributes:
        seconds: that each stage took.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.seconds, project = folder, dict[str, float](), folder / "project"
        project.mkdir(parents=True)
        write_params(project, *SMALL)
        run(project, open_store)
        shutil.copy(project / "mlflow.db", folder)
        (project / "new.csv").write_text("x1,x2\n0.5,0.25\n1.5,-0.5\n")
        for stage in STAGES:
            self._keep(project, stage)
            started = time.monotonic()
            done = call(project, *COMMANDS.get(stage, (stage,)))
            if done.status:
                raise RuntimeError(f"{stage}: {done.err}")
            self.seconds[stage] = time.monotonic() - started
        self._keep(project, "end")

    def copy(self, when: str, folder: Path) -> Path:
        """A copy of the project before a stage, or at its ``end``, with an empty MLflow store, below a folder."""
        project = folder / "project"
        shutil.copytree(self._folder / when, project)
        shutil.copy(self._folder / "mlflow.db", project)
        return project

    def outs(self, stage: str) -> Content:
        """What a stage leaves, of which every run makes the same bytes."""
        return outs(self._folder / "end", stage)

    def _keep(self, project: Path, when: str) -> None:
        away = shutil.ignore_patterns("mlflow.db*", "mlartifacts", "runs", "locks")
        shutil.copytree(project, self._folder / when, ignore=away)


OUTS = {
    "fetch": ["data/raw/moons/*"],
    "preprocess": ["data/processed/moons/*"],
    "tune": ["reports/tune/trials.csv", "reports/tune/best_params.yaml", "reports/tune/repeats.csv"],
    "train": ["reports/train/**/*", "models/*.safetensors", "models/config.yaml"],
    "baseline": ["reports/baseline/**/*"],
    "evaluate": ["reports/evaluate/**/*", "reports/report.html", "models/moons/*"],
    "predict": ["predictions.csv"],
}


def outs(project: Path, stage: str) -> Content:
    """What a stage has left in a project."""
    files = {path for pattern in OUTS[stage] for path in project.glob(pattern) if path.is_file()}
    files = {path for path in files if stage != "train" or path.name != "candidates.safetensors"}
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in sorted(files)}


def same(found: Content, expected: Content) -> None:
    """Checks that files are the same bytes."""
    names = found.keys() | expected.keys()
    if other := sorted(name for name in names if found.get(name) != expected.get(name)):
        raise Broken(f"other bytes than without the fault: {', '.join(other)}")


def nothing_unfinished(project: Path) -> None:
    """Checks that no file or folder is left that was to take the place of another."""
    left = [str(path.relative_to(project)) for pattern in UNFINISHED for path in project.rglob(pattern)]
    if left:
        raise Broken(f"left half-written: {', '.join(left)}")
