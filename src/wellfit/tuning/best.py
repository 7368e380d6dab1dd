"""``best_params.yaml``: how ``tune`` hands its result to ``train``."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.files import write_bytes, write_csv, write_yaml
from wellfit.manifest import check_manifest, write_manifest
from wellfit.settings.params import Params, flatten
from wellfit.training.record import NO_CHECKPOINTS
from wellfit.tuning.space import shown

FILES = ("best_params.yaml", "trials.csv", "importance.csv", "repeats.csv")  # that later stages read
CANDIDATES_FILE = "candidates.safetensors"  # in the folder of models: what an ensemble may be selected from
TRIAL_COLUMNS = ("trial", "state", "epochs", "best_epoch", "value", "best_so_far")
IMPORTANCE_COLUMNS = ("key", "share")
REPEAT_COLUMNS = ("trial", "seed", "score")


def write_best(path: Path, values: dict[str, Any], meta_sha256: str | None, comment: str) -> None:
    """Writes the chosen values, laid out like ``params.yaml``.

    Args:
        path: ``reports/tune/best_params.yaml``.
        values: dotted keys and their values; none where tuning is switched off.
        meta_sha256: of the data they were chosen on.
        comment: the file's first line.
    """
    tree: dict[str, Any] = {}
    for key, value in values.items():
        section, name = key.split(".")
        tree.setdefault(section, {})[name] = value
    write_yaml(path, {"data_sha256": meta_sha256, "params": tree}, comment)


def write_no_tuning(report: Path, models: Path) -> None:
    """The outputs of a tuning that is switched off, or that has nothing to search."""
    write_bytes(models / CANDIDATES_FILE, NO_CHECKPOINTS)
    write_best(report / "best_params.yaml", {}, None, "tuning is off: params.yaml is used as it is")
    write_csv(report / "trials.csv", TRIAL_COLUMNS, [])
    write_csv(report / "importance.csv", IMPORTANCE_COLUMNS, [])
    write_csv(report / "repeats.csv", REPEAT_COLUMNS, [])
    write_manifest(report, FILES)
    # DVC warns of a folder of plots that is empty.
    from wellfit.charts.style import save
    from wellfit.charts.tuning import no_tuning

    save(no_tuning(), report / "plots" / "history.png")


def apply_best(params: Params, path: Path, meta: Meta) -> Params:
    """The params with what tuning chose for the keys of ``tune.space``, and a line that says so.

    Raises:
        WellfitError: tuning is enabled but was not run, or was run on other data, or its outcome was changed since.
    """
    searched = params.tune.searched if params.tune.enabled else {}
    if not searched:
        return params
    way_out = "run `dvc repro tune`, or use --set tune.enabled=false"
    own = ", or set values of your own in params.yaml and tune.enabled to false"
    if not check_manifest(path.parent, "tune", [path.name], own):
        raise WellfitError(f"{path} not found, though tune.enabled is true: {way_out}")
    best = YAML(typ="safe", pure=True).load(path)
    values = flatten(best["params"])
    if best["data_sha256"] != meta.sha256:
        raise WellfitError(f"{path} was tuned on other data than {meta.name} as it is now: {way_out}")
    if strange := sorted(set(values) - set(params.flat())):
        raise WellfitError(f"{path}: {strange[0]} is not a key of params.yaml: {way_out}")
    values = {key: value for key, value in values.items() if key in searched}
    tuned = params.replace(values, source=str(path))
    old = params.flat()
    changes = [f"{key} {shown(value)} (params.yaml: {shown(old[key])})" for key, value in values.items()]
    print(f"tuned values from {path}: " + ", ".join(changes))
    return tuned
