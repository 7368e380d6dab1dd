import hashlib
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from sklearn.datasets._california_housing import ARCHIVE
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

from wellfit.data.catalog import CATALOG, has_digest
from wellfit.data.config import DatasetName


def test_every_name_that_params_allow_has_an_entry() -> None:
    assert set(CATALOG) == set(get_args(DatasetName))


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


def test_cifar10_is_that_of_torchvision() -> None:
    (package,) = CATALOG["cifar10"].packages
    assert package.addresses == (CIFAR10.url,)
    assert (package.name, package.folder) == (CIFAR10.filename, CIFAR10.base_folder)
    theirs = [*CIFAR10.train_list, *CIFAR10.test_list, [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]]
    assert [[file.name, file.digest.removeprefix("md5:")] for file in package.files] == theirs


def test_california_housing_is_that_of_scikit_learn() -> None:
    (package,) = CATALOG["california_housing"].packages
    assert (package.name, package.addresses) == (ARCHIVE.filename, (ARCHIVE.url,))


@pytest.mark.parametrize("name", CATALOG)
def test_hashes_are_whole_and_all_different(name: str) -> None:
    hashes = [file.digest.split(":") for file in CATALOG[name].files]
    assert len({digits for _, digits in hashes}) == len(hashes)
    assert all(len(bytes.fromhex(digits)) == hashlib.new(algorithm).digest_size for algorithm, digits in hashes)


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_digest_names_its_algorithm(algorithm: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    assert has_digest(tmp_path / "file", f"{algorithm}:{hashlib.new(algorithm, b'content').hexdigest()}")
    assert not has_digest(tmp_path / "file", f"{algorithm}:{hashlib.new(algorithm, b'other').hexdigest()}")


def test_import_is_light() -> None:
    code = "import sys, wellfit.data.catalog; print(*{'numpy', 'sklearn', 'requests', 'pooch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
