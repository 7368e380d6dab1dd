"""Data that take more memory than ``data.memory`` are prepared on disk, and become the same bytes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import csv as arrow_csv

from wellfit.data.prepare import prepare
from wellfit.data.readers import disk_table
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

from ..conftest import peak

ROWS = 400


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wellfit.data.scratch.GIB", 1000)
    monkeypatch.setattr("wellfit.data.scratch.BLOCK_BYTES", 6000)
    monkeypatch.setattr("wellfit.data.scratch.GROUP_BYTES", 6000)
    monkeypatch.setattr("wellfit.data.frame.BLOCK_BYTES", 6000)
    monkeypatch.setattr("wellfit.data.readers.csv_files.PART_BYTES", 12_000)
    monkeypatch.setattr("wellfit.data.readers.parquet_files.PART_ROWS", 150)


def table() -> pd.DataFrame:
    """All that a table may hold: numbers with gaps and outliers, categories, dates, text, a constant, ids."""
    random, i = np.random.default_rng(0), np.arange(ROWS)
    numbers = random.normal(5, 2, (ROWS, 4)).round(3)
    numbers[7, 0] = 1e6
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 300, ROWS), "D")
    made = pd.DataFrame(numbers, columns=["a", "b", "c", "d"])
    made["gaps"] = np.where(i % 6, numbers[:, 1], np.nan)
    made["colour"] = np.array(["red", "green", "blue", "Blue"])[random.integers(0, 4, ROWS)]
    made["when"] = when.strftime("%d.%m.%Y")
    made["note"] = [f"word{random.integers(0, 99)} house {number}" for number in i]
    made["late"] = numbers[:, 3] + random.normal(size=ROWS).round(3)
    made["same"] = 3
    made["id"] = [f"n{number}" for number in i]
    made["w"] = random.integers(0, 3, ROWS)
    made["group"] = random.integers(0, 60, ROWS)
    made["y"] = np.where(numbers[:, 2] + random.normal(size=ROWS) > 5, "yes", "no")
    made["z"] = np.exp(numbers[:, 3])
    made.iloc[300:330] = made.iloc[10:40]
    return made


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


CHANGES: list[dict[str, Any]] = [
    {"target": "y", "drop": ["z", "w", "group"], "id": "id", "text": "hash", "max_categories": 20},
    {"target": "z", "drop": ["y", "group", "note", "when"], "weight": "w", "target_transform": "auto", "folds": 3},
    {"target": "y", "drop": ["z", "w", "note", "when"], "group": "group", "folds": 2},
    {"target": "z", "drop": ["y", "w", "group", "note", "colour"], "time": "when"},
]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [*(("csv", each) for each in CHANGES), ("parquet", CHANGES[0])],
    ids=["classes", "numbers", "groups", "times", "parquet"],
)
def test_a_table_becomes_the_same_bytes(
    kind: str, changes: dict[str, Any], data_config: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    spilled: list[str] = []
    on_disk = disk_table.Parts._write
    monkeypatch.setattr(disk_table.Parts, "_write", lambda *args: (spilled.append("part"), on_disk(*args))[1])
    made = table().astype({"colour": "category"})
    made.to_csv("t.csv", index=False) if kind == "csv" else made.to_parquet("t.parquet", index=False)
    data = data_config(kind, path=f"t.{kind}", **changes)
    results = []
    for memory in (1e6, 0.001):  # all of it in memory, nothing
        out = Path(f"processed{memory}")
        meta = prepare(data.model_copy(update={"memory": memory}), Path("raw"), out)
        assert bool(spilled) == (memory < 1e6)
        results.append((meta, files_of(out / kind)))
    assert results[0] == results[1]
    assert not list(Path(".wellfit").iterdir())


def test_a_bad_cell_far_down_is_named_with_its_row(data_config: Callable[..., DataConfig]) -> None:
    made = table()
    made["d"] = made["d"].astype(str)
    made.loc[377, "d"] = "1,,2"
    made.to_csv("t.csv", index=False)
    data = data_config("csv", path="t.csv", target="y", drop=["z", "w", "group", "note", "when", "colour"])
    said = []
    for memory in (1e6, 0.001):
        with pytest.raises(WellfitError, match=r"t\.csv row 379, column 'd': '1,,2' is not a number") as error:
            prepare(data.model_copy(update={"memory": memory}), Path("raw"), Path("processed"))
        said.append(str(error.value))
    assert said[0] == said[1]
    assert not Path("processed").exists()
    assert not list(Path(".wellfit").iterdir())


def test_images_become_the_same_bytes(data_config: Callable[..., DataConfig]) -> None:
    random = np.random.default_rng(0)
    for split, classes in {"train": ("cat", "dog"), "test": ("",)}.items():
        for name in classes:
            folder = Path("pictures", split, name)
            folder.mkdir(parents=True)
            for number in range(20):
                Image.fromarray(random.integers(0, 256, (9, 8, 3), np.uint8)).save(folder / f"{number}.png")
    Path("pictures", "train", "cat", "3.png").write_bytes(b"none")
    data = data_config("images", path="pictures", image_size=[6, 7], bad_files="skip")
    results = []
    for memory in (1e6, 0.001):
        out = Path(f"processed{memory}")
        meta = prepare(data.model_copy(update={"memory": memory}), Path("raw"), out)
        assert Path(".wellfit").exists() == (memory < 1)
        results.append((meta, files_of(out / "images")))
    assert results[0] == results[1]
    assert {"x_unlabelled.npy", "bad_files.csv"} <= results[0][1].keys()


PREPARE = """
import json, sys
from pathlib import Path
from wellfit.data.prepare import prepare
from wellfit.data.settings import DataConfig
prepare(DataConfig.model_validate(json.loads(sys.argv[1])), Path("raw"), Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_that_memory_does_not_hold(kind: str, data_config: Callable[..., DataConfig]) -> None:
    """400,000 rows of 100 columns are 320 MB as they are read, and 160 MB as they are stored."""
    random = np.random.default_rng(0)
    whole = random.normal(size=(400_000, 100)).astype(np.float32)
    made = pd.DataFrame(whole, columns=[f"c{i}" for i in range(100)]).round(4)
    made["y"] = made["c0"] + random.normal(size=len(made)).round(3)
    if kind == "csv":
        arrow_csv.write_csv(pa.Table.from_pandas(made, preserve_index=False), "t.csv")
    else:
        made.to_parquet("t.parquet", index=False)
    del made, whole
    data = data_config(kind, path=f"t.{kind}", target="y")

    peaks = [
        peak(PREPARE, json.dumps(data.model_dump(mode="json") | {"memory": memory}), f"processed{memory:g}")
        for memory in (0.02, 100.0)
    ]
    assert peaks[0] < 0.7 * peaks[1]
    assert files_of(Path(f"processed0.02/{kind}")) == files_of(Path(f"processed100/{kind}"))
