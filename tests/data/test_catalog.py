import subprocess
import sys
from typing import get_args

import pytest
from torchvision.datasets import MNIST, FashionMNIST

from wellfit.data.catalog import CATALOG
from wellfit.data.config import DatasetName


def test_every_name_that_params_allow_has_an_entry() -> None:
    assert set(CATALOG) == set(get_args(DatasetName))


@pytest.mark.parametrize("name", CATALOG)
def test_an_entry_says_where_its_data_come_from_and_under_which_licence(name: str) -> None:
    entry = CATALOG[name]
    assert entry.source
    assert entry.licence
    assert entry.target_name
    assert bool(entry.files) == bool(entry.addresses)


@pytest.mark.parametrize(("name", "theirs"), [("mnist", MNIST), ("fashion_mnist", FashionMNIST)])
def test_published_files_are_those_of_torchvision(name: str, theirs: type[MNIST]) -> None:
    entry = CATALOG[name]
    assert [f"{address}/" for address in entry.addresses] == theirs.mirrors
    assert [f"{file.name}.gz" for file in entry.files] == [file for file, _ in theirs.resources]
    assert [c.split(" ")[0] for c in theirs.classes] == [c.split(" ")[0] for c in entry.class_names]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_hashes_are_whole_and_all_different(name: str) -> None:
    hashes = [file.sha256 for file in CATALOG[name].files]
    assert len(set(hashes)) == 4
    assert all(len(bytes.fromhex(digest)) == 32 for digest in hashes)


def test_import_is_light() -> None:
    code = "import sys, wellfit.data.catalog; print(*{'numpy', 'sklearn', 'requests', 'pooch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
