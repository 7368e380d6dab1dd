"""The files of publishers; in the form of the real ones, and the real ones."""

import hashlib
import io
import os
import pickle
import re
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from wellfit.data.catalog import CATALOG
from wellfit.data.prepare import read_raw
from wellfit.data.raw import RawFile
from wellfit.data.readers.published import ADULT_COLUMNS, read_adult, read_california, read_idx
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

Config = Callable[..., DataConfig]
ADULT_ROW = "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Own-child, White, Male, 2174, 0, 40, "


@pytest.fixture
def mirror() -> Path:
    return Path(os.environ["WELLFIT_MIRROR"])


def test_adult_in_small(data_config: Config, tmp_path: Path) -> None:
    (tmp_path / "adult.data").write_text(f"{ADULT_ROW}United-States, <=50K\n{ADULT_ROW}?, >50K\n\n")
    (tmp_path / "adult.test").write_text(f"|1x3 Cross validator\n{ADULT_ROW}Cuba, >50K.\n\n")
    raw = read_adult(CATALOG["adult"], tmp_path, data_config("adult"))
    assert list(raw.x) == list(ADULT_COLUMNS)
    assert raw.y.tolist() == [0, 1, 1]
    assert raw.class_names == ("<=50K", ">50K")
    assert raw.splits is not None
    assert raw.splits.tolist() == ["train", "train", "test"]
    assert raw.x["native-country"].astype(object).tolist()[::2] == ["United-States", "Cuba"]
    assert raw.x["native-country"].isna().tolist() == [False, True, False]
    assert raw.x["age"].tolist() == [39.0] * 3


@pytest.mark.real_data
def test_adult(data_config: Config, mirror: Path) -> None:
    raw = read_adult(CATALOG["adult"], mirror / "adult", data_config("adult"))
    assert raw.splits is not None
    assert [int((raw.splits == name).sum()) for name in ("train", "test")] == [32_561, 16_281]
    # What adult.names says: 24.78 % of the rows without missing values earn more; 2,399 and 1,221 rows have some.
    gaps = raw.x.isna().any(axis=1).to_numpy()
    assert [int(gaps[raw.splits == name].sum()) for name in ("train", "test")] == [2_399, 1_221]
    assert raw.y[~gaps].mean() == pytest.approx(0.2478, abs=5e-5)
    assert raw.x.select_dtypes("number").shape[1] == 6


def test_california_in_small(data_config: Config, tmp_path: Path) -> None:
    (tmp_path / "cal_housing.data").write_text("-122.23,37.88,41.0,880.0,129.0,322.0,126.0,8.3252,452600.0\n")
    raw = read_california(CATALOG["california_housing"], tmp_path, data_config("california_housing"))
    # The first row of sklearn.datasets.fetch_california_housing, as its documentation shows it.
    expected = [8.3252, 41.0, 6.98412698, 1.02380952, 322.0, 2.55555556, 37.88, -122.23]
    np.testing.assert_allclose(raw.x.to_numpy()[0], expected, rtol=1e-8)
    assert raw.y.tolist() == pytest.approx([4.526])


@pytest.mark.real_data
def test_california(data_config: Config, mirror: Path) -> None:
    raw = read_california(
        CATALOG["california_housing"], mirror / "california_housing", data_config("california_housing")
    )
    assert raw.x.shape == (20_640, 8)
    assert (raw.y.min(), raw.y.max()) == (pytest.approx(0.14999), pytest.approx(5.00001))
    assert not raw.x.isna().any(axis=None)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
WHOLE = idx(IMAGES)


def test_idx_images_and_labels(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(WHOLE)
    (tmp_path / "labels").write_bytes(idx(IMAGES[0, 0]))
    np.testing.assert_array_equal(read_idx(tmp_path / "images", axes=3), IMAGES)
    np.testing.assert_array_equal(read_idx(tmp_path / "labels", axes=1), IMAGES[0, 0])


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "0 bytes are too few"),
        (WHOLE[:3], "3 bytes are too few"),
        (WHOLE[:9], "9 bytes do not fit the shape"),
        (WHOLE[:-1], re.escape("39 bytes do not fit the shape (2, 3, 4)")),
        (WHOLE + b"x", "41 bytes do not fit the shape"),
        (b"\x01" + WHOLE[1:], "must begin with 00000803, got 01000803"),
        (WHOLE[:2] + b"\x0d" + WHOLE[3:], "got 00000d03"),
        (idx(IMAGES[0]), "got 00000802"),
        (WHOLE[:4] + b"\xff" * 12 + WHOLE[16:], re.escape("shape (4294967295, 4294967295, 4294967295)")),
        (b"\x1f\x8b\x08\x00" + WHOLE[4:], "got 1f8b0800"),
    ],
)
def test_a_damaged_idx_file_is_one_line(body: bytes, fault: str, tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(body)
    with pytest.raises(WellfitError, match=fault) as raised:
        read_idx(tmp_path / "images", axes=3)
    assert str(tmp_path / "images") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_published_set_keeps_the_order_of_its_rows(published: Any, tmp_path: Path, data_config: Config) -> None:
    published.write_raw(tmp_path)
    raw = read_raw(data_config("fashion_mnist"), tmp_path)
    np.testing.assert_array_equal(raw.x[:, 0], np.concatenate([published.parts[0], published.parts[2]]))
    np.testing.assert_array_equal(raw.y, np.concatenate([published.parts[1], published.parts[3]]))
    assert (raw.x.dtype, raw.y.dtype) == (np.uint8, np.int64)
    assert raw.splits is not None
    assert raw.splits.tolist() == ["train"] * 40 + ["test"] * 10
    assert raw.class_names == ("even", "odd")


@pytest.mark.parametrize("part", range(4))
def test_a_flipped_bit_in_a_published_file(part: int, published: Any, tmp_path: Path, data_config: Config) -> None:
    published.write_raw(tmp_path)
    path = tmp_path / list(published.contents)[part]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WellfitError, match=f"{path.name} is damaged .*`dvc repro --force fetch`"):
        read_raw(data_config("fashion_mnist"), tmp_path)


@pytest.mark.parametrize(
    ("part", "change", "fault"),
    [
        (1, lambda labels: labels[:-1], re.escape("train images (40, 2, 2) and labels (39,) do not fit")),
        (3, lambda labels: labels[:-1], re.escape("t10k images (10, 2, 2) and labels (9,) do not fit")),
        (2, lambda images: images[:, :, :1], re.escape("t10k images (10, 2, 1)")),
        (3, lambda labels: labels + 1, "row 41: class must be 0 to 1, got 2"),
    ],
)
def test_published_files_that_contradict_each_other(
    part: int,
    change: Callable[..., Any],
    fault: str,
    published: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    data_config: Config,
) -> None:
    published.parts[part] = change(published.parts[part]).copy()
    published.register(monkeypatch)
    published.write_raw(tmp_path)
    with pytest.raises(WellfitError, match=fault):
        read_raw(data_config("fashion_mnist"), tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_digits_and_clothes_as_two_classes(
    name: str, published: Any, monkeypatch: pytest.MonkeyPatch, data_config: Config, tmp_path: Path
) -> None:
    published.parts[1], published.parts[3] = (
        part % 10 for part in (np.arange(40, dtype=np.uint8), np.arange(10, dtype=np.uint8))
    )
    monkeypatch.setitem(CATALOG, name, published.entry._replace(class_names=tuple("0123456789")))
    published.write_raw(tmp_path)
    ten = read_raw(data_config(name), tmp_path)
    two = read_raw(data_config(name, task="binary"), tmp_path)
    assert ten.y.tolist() == [*range(10)] * 5
    assert two.y.tolist() == ([0] * 5 + [1] * 5) * 5
    assert two.class_names == ("0 to 4", "5 to 9")


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The six files with 7 rows each instead of 10,000, under the name cifar10."""
    (package,) = CATALOG["cifar10"].packages
    rng = np.random.default_rng(0)
    bodies = {file.name: cifar_batch(rng).tobytes() for file in package.files}
    register_cifar(monkeypatch, bodies)
    return bodies


def cifar_batch(rng: np.random.Generator, n_rows: int = 7) -> np.ndarray:
    return np.c_[rng.integers(0, 10, n_rows), rng.integers(0, 256, (n_rows, 3072))].astype(np.uint8)


def register_cifar(monkeypatch: pytest.MonkeyPatch, bodies: dict[str, bytes], *addresses: str) -> None:
    entry = CATALOG["cifar10"]
    files = tuple(RawFile(name, len(body), hashlib.sha256(body).hexdigest()) for name, body in bodies.items())
    package = entry.packages[0]._replace(files=files, addresses=addresses)
    monkeypatch.setitem(CATALOG, "cifar10", entry._replace(packages=(package,)))


def write_files(folder: Path, bodies: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    return folder


def test_cifar10_is_read_as_torchvision_reads_the_python_version(
    cifar: dict[str, bytes], data_config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raw = read_raw(data_config("cifar10"), write_files(tmp_path / "raw", cifar))
    pickled = tmp_path / CIFAR10.base_folder
    pickled.mkdir()
    for name, body in cifar.items():
        rows = np.frombuffer(body, np.uint8).reshape(-1, 3073)
        batch = {"labels": rows[:, 0].tolist(), "data": rows[:, 1:]}
        (pickled / name.removesuffix(".bin")).write_bytes(pickle.dumps(batch))
    (pickled / "batches.meta").write_bytes(pickle.dumps({"label_names": list(raw.class_names)}))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    train, test = (CIFAR10(str(tmp_path), train=part) for part in (True, False))
    np.testing.assert_array_equal(raw.x, np.concatenate([train.data, test.data]).transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(raw.y, train.targets + test.targets)
    assert raw.splits is not None
    assert raw.splits.tolist() == ["train"] * 35 + ["test"] * 7
    assert (raw.x.dtype, raw.y.dtype) == (np.uint8, np.int64)
    assert raw.class_names[::9] == ("airplane", "truck")


def test_cifar10_comes_out_of_its_archive(
    cifar: dict[str, bytes],
    data_config: Config,
    get: Callable[..., Path],
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, body in {**cifar, "batches.meta.txt": b"airplane\n", "readme.html": b"hello"}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    server.answers["/kriz/cifar"] = [server.content(stream.getvalue())]
    register_cifar(monkeypatch, cifar, f"{server.url}/kriz/cifar")
    folder = get("cifar10")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == cifar
    raw = read_raw(data_config("cifar10"), folder)
    assert b"".join(x.tobytes() for x in raw.x) == b"".join(
        body[start + 1 : start + 3073] for body in cifar.values() for start in range(0, len(body), 3073)
    )


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda body: body[:-1], "21510 bytes are no whole rows of 3073"),
        (lambda body: body + b"x", "21512 bytes are no whole rows of 3073"),
        (lambda body: b"", "0 bytes are no whole rows"),
        (lambda body: b"\x0a" + body[1:], "row 35: class must be 0 to 9, got 10"),
    ],
)
def test_rows_of_cifar10_that_are_none(
    damage: Callable[[bytes], bytes],
    fault: str,
    cifar: dict[str, bytes],
    data_config: Config,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    cifar["test_batch.bin"] = damage(cifar["test_batch.bin"])
    folder = write_files(tmp_path / "raw", cifar)
    with pytest.raises(WellfitError, match=r"test_batch\.bin is damaged \(its digest"):
        read_raw(data_config("cifar10"), folder)
    register_cifar(monkeypatch, cifar)
    with pytest.raises(WellfitError, match=fault) as raised:
        read_raw(data_config("cifar10"), folder)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("`dvc repro --force fetch` gets it anew")
