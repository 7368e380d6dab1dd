"""What the baseline stage leaves: ``predictions.npz`` for evaluate, and ``metrics.json`` for people and DVC."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from wellfit.baselines.fit import Fitted
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.files import from_json, write_bytes, write_json
from wellfit.manifest import check_manifest, write_manifest

PREDICTIONS_FILE = "predictions.npz"
INFO = "info"  # the array that holds what is known of the others, as JSON


def save_baselines(report: Path, fitted: Sequence[Fitted], meta: Meta) -> None:
    """Writes predictions of the test rows, settings and validation scores; the same ones give the same bytes.

    Args:
        report: ``reports/baseline``.
        fitted: none where the baselines are switched off.
        meta: of the data.
    """
    records = {one.name: {"setting": dict(one.setting), "validation": dict(one.validation)} for one in fitted}
    info = json.dumps({"data_sha256": meta.sha256, "baselines": records})
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{INFO: np.array(info)}, **{one.name: one.predictions for one in fitted})
    write_bytes(report / PREDICTIONS_FILE, file.getvalue())
    write_json(
        report / "metrics.json",
        {
            one.name: {f"val/{name}": value for name, value in one.validation.items()} | dict(one.setting)
            for one in fitted
        },
    )
    write_manifest(report, [PREDICTIONS_FILE])


def load_baselines(report: Path, meta: Meta) -> list[Fitted]:
    """The reverse of :func:`save_baselines`; none where there is no file, or one of other data.

    Raises:
        WellfitError: the file is damaged.
    """
    if not check_manifest(report, "baseline", [PREDICTIONS_FILE]):
        return []
    try:
        with np.load(report / PREDICTIONS_FILE, allow_pickle=False) as arrays:
            info = from_json(str(arrays[INFO]))
            if info["data_sha256"] != meta.sha256:
                return []
            return [
                Fitted(name, found["setting"], found["validation"], arrays[name])
                for name, found in info["baselines"].items()
            ]
    except (ValueError, EOFError, KeyError, TypeError, BadZipFile):  # not of ours: a pickle, which is never loaded
        raise WellfitError(f"{report / PREDICTIONS_FILE} is damaged: run `dvc repro baseline`") from None
