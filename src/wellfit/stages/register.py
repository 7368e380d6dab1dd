"""The register stage: a new version of the model in MLflow's registry, and which version is the champion."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit import tracking
from wellfit.baselines.comparison import beside, gain_in_words
from wellfit.data.frame import chosen_rows
from wellfit.data.meta import Meta
from wellfit.data.prepare import read_raw
from wellfit.data.split import assign_rows
from wellfit.data.store import Split, load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.metrics.scores import FloatArray
from wellfit.serving.folder import load_model_folder
from wellfit.serving.model import training_run
from wellfit.serving.predictor import Predictions, Predictor
from wellfit.settings.params import Params

if TYPE_CHECKING:
    import pandas as pd

    from wellfit.data.frame import Frame


class Verdict(NamedTuple):
    """How a model compares with the champion on the same test rows.

    Attributes:
        says: that, in a sentence.
        is_worse: whether it is clearly worse by one of the two main scores, and not better by the other.
    """

    says: str
    is_worse: bool


def register(params: Params, data: Path, models: Path, *, force: bool = False) -> None:
    """Registers the model that the last evaluation packed as a version of ``wellfit-<data set>``.

    It becomes the champion where there is none, or where it is not clearly worse than the present one on the test rows
    of today; else it is the challenger.

    Args:
        params: the configuration.
        data: has ``raw/`` and ``processed/``.
        models: has ``run.json`` and ``<name>/``.
        force: whether it becomes the champion in any case.

    Raises:
        WellfitError: there is no model, or it is of other data or several trainings, or its run is not in MLflow.
    """
    meta = load_meta(data / "processed" / params.data.name)
    folder = models / meta.name
    model = load_model_folder(folder)
    if model.meta.sha256 != meta.sha256:
        raise WellfitError(f"{folder} was trained on other data than {data / 'processed' / meta.name}: run `dvc repro`")
    run_id = training_run(models)
    logged = tracking.logged_model(run_id)
    if logged is None:
        store = tracking.shown_store_uri()
        raise WellfitError(f"{store} has no model of run {run_id}: run `dvc repro --force evaluate`")
    name = f"wellfit-{meta.title}"
    champion = tracking.champion_of(name)
    verdict = Verdict("the first version", is_worse=False)
    if champion is not None:
        if champion.run_id == logged.run_id:
            raise WellfitError(f"version {champion.number} of {name} is this model already")
        with TemporaryDirectory() as temporary:
            other = load_model_folder(tracking.download_version(name, champion, Path(temporary)))
            verdict = _compare(model, other, params, data, meta, f"the champion (version {champion.number})")
    alias = tracking.CHALLENGER if verdict.is_worse and not force else tracking.CHAMPION
    tags = {"wellfit.data_sha256": meta.sha256, "wellfit.compared": verdict.says}
    if force:
        tags["wellfit.forced"] = "true"
    forced = " Made the champion by --force." if force and verdict.is_worse else ""
    description = f"{verdict.says[0].upper()}{verdict.says[1:]}.{forced}\n\n{(folder / 'card.md').read_text('utf-8')}"
    number = tracking.add_version(name, *logged, alias, tags, description)
    print(f"version {number} of {name} is the {alias}: {verdict.says}{'; --force' if forced else ''}")


def _compare(model: Predictor, other: Predictor, params: Params, data: Path, meta: Meta, title: str) -> Verdict:
    """Scores both on the test rows, which are read anew for a model that was trained on other data."""
    if other.meta.class_names and set(other.meta.class_names) != set(meta.class_names):
        names = ", ".join(sorted(set(other.meta.class_names) ^ set(meta.class_names)))
        return Verdict(f"not compared with {title}, as it has other classes: {names}", is_worse=True)
    if other.meta.task != meta.task:
        return Verdict(f"not compared with {title}, which is of a {other.meta.task}", is_worse=True)
    test = load_split(data / "processed" / meta.name, meta, "test")
    # Classes are sorted by name, so that those of both models stand in one order.
    ours = _as_scored(model.predictions(test.x))
    theirs = _as_scored(_of_other(other, test, params, data, meta))
    _, gains = beside(ours, theirs, test, meta, params.evaluate)
    says = gain_in_words(gains, "this model", title)
    if other.meta.sha256 != meta.sha256:
        says += ", which was trained on other rows, perhaps on some of these test rows"
    worse = any(gain.high < 0 for gain in gains.values())
    better = any(gain.low > 0 for gain in gains.values())
    return Verdict(says, is_worse=worse and not better)


def _of_other(other: Predictor, test: Split, params: Params, data: Path, meta: Meta) -> Predictions:
    if other.meta.sha256 == meta.sha256:
        return other.predictions(test.x)
    source = read_raw(params.data, data / "raw" / meta.name)
    rows = assign_rows(source, params.data).rows["test"]
    return other.predictions(other.encode(_rows_of(source.x, rows)))


def _rows_of(x: NDArray[Any] | Frame, rows: NDArray[np.int64]) -> NDArray[Any] | pd.DataFrame:
    if isinstance(x, np.ndarray):
        return x[rows]
    import pandas as pd

    chosen = chosen_rows(x, rows)
    return pd.DataFrame({name: chosen[name] for name in chosen.columns})


def _as_scored(found: Predictions) -> FloatArray:
    """(n, C) probabilities, or (n,) numbers."""
    scored: FloatArray = found.predicted if found.probabilities is None else found.probabilities
    return scored
