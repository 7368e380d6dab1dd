import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_diabetes

from wellfit.data.bundled import save_bundled
from wellfit.data.catalog import CATALOG
from wellfit.data.config import DataConfig
from wellfit.data.readers import read_idx, read_raw
from wellfit.data.store import file_sha256
from wellfit.errors import WellfitError

Config = Callable[..., DataConfig]


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


def rewrite(folder: Path, **arrays: np.ndarray) -> None:
    """Puts other arrays into a bundled set, with hashes that fit."""
    names = json.loads((folder / "names.json").read_text())
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        names["sha256"][f"{name}.npy"] = file_sha256(folder / f"{name}.npy")
    (folder / "names.json").write_text(json.dumps(names))


@pytest.fixture
def diabetes(data_config: Config, tmp_path: Path) -> Path:
    save_bundled(data_config("diabetes"), tmp_path)
    return tmp_path


def test_a_table_is_a_frame_in_raw_units(diabetes: Path, data_config: Config) -> None:
    raw = read_raw(data_config("diabetes"), diabetes)
    assert raw.y.dtype == np.float32
    np.testing.assert_allclose(raw.x, np.load(diabetes / "x.npy"), rtol=1e-6)
    assert raw.x.columns.tolist() == load_diabetes().feature_names
    assert raw.target_name == "disease_progression"
    assert raw.splits is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_a_feature_that_is_not_finite_is_named(value: float, diabetes: Path, data_config: Config) -> None:
    x = np.load(diabetes / "x.npy")
    x[17, 2] = value
    rewrite(diabetes, x=x)
    with pytest.raises(
        WellfitError,
        match=r"x\.npy row 17, bmi: must be a finite float32 number, got " + f"{value:g}".replace("+", r"\+"),
    ):
        read_raw(data_config("diabetes"), diabetes)


def test_a_target_that_is_not_finite_is_named(diabetes: Path, data_config: Config) -> None:
    y = np.load(diabetes / "y.npy")
    y[3] = np.nan
    rewrite(diabetes, y=y)
    with pytest.raises(WellfitError, match=r"y\.npy row 3, disease_progression: must be a finite"):
        read_raw(data_config("diabetes"), diabetes)


def test_arrays_that_do_not_fit_together(diabetes: Path, data_config: Config) -> None:
    x = np.load(diabetes / "x.npy")
    rewrite(diabetes, x=x[:-1])
    with pytest.raises(WellfitError, match=re.escape("x.npy (441, 10) and y.npy (442,) do not fit together")):
        read_raw(data_config("diabetes"), diabetes)
    rewrite(diabetes, x=x[:, :-1])
    with pytest.raises(WellfitError, match=re.escape("x.npy has 9 columns, names.json 10 names")):
        read_raw(data_config("diabetes"), diabetes)


@pytest.mark.parametrize("file", ["x.npy", "y.npy", "names.json"])
def test_a_missing_file_says_which_stage_makes_it(file: str, diabetes: Path, data_config: Config) -> None:
    (diabetes / file).unlink()
    with pytest.raises(WellfitError, match=f"{file} not found; `dvc repro fetch` makes it"):
        read_raw(data_config("diabetes"), diabetes)


@pytest.mark.parametrize("file", ["x.npy", "y.npy", "names.json"])
@pytest.mark.parametrize("cut", [0, 50])
def test_a_truncated_file_is_damaged(file: str, cut: int, diabetes: Path, data_config: Config) -> None:
    path = diabetes / file
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(WellfitError, match=f"{file} is damaged"):
        read_raw(data_config("diabetes"), diabetes)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"feature_names": [], "class_names": [], "target_name": "t", "sha256": 1}']
)
def test_names_of_another_shape(text: str, diabetes: Path, data_config: Config) -> None:
    (diabetes / "names.json").write_text(text)
    with pytest.raises(WellfitError, match=r"names\.json is damaged"):
        read_raw(data_config("diabetes"), diabetes)


def test_pickled_arrays_are_not_loaded(diabetes: Path, data_config: Config) -> None:
    rewrite(diabetes, y=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_raw(data_config("diabetes"), diabetes)


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


def test_an_own_folder_of_images(data_config: Config, tmp_path: Path) -> None:
    for split, name, value in (("train", "cat", 10), ("train", "dog", 20), ("test", "dog", 30), ("test", "cat", 40)):
        (tmp_path / split / name).mkdir(parents=True)
        Image.new("L", (6, 4), value).save(tmp_path / split / name / "a.png")
    raw = read_raw(data_config("images", path=str(tmp_path), image_size=[2, 3]), tmp_path / "unused")
    assert raw.x.shape == (4, 1, 2, 3)
    assert raw.x[:, 0, 0, 0].tolist() == [10, 20, 40, 30]
    assert raw.ids is not None
    assert raw.ids.tolist() == ["train/cat/a.png", "train/dog/a.png", "test/cat/a.png", "test/dog/a.png"]
    assert raw.splits is not None
    assert raw.splits.tolist() == ["train", "train", "test", "test"]
    assert (raw.y.tolist(), raw.class_names) == ([0, 1, 0, 1], ("cat", "dog"))
    rgb = read_raw(data_config("images", path=str(tmp_path), image_size=None, channels="rgb"), tmp_path / "unused")
    assert rgb.x.shape == (4, 3, 4, 6)
