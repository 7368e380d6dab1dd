import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.preprocessing import StandardScaler

from wellfit.data.catalog import CATALOG
from wellfit.data.encode import encode
from wellfit.data.fetch import FetchConfig, fetch
from wellfit.data.meta import SPLIT_NAMES, Meta
from wellfit.data.prepare import channel_statistics, column_quantiles, column_statistics, describe, prepare
from wellfit.data.readers.bundled import save_arrays
from wellfit.data.readers.columns import Columns
from wellfit.data.readers.csv_shape import Wanted
from wellfit.data.readers.tables import read_table
from wellfit.data.settings import DataConfig
from wellfit.data.sources import expand
from wellfit.data.store import Split, load_meta, load_split
from wellfit.errors import WellfitError

BUNDLED = ("digits", "wine", "breast_cancer", "diabetes", "moons", "regression")


@pytest.fixture
def run(data_config: Callable[..., Any], tmp_path: Path) -> Callable[..., tuple[Meta, dict[str, Split]]]:
    """Fetches (bundled sets only), prepares and loads a data set."""

    def run(name: str, **changes: Any) -> tuple[Meta, dict[str, Split]]:
        data = data_config(name, **changes)
        if name in BUNDLED:
            (tmp_path / "raw" / name).mkdir(parents=True, exist_ok=True)
            save_arrays(CATALOG[name].load(data), CATALOG[name], tmp_path / "raw" / name)
        meta = prepare(data, tmp_path / "raw", tmp_path / "processed")
        folder = tmp_path / "processed" / name
        assert load_meta(folder) == meta
        return meta, {split: load_split(folder, meta, split) for split in SPLIT_NAMES}

    return run


@pytest.mark.parametrize("name", BUNDLED)
def test_every_row_is_there_once_unchanged(name: str, run: Callable[..., Any], tmp_path: Path) -> None:
    meta, splits = run(name)
    x, y = (np.load(tmp_path / "raw" / name / f"{part}.npy") for part in ("x", "y"))
    ids = np.concatenate([split.ids for split in splits.values()])
    assert sorted(ids.tolist()) == list(range(len(x)))
    for split in splits.values():
        np.testing.assert_array_equal(split.x, x[split.ids].astype(split.x.dtype))
        np.testing.assert_array_equal(split.y, y[split.ids].astype(split.y.dtype))
        assert split.x.shape[1:] == meta.input_shape
    assert {split: len(rows.x) for split, rows in splits.items()} == meta.split_sizes
    assert meta.warnings == ()


def test_types_of_tables_and_images(run: Callable[..., Any]) -> None:
    for name, x_type, y_type in (
        ("digits", np.uint8, np.int64),
        ("wine", np.float32, np.int64),
        ("diabetes", np.float32, np.float32),
    ):
        _, splits = run(name)
        for split in splits.values():
            assert (split.x.dtype, split.y.dtype, split.ids.dtype) == (x_type, y_type, np.int64)


def test_statistics_are_those_of_the_train_split_alone(run: Callable[..., Any]) -> None:
    meta, splits = run("breast_cancer")
    scaler = StandardScaler().fit(splits["train"].x.astype(np.float64))
    np.testing.assert_allclose(meta.mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(meta.std, scaler.scale_, rtol=1e-9)
    assert meta.class_counts == tuple(np.bincount(splits["train"].y))
    assert (meta.target_mean, meta.target_std) == (None, None)


def test_statistics_of_a_target(run: Callable[..., Any]) -> None:
    meta, splits = run("diabetes")
    y = splits["train"].y.astype(np.float64)
    assert meta.target_mean == pytest.approx(y.mean(), rel=1e-12)
    assert meta.target_std == pytest.approx(y.std(), rel=1e-12)
    assert meta.class_counts == ()
    assert meta.class_names == ()


def test_statistics_of_a_transformed_target(run: Callable[..., Any]) -> None:
    meta, splits = run("diabetes", target_transform="log")
    y = splits["train"].y.astype(np.float64)
    assert meta.target_transform is not None
    logarithm = np.log1p(y / np.quantile(y, 0.05))
    assert meta.target_mean == pytest.approx(logarithm.mean())
    assert meta.target_std == pytest.approx(logarithm.std())
    assert y.max() > 300  # it is stored in its own unit
    assert describe(meta)[-1].startswith(
        "  to be predicted: disease_progression: numbers; data.target_transform log, skewness of the training targets "
    )
    assert run("diabetes")[0].sha256 != meta.sha256


def test_a_logarithm_of_negative_targets_is_refused(run: Callable[..., Any]) -> None:
    with pytest.raises(
        WellfitError,
        match=r"^data\.name regression row \d+, column '.*': data\.target_transform log needs targets >= 0, got -",
    ):
        run("regression", target_transform="log")
    assert run("regression", target_transform="auto")[0].target_note.startswith("auto: none")


def test_statistics_of_images(run: Callable[..., Any]) -> None:
    meta, splits = run("digits")
    x = splits["train"].x.astype(np.float64)
    np.testing.assert_allclose(meta.mean, [x.mean()], rtol=1e-12)
    np.testing.assert_allclose(meta.std, [x.std()], rtol=1e-12)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))))
@settings(deadline=None)
def test_channel_statistics_against_numpy(images: np.ndarray) -> None:
    mean, std = channel_statistics(images)
    floats = images.astype(np.float64)
    expected = floats.std(axis=(0, 2, 3))
    np.testing.assert_allclose(mean, floats.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, np.where(np.ptp(images, axis=(0, 2, 3)) == 0, 1.0, expected), rtol=1e-9)


def test_channel_statistics_do_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 2, 3, 3), dtype=np.uint8)
    whole = channel_statistics(images)
    monkeypatch.setattr("wellfit.data.scratch.BLOCK_BYTES", 7 * images[0].nbytes)
    assert channel_statistics(images) == whole


def test_column_statistics_do_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(0).normal(1e3, size=(1000, 3)).astype(np.float32)
    whole = column_statistics(table), column_quantiles(table)
    monkeypatch.setattr("wellfit.data.scratch.BLOCK_BYTES", 100)
    monkeypatch.setattr("wellfit.data.scratch.GROUP_BYTES", 5000)
    assert (column_statistics(table), column_quantiles(table)) == whole
    assert whole[0].std == tuple(table.std(axis=0, dtype=np.float64))


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(1, 3)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
@settings(deadline=None)
def test_column_statistics_against_numpy(values: np.ndarray) -> None:
    mean, std = column_statistics(values)
    floats = values.astype(np.float64)
    np.testing.assert_allclose(mean, floats.mean(axis=0), rtol=1e-12, atol=1e-300)
    expected = np.where(np.ptp(values, axis=0) == 0, 1.0, floats.std(axis=0))
    np.testing.assert_allclose(std, expected, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30])
def test_a_constant_column_has_deviation_one(value: float) -> None:
    assert column_statistics(np.full((1001, 1), value, dtype=np.float32)).std == (1.0,)


def test_large_means_do_not_drown_the_deviation() -> None:
    values = (1e6 + np.random.default_rng(0).normal(size=(20_000, 1))).astype(np.float32)
    assert column_statistics(values).std[0] == pytest.approx(values.astype(np.float64).std(), rel=1e-9)


def test_a_publishers_split_with_twins(
    published: Any, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any], tmp_path: Path
) -> None:
    train, _, test, _ = published.parts
    train[[3, 5]] = test[0]
    train[7] = train[8]
    published.register(monkeypatch)
    published.write_raw(tmp_path / "raw" / "fashion_mnist")
    meta, splits = run("fashion_mnist", val_fraction=0.25)
    np.testing.assert_array_equal(splits["test"].x[:, 0], test)
    assert splits["test"].ids.tolist() == list(range(40, 50))
    ids = [set(splits[name].ids.tolist()) for name in ("train", "val")]
    assert ids[0] | ids[1] == set(range(40)) - {3, 5}
    assert any({7, 8} <= part for part in ids)
    assert meta.warnings == (
        "2 rows equal a row of a later split (train, val, test) and are left out",
        "1 rows equal an earlier row; each stands in the same split as the first of its kind",
    )
    assert meta.class_names == ("even", "odd")


def test_the_same_params_give_the_same_bytes(run: Callable[..., Any], tmp_path: Path) -> None:
    def processed() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "processed" / "moons").iterdir()}

    meta, _ = run("moons")
    first = processed()
    run("moons")
    assert processed() == first
    assert run("moons", seed=1)[0].sha256 != meta.sha256


def test_a_failure_leaves_the_old_result(
    run: Callable[..., Any], data_config: Callable[..., Any], tmp_path: Path
) -> None:
    meta, _ = run("wine")
    path = tmp_path / "raw" / "wine" / "x.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WellfitError, match=r"x\.npy is damaged"):
        prepare(data_config("wine", seed=1), tmp_path / "raw", tmp_path / "processed")
    assert load_meta(tmp_path / "processed" / "wine") == meta
    assert [entry.name for entry in (tmp_path / "processed").iterdir()] == ["wine"]


def test_maps_that_are_open_do_not_change_when_the_folder_is_replaced(run: Callable[..., Any]) -> None:
    _, before = run("moons")
    values = np.array(before["train"].x)
    run("moons", seed=1)
    np.testing.assert_array_equal(before["train"].x, values)


def test_missing_raw_data_say_which_stage_makes_them(data_config: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("wine", "fashion_mnist"):
        with pytest.raises(WellfitError, match=f"raw/{name}/.* not found; `dvc repro fetch` makes it"):
            prepare(data_config(name), tmp_path / "raw", tmp_path / "processed")
    assert not (tmp_path / "processed").exists()


def in_a_process(code: str, data: DataConfig, folder: Path, **environment: str) -> str:
    """Runs code that finds ``data`` and ``raw`` and ``processed`` folders ready; gives what it prints."""
    begin = (
        "import json, sys; from pathlib import Path; from wellfit.data.settings import DataConfig;"
        "from wellfit.data.fetch import FetchConfig;"
        "data = DataConfig.model_validate_json(sys.argv[1]);"
        "raw, processed = Path(sys.argv[2]) / 'raw', Path(sys.argv[2]) / 'processed';"
    )
    command = [sys.executable, "-c", begin + code, data.model_dump_json(), str(folder)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_preprocess_imports_only_what_it_uses_and_does_not_depend_on_the_hash_seed(
    data_config: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    meta, _ = run("wine")
    code = (
        "from wellfit.data.prepare import prepare; print(prepare(data, raw, processed).sha256,"
        "*{'requests', 'torch', 'mlflow', 'tqdm'} & set(sys.modules))"
    )
    assert in_a_process(code, data_config("wine"), tmp_path, PYTHONHASHSEED="1") == meta.sha256


def test_fetch_imports_only_what_it_uses(data_config: Callable[..., Any], tmp_path: Path) -> None:
    code = (
        "from wellfit.data.fetch import fetch; fetch(data, FetchConfig(timeout=1.0, retries=0), raw);"
        "print(*{'requests', 'torch', 'mlflow', 'wellfit.data.prepare'} & set(sys.modules))"
    )
    assert in_a_process(code, data_config("moons"), tmp_path) == ""


@pytest.mark.real_data
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
def test_fashion_mnist_in_ten_seconds_and_a_gibibyte(data_config: Callable[..., Any], tmp_path: Path) -> None:
    data = data_config("fashion_mnist")
    fetch(data, FetchConfig(timeout=30.0, retries=3), tmp_path / "raw")
    code = (
        "import re, time; from wellfit.data.prepare import prepare; prepare(data, raw, processed);"
        # Not ru_maxrss, which holds what the tests' own process had before it became this one.
        "peak = re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text());"
        "print(json.dumps([time.process_time(), int(peak[1]) / 1024]))"
    )
    cpu_seconds, peak_mib = json.loads(in_a_process(code, data, tmp_path))
    assert cpu_seconds < 10
    assert peak_mib < 1024
    folder = tmp_path / "processed" / "fashion_mnist"
    meta = load_meta(folder)
    assert meta.split_sizes == {"train": 48_000, "val": 12_000, "test": 10_000}
    assert meta.class_counts == (4800,) * 10
    assert meta.mean[0] / 255 == pytest.approx(0.2860, abs=2e-3)
    assert meta.std[0] / 255 == pytest.approx(0.3530, abs=2e-3)
    val = load_split(folder, meta, "val")
    assert np.bincount(val.y).tolist() == [1200] * 10
    assert val.x.shape == (12_000, 1, 28, 28)


def test_a_split_whose_rows_all_weigh_nothing_is_refused(data_config: Callable[..., Any], tmp_path: Path) -> None:
    rows = [f"{i * i % 97},{i * i % 89}.5,{i},{int(i < 80)}" for i in range(100)]
    (tmp_path / "own.csv").write_text("\n".join(["a,y,t,w", *rows]))
    data = data_config("csv", path=str(tmp_path / "own.csv"), target="y", time="t", weight="w")
    with pytest.raises(WellfitError, match=r"data\.weight w: all 20 rows of the test split weigh 0"):
        prepare(data, tmp_path / "raw", tmp_path / "processed")
    assert list((tmp_path / "processed").iterdir()) == []


def test_new_rows_come_out_as_those_of_the_file_did(
    data_config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    header = "when,income,share,member,note,a,y\n"
    words = ["Yes", "no", "YES"]
    lines = [
        f'{i % 28 + 1}/{i % 12 + 1}/2024 8:{i % 60:02},"${i * 100 + 1000:,}.50",{i % 40}%,{words[i % 3]},word{i} house,'
        f"{i * i % 11},{i % 2}\n"
        for i in range(120)
    ]
    Path("t.csv").write_text(header + "".join(lines))
    data = data_config("csv", path="t.csv", target="y", text="hash", max_categories=20)
    meta = prepare(data, tmp_path / "raw", tmp_path / "processed")
    split = load_split(tmp_path / "processed" / "csv", meta, "test")

    Path("new.csv").write_text(header + "".join(lines[i] for i in split.ids))
    again = Meta.from_json(meta.to_json())
    new = Columns(read_table(Path("new.csv"), "csv", Wanted()).table, data.missing, Path("new.csv"), 2)
    cells = pd.DataFrame({source.name: new.read(source) for source in again.sources})
    table, unread = expand(again.sources, cells)
    np.testing.assert_array_equal(encode(again.columns, table), split.x)
    assert unread == []
    expected = (
        "  when: dates ('1/1/2024 8:00' is 2024-01-01 08:00:00), as %d/%m/%Y %H:%M; inputs: month, weekday, days",
        "  income: numbers ('$1,000.50' is 1000.5), median ",
        "  share: numbers (",
        "  member: 2 categories ('YES' is 'Yes'), Yes, no",
        "  note: text; inputs: counts of words in 16 columns",
        "  a: numbers, median ",
        "  to be predicted: y: 2 classes, 0, 1",
    )
    lines_of_columns = describe(meta)
    assert len(lines_of_columns) == len(expected)
    assert all(line.startswith(begin) for line, begin in zip(lines_of_columns, expected, strict=True))


@pytest.fixture
def prepare_csv(
    data_config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Meta]:
    """Prepares the lines of a CSV file, ``t.csv``, whose column ``y`` is to be predicted."""
    monkeypatch.chdir(tmp_path)

    def run(lines: list[str], **changes: Any) -> Meta:
        Path("t.csv").write_text("\n".join(lines))
        data = data_config("csv", path="t.csv", target="y", **changes)
        return prepare(data, tmp_path / "raw", tmp_path / "processed")

    return run


def test_a_date_that_is_none_is_refused_in_whatever_split_it_is(prepare_csv: Callable[..., Meta]) -> None:
    rows = [f"2024-{i % 12 + 1:02}-{i % 28 + 1:02},{i},{i % 2}" for i in range(100)]
    for row in (0, 99):
        cells = [*rows[:row], f"soon,{row},1", *rows[row + 1 :]]
        with pytest.raises(
            WellfitError, match=rf"t\.csv row {row + 2}, column 'when': 'soon' is not a date such as '20"
        ):
            prepare_csv(["when,n,y", *cells], time="n")


def test_columns_that_are_left_out_are_known(prepare_csv: Callable[..., Meta]) -> None:
    rows = [f"{i},name {i},2024-05-31,{i % 7},{i % 2}" for i in range(50)]
    assert prepare_csv(["id,who,when,a,y", *rows]).left_out == ("id", "who", "when")


def test_a_column_that_is_the_same_in_all_training_rows_is_left_out(
    prepare_csv: Callable[..., Meta], tmp_path: Path
) -> None:
    rows = [f"{i * i % 97}.{i},0,{int(i > 70) * i},{i},{i % 2}" for i in range(100)]
    meta = prepare_csv(["a,zero,later,n,y", *rows], time="n")
    assert meta.warnings == (
        "column 'zero' is 0 in every row and is left out",
        "column 'later' is 0 in all training rows and is left out",
    )
    assert ([column.name for column in meta.columns], meta.left_out) == (["a"], ("zero", "later"))
    assert load_split(tmp_path / "processed" / "csv", meta, "test").x.shape == (20, 1)


def test_a_cell_far_outside_the_training_rows_is_named_with_its_row_in_the_file(
    prepare_csv: Callable[..., Meta],
) -> None:
    rows = [f"{2007 + i % 11},{i},{i % 2}" for i in range(100)]
    rows[70] = "0,70,0"
    assert prepare_csv(["year,n,y", *rows], time="n").warnings[-1] == (
        "column 'year': 0 in t.csv row 72 (val) lies far outside the training rows (2007 to 2017); if that is a "
        "mistake, mend the cell"
    )


def test_the_flag_of_a_rare_gap_is_not_divided_by_next_to_nothing(prepare_csv: Callable[..., Meta]) -> None:
    rows = [f"{i % 7 if i != 5 else ''},{i % 7 if i % 3 else ''},{i},{i % 2}" for i in range(1000)]
    meta = prepare_csv(["rare,common,n,y", *rows], time="n")
    assert [column.flags_missing for column in meta.columns] == [True, True]
    assert meta.std[2:] == pytest.approx([0.1, np.sqrt(2) / 3], abs=1e-3)


def test_what_tells_the_target_of_an_own_table_is_named(data_config: Callable[..., Any], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    casual, registered = random.poisson(30, 100), random.poisson(150, 100)
    lines = [f"{a},{b},{i * i % 24},{a + b}.5" for i, (a, b) in enumerate(zip(casual, registered, strict=True))]
    (tmp_path / "own.csv").write_text("\n".join(["casual,registered,hr,cnt", *lines]))
    data = data_config("csv", path=str(tmp_path / "own.csv"), target="cnt")
    meta = prepare(data, tmp_path / "raw", tmp_path / "processed")
    (leak,) = meta.leakage
    assert (leak.kind, leak.columns, leak.weights, leak.score) == ("sum", ("casual", "registered"), (1, 1), 1)
    assert meta.warnings[-1] == (
        "the target 'cnt' is 1 x 'casual' + 1 x 'registered', up to a constant (R² 1.000 in 3 folds of training rows); "
        "if they are known only after the target, list them in data.drop"
    )
    assert load_meta(tmp_path / "processed" / "csv") == meta
    without = prepare(
        data.model_copy(update={"drop": ("casual", "registered")}), tmp_path / "raw", tmp_path / "processed"
    )
    assert without.leakage == ()


def test_data_that_are_known_by_name_have_no_leakage(run: Callable[..., Any]) -> None:
    assert run("regression", noise=0.0)[0].leakage == ()
