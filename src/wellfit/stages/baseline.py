"""The baseline stage: what would have been used instead of the network."""

from pathlib import Path

from wellfit.baselines.fit import BASELINES, fit_baselines
from wellfit.baselines.record import save_baselines
from wellfit.data.scratch import memory_budget
from wellfit.data.settings import check_prepared
from wellfit.data.store import load_meta, load_split
from wellfit.settings.params import Params


def baseline(params: Params, data_folder: Path, report: Path) -> None:
    """Fits the baselines and predicts the test rows with them; what the test rows' targets are is for evaluate.

    Args:
        params: the configuration.
        data_folder: ``data/processed/<name>``.
        report: gets ``predictions.npz`` and ``metrics.json``; with ``baseline.enabled`` false, empty ones.

    Raises:
        WellfitError: data that are missing, damaged or prepared otherwise.
    """
    meta = load_meta(data_folder)
    check_prepared(params.data, meta, data_folder)
    if not params.baseline.enabled:
        save_baselines(report, [], meta)
        print("baseline.enabled is false: no baseline was fitted")
        return
    train, val = (load_split(data_folder, meta, name) for name in ("train", "val"))
    test_rows = load_split(data_folder, meta, "test").x
    fitted = fit_baselines(train, val, test_rows, meta, memory_budget(params.data.memory))
    save_baselines(report, fitted, meta)
    for one in fitted:
        words = [f"{name} {value:.4g}" for name, value in one.validation.items()]
        chosen = ", ".join(f"{key} {value:g}" for key, value in one.setting.items())
        print(f"{BASELINES[one.name].title}: val {', '.join(words)}{f' ({chosen})' if chosen else ''}")
