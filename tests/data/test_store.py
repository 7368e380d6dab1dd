import errno
import hashlib
import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wellfit.data.meta import SPLIT_NAMES, Meta
from wellfit.data.store import META_FILE, Split, load_folds, load_meta, load_split, save_array, save_meta, save_split
from wellfit.errors import WellfitError
from wellfit.manifest import file_sha256

from .test_meta import FIELDS


@pytest.fixture
def splits() -> dict[str, Split]:
    rng = np.random.default_rng(0)
    sizes = {"train": 6, "val": 4, "test": 2}
    return {
        name: Split(rng.normal(size=(n, 2)).astype(np.float32), np.arange(n) % 2, np.arange(n))
        for name, n in sizes.items()
    }


@pytest.fixture
def saved(splits: dict[str, Split], tmp_path: Path) -> Path:
    manifest: dict[str, str] = {}
    for name in SPLIT_NAMES:
        manifest |= save_split(tmp_path, name, splits[name])
    save_meta(tmp_path, Meta(**FIELDS, manifest=manifest))
    return tmp_path


def load_all(folder: Path) -> dict[str, Split]:
    meta = load_meta(folder)
    return {name: load_split(folder, meta, name) for name in SPLIT_NAMES}


def test_what_is_saved_is_what_is_loaded(saved: Path, splits: dict[str, Split]) -> None:
    for name, split in load_all(saved).items():
        assert split.weights is None
        for loaded, array in zip(split[:3], splits[name][:3], strict=True):
            np.testing.assert_array_equal(loaded, array)
            assert loaded.dtype == array.dtype
    meta = load_meta(saved)
    assert {name: getattr(meta, name) for name in FIELDS} == FIELDS


def test_rows_may_have_names_and_weights(splits: dict[str, Split], tmp_path: Path) -> None:
    named = splits["val"]._replace(ids=np.array(["a", "ß", "c", "long"]), weights=np.arange(4, dtype=np.float32))
    manifest = save_split(tmp_path, "val", named)
    assert set(manifest) == {"x_val.npy", "y_val.npy", "id_val.npy", "weight_val.npy"}
    loaded = load_split(tmp_path, Meta(**FIELDS, manifest=manifest), "val")
    assert loaded.ids.tolist() == ["a", "ß", "c", "long"]
    assert loaded.weights is not None
    np.testing.assert_array_equal(loaded.weights, [0, 1, 2, 3])
    (tmp_path / "weight_val.npy").unlink()
    with pytest.raises(WellfitError, match=r"weight_val\.npy not found"):
        load_split(tmp_path, Meta(**FIELDS, manifest=manifest), "val")


@pytest.mark.parametrize("array", [np.eye(3, 2, dtype=np.float32), np.array(["a", "ß"]), np.empty((0, 3), np.uint8)])
def test_an_array_is_written_as_numpy_does_it(array: np.ndarray, tmp_path: Path) -> None:
    theirs = io.BytesIO()
    np.save(theirs, array)
    digest = save_array(tmp_path / "a.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == theirs.getvalue()
    assert digest == hashlib.sha256(theirs.getvalue()).hexdigest()


@pytest.fixture
def no_large_files() -> Iterator[None]:
    """No file of more than 1000 bytes can be written, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("no_large_files")
def test_an_array_that_there_is_no_room_for_is_told_in_the_words_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File too large") as raised:
        save_array(tmp_path / "a.npy", np.zeros(1000))
    assert raised.value.errno == errno.EFBIG


def test_arrays_are_memory_mapped_and_read_only(saved: Path) -> None:
    x = load_split(saved, load_meta(saved), "train").x
    assert isinstance(x, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 1


@pytest.mark.parametrize("budget", [10**6, 0])
def test_rows_of_a_fold_are_in_memory_or_on_disk(
    splits: dict[str, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.chdir(tmp_path)
    fold = np.arange(len(splits["train"].y), dtype=np.int64) % 3 - 1  # -1: in none
    fold[fold == 0] = 2
    manifest = save_split(tmp_path, "train", splits["train"]._replace(folds=fold))
    manifest |= save_split(tmp_path, "val", splits["val"])
    val, *others = load_folds(tmp_path, Meta(**FIELDS | {"manifest": manifest}), budget)
    np.testing.assert_array_equal(val.x, splits["val"].x)
    for number, rows in enumerate(others, start=1):
        assert isinstance(rows.x, np.memmap) == (budget == 0)
        np.testing.assert_array_equal(rows.x, splits["train"].x[fold == number])
        np.testing.assert_array_equal(rows.y, splits["train"].y[fold == number])
        np.testing.assert_array_equal(rows.ids, splits["train"].ids[fold == number])
    assert len(others) == 2


def test_the_manifest_names_every_file_but_itself(saved: Path) -> None:
    on_disk = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in saved.iterdir()}
    del on_disk[META_FILE]
    assert load_meta(saved).manifest == on_disk


def test_a_flipped_bit_is_detected_in_every_file(saved: Path) -> None:
    for path in sorted(saved.iterdir()):
        whole = path.read_bytes()
        for position in range(0, len(whole), max(1, len(whole) // 20)):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << position % 8]) + whole[position + 1 :])
            with pytest.raises(WellfitError, match=f"{path.name}.*`dvc repro --force preprocess`"):
                load_all(saved)
        path.write_bytes(whole)
    load_all(saved)


@pytest.mark.parametrize("length", [0, 10, -1])
def test_a_truncated_file_is_detected(saved: Path, length: int) -> None:
    for path in sorted(saved.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[:length])
        with pytest.raises(WellfitError, match=path.name):
            load_all(saved)
        path.write_bytes(whole)


def test_a_missing_file_is_named(saved: Path) -> None:
    for path in sorted(saved.iterdir()):
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(WellfitError, match=f"{path.name} not found"):
            load_all(saved)
        path.write_bytes(whole)


def test_a_missing_folder_says_which_stage_makes_it(tmp_path: Path) -> None:
    with pytest.raises(WellfitError, match=r"nowhere/meta\.json not found; `dvc repro preprocess` makes it"):
        load_meta(tmp_path / "nowhere")


def test_a_split_is_checked_by_its_own_files_only(saved: Path) -> None:
    """Training must not have to read the test split."""
    (saved / "x_test.npy").unlink()
    meta = load_meta(saved)
    load_split(saved, meta, "train")
    load_split(saved, meta, "val")


def test_an_edited_statistic_is_detected(saved: Path) -> None:
    path = saved / META_FILE
    path.write_text(path.read_text().replace("0.30000000000000004", "0.30000000000000009"))
    with pytest.raises(WellfitError, match="its sha256 does not fit its content"):
        load_meta(saved)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"name": 1}', "\x00"])
def test_a_meta_file_of_another_shape(text: str, saved: Path) -> None:
    (saved / META_FILE).write_text(text)
    with pytest.raises(WellfitError, match=r"meta\.json is damaged: .*--force preprocess` makes it anew"):
        load_meta(saved)


@pytest.mark.parametrize("change", [{"new": 1}, {"left_out": None}])
def test_a_meta_file_of_another_version_says_so(saved: Path, change: dict[str, Any]) -> None:
    path = saved / META_FILE
    tree = {key: value for key, value in (json.loads(path.read_text()) | change).items() if value is not None}
    tree.pop("sha256")
    text = json.dumps(tree, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    tree["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(tree, sort_keys=True, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with pytest.raises(WellfitError, match=r"meta\.json was written by another version of wellfit; `dvc repro"):
        load_meta(saved)


def test_json_is_sorted_and_ends_with_a_newline(saved: Path) -> None:
    text = (saved / META_FILE).read_text(encoding="utf-8")
    tree = json.loads(text)
    assert text == json.dumps(tree, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    assert tree["sha256"] == load_meta(saved).sha256


@pytest.mark.parametrize("content", [b"", b"no array", pickle.dumps({"a": 1})])
def test_what_is_no_array_is_refused_though_its_sha256_fits(saved: Path, content: bytes) -> None:
    path, meta = saved / "y_val.npy", load_meta(saved)
    path.write_bytes(content)
    meta = meta.model_copy(update={"manifest": meta.manifest | {path.name: file_sha256(path)}})
    with pytest.raises(WellfitError, match=r"y_val\.npy is damaged: it is no array of numbers or text"):
        load_split(saved, meta, "val")
