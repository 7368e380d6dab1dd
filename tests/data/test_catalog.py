import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets._california_housing import ARCHIVE
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

from wellfit.data.catalog import CATALOG
from wellfit.data.fetch import FetchConfig, fetch
from wellfit.data.prepare import prepare
from wellfit.data.raw import Arrays
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params, validate

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"


@pytest.mark.parametrize("name", CATALOG)
def test_an_entry_says_in_one_way_how_its_data_are_had(name: str) -> None:
    entry = CATALOG[name]
    assert [bool(entry.packages), entry.load is not None, entry.describe is not None].count(True) == 1
    assert entry.is_own == (name in ("csv", "parquet", "images"))
    assert entry.is_own_table == (name in ("csv", "parquet"))


def test_a_new_entry_is_a_name_that_params_allow(
    monkeypatch: pytest.MonkeyPatch, data_config: Callable[..., DataConfig], tmp_path: Path
) -> None:
    def make(data: DataConfig) -> Arrays:
        y = np.arange(data.n_samples) % 2
        return Arrays(np.c_[y, np.arange(data.n_samples)].astype(float), y, ["a", "b"], ["even", "odd"])

    with pytest.raises(ValidationError):
        data_config("parity")
    monkeypatch.setitem(CATALOG, "parity", CATALOG["moons"]._replace(load=make))
    data = data_config("parity")
    fetch(data, FetchConfig(timeout=1, retries=0), tmp_path / "raw")
    meta = prepare(data, tmp_path / "raw", tmp_path / "processed")
    assert (meta.name, meta.class_names) == ("parity", ("even", "odd"))
    assert [column.name for column in meta.columns] == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("digit", "'digit'; did you mean 'digits'?"),
        (None, "null"),
        (7, "7"),
        (["wine"], "['wine']; did you mean 'wine'?"),
    ],
)
def test_another_name_is_refused(value: Any, got: str) -> None:
    tree = load_params(PARAMS_FILE).model_dump()
    tree["data"]["name"] = value
    with pytest.raises(WellfitError) as raised:
        validate(Params, tree, "params.yaml")
    names = "digits, wine, breast_cancer, diabetes, moons, regression, imbalanced, adult, california_housing, "
    names += "fashion_mnist, mnist, cifar10, csv, parquet or images"
    assert str(raised.value) == f"data.name must be one of {names}, got {got} (params.yaml)"


@pytest.mark.parametrize("name", CATALOG)
def test_an_entry_says_where_its_data_come_from_and_under_which_licence(name: str) -> None:
    entry = CATALOG[name]
    assert entry.source
    assert entry.licence
    assert entry.target_name
    assert all(package.files and package.addresses for package in entry.packages)
    names = [name for package in entry.packages for name in {package.name, *(file.name for file in package.files)}]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "theirs"), [("mnist", MNIST), ("fashion_mnist", FashionMNIST)])
def test_published_files_are_those_of_torchvision(name: str, theirs: type[MNIST]) -> None:
    entry = CATALOG[name]
    assert [package.name for package in entry.packages] == [file for file, _ in theirs.resources]
    for package in entry.packages:
        assert list(package.addresses) == [f"{mirror}{package.name}" for mirror in theirs.mirrors]
    assert [c.split(" ")[0] for c in theirs.classes] == [c.split(" ")[0] for c in entry.class_names]


def test_cifar10_is_the_binary_version_of_what_torchvision_has() -> None:
    (package,) = CATALOG["cifar10"].packages
    assert package.addresses == (CIFAR10.url.replace("python", "binary"),)
    assert package.name == CIFAR10.filename.replace("python", "binary")
    assert package.folder == CIFAR10.base_folder.replace("-py", "-bin")
    batches = [*CIFAR10.train_list, *CIFAR10.test_list]
    assert [file.name for file in package.files] == [f"{name}.bin" for name, _ in batches]
    assert {file.size for file in package.files} == {10_000 * (1 + 3 * 32 * 32)}


def test_california_housing_is_that_of_scikit_learn() -> None:
    (package,) = CATALOG["california_housing"].packages
    assert (package.name, package.addresses) == (ARCHIVE.filename, (ARCHIVE.url,))


@pytest.mark.parametrize("name", CATALOG)
def test_hashes_are_whole_and_all_different(name: str) -> None:
    hashes = [file.sha256 for file in CATALOG[name].files]
    assert len(set(hashes)) == len(hashes)
    assert all(len(bytes.fromhex(digits)) == 32 for digits in hashes)


def test_import_is_light() -> None:
    slow = "{'torch', 'sklearn', 'pandas', 'pyarrow', 'requests'}"
    code = f"import sys, wellfit.data.catalog; print(*{slow} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
