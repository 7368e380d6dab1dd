"""What others would use on a table, for benchmarks/tables.py: fits one peer in a process of its own.

    python benchmarks/table_peers.py PEER FOLDER SEED

FOLDER holds ``x_<split>.parquet`` and ``y_<split>.npy`` of train, val and test, as :func:`save_rows` writes them, and
gets ``prediction.npy`` and ``peer.json``. Categories are categories and missing values are missing; where a peer takes
neither, they are encoded as scikit-learn's guide does it. LightGBM and RealMLP are not in the lock: they need a Python
with lightgbm, pytabkit and pyarrow, and nothing of wellfit.
"""

import json
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

THREADS = 2
MOST_TREES = 1000  # of boosting that stops early
PATIENCE = 50  # rounds of LightGBM without a better validation loss
SPLITS = ("train", "val", "test")

Rows = tuple[pd.DataFrame, NDArray[Any]]


class Peer(NamedTuple):
    """A kind of model.

    Attributes:
        title: in the documentation.
        fit: from training rows, validation rows, whether they have classes, and a seed to a fitted model of
            scikit-learn's kind.
        package: whose version decides.
        is_locked: whether the lock has it.
    """

    title: str
    fit: Callable[[Rows, Rows, bool, int], Any]
    package: str = "scikit-learn"
    is_locked: bool = True


def boosting(train: Rows, _val: Rows, has_classes: bool, seed: int) -> Any:
    """One line, as shipped: it stops early on rows of its own where there are more than 10,000."""
    kind = HistGradientBoostingClassifier if has_classes else HistGradientBoostingRegressor
    return kind(random_state=seed).fit(*train)


def boosting_stopped(train: Rows, val: Rows, has_classes: bool, seed: int) -> Any:
    """As many trees as are best on the validation rows."""
    kind = HistGradientBoostingClassifier if has_classes else HistGradientBoostingRegressor
    model = kind(max_iter=MOST_TREES, early_stopping=True, random_state=seed)
    return model.fit(*train, X_val=val[0], y_val=val[1])


def forest(train: Rows, _val: Rows, has_classes: bool, seed: int) -> Any:
    """300 trees; each category is a column of its own."""
    kind = RandomForestClassifier if has_classes else RandomForestRegressor
    encoder = make_column_transformer(one_hot(), remainder="passthrough")
    return make_pipeline(encoder, kind(300, n_jobs=THREADS, random_state=seed)).fit(*train)


def linear(train: Rows, _val: Rows, has_classes: bool, _seed: int) -> Any:
    """On standardized numbers, and a column for each category."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encoder = make_column_transformer(one_hot(), (numbers, make_column_selector(dtype_include="number")))
    return make_pipeline(encoder, LogisticRegression(max_iter=5000) if has_classes else Ridge()).fit(*train)


def one_hot() -> tuple[OneHotEncoder, Any]:
    """A missing category is one more; one that the training rows do not have is none of them."""
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_include="category")


def lightgbm(train: Rows, val: Rows, has_classes: bool, seed: int) -> Any:
    """As shipped, with as many trees as are best on the validation rows."""
    package = import_module("lightgbm")
    kind = package.LGBMClassifier if has_classes else package.LGBMRegressor
    model = kind(n_estimators=MOST_TREES, n_jobs=THREADS, random_state=seed, verbose=-1)
    return model.fit(*train, eval_set=[val], callbacks=[package.early_stopping(PATIENCE, verbose=False)])


def realmlp(train: Rows, val: Rows, has_classes: bool, seed: int) -> Any:
    """RealMLP-TD (Holzmüller, Grinsztajn and Steinwart 2024) as shipped; it takes no missing numbers."""
    package = import_module("pytabkit")
    kind = package.RealMLP_TD_Classifier if has_classes else package.RealMLP_TD_Regressor
    imputer = make_column_transformer(
        (SimpleImputer(strategy="median", add_indicator=True), make_column_selector(dtype_include="number")),
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    x = imputer.fit_transform(train[0])
    model = kind(device="cpu", random_state=seed, n_threads=THREADS)
    model.fit(x, train[1], X_val=imputer.transform(val[0]), y_val=val[1])
    return Imputed(imputer, model)


class Imputed(NamedTuple):
    """A model behind an imputer that is fitted already."""

    imputer: Any
    model: Any

    def predict(self, x: pd.DataFrame) -> Any:
        return self.model.predict(self.imputer.transform(x))

    def predict_proba(self, x: pd.DataFrame) -> Any:
        return self.model.predict_proba(self.imputer.transform(x))


PEERS = {
    "hgb": Peer("HistGradientBoosting", boosting),
    "hgb_stopped": Peer("HistGradientBoosting, stopped on validation", boosting_stopped),
    "forest": Peer("random forest", forest),
    "linear": Peer("linear", linear),
    "lightgbm": Peer("LightGBM", lightgbm, "lightgbm", is_locked=False),
    "realmlp": Peer("RealMLP-TD", realmlp, "pytabkit", is_locked=False),
}


def save_rows(rows: Mapping[Any, Rows], folder: Path) -> None:
    """Writes the inputs and targets of each split for :func:`main`."""
    for name, (x, y) in rows.items():
        x.to_parquet(folder / f"x_{name}.parquet")
        np.save(folder / f"y_{name}.npy", y)


def main(name: str, folder: Path, seed: int) -> None:
    train, val, test = (
        (pd.read_parquet(folder / f"x_{split}.parquet"), np.load(folder / f"y_{split}.npy")) for split in SPLITS
    )
    has_classes = train[1].dtype == np.int64
    with warnings.catch_warnings(action="ignore"):  # of packages that are not ours
        started = perf_counter()
        model = PEERS[name].fit(train, val, has_classes, seed)
        prediction = model.predict_proba(test[0]) if has_classes else model.predict(test[0])
        seconds = perf_counter() - started
    np.save(folder / "prediction.npy", np.asarray(prediction, np.float64).reshape(len(test[1]), -1))
    said = {"seconds": seconds, "version": version(PEERS[name].package)}
    (folder / "peer.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
