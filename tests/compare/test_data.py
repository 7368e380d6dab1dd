from pathlib import Path

import pytest

from wellfit.compare import data as module
from wellfit.compare.data import prepared_data
from wellfit.data.store import load_meta
from wellfit.errors import WellfitError
from wellfit.settings.params import Params

from .conftest import base_params


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The data sets that were fetched."""
    monkeypatch.chdir(tmp_path)
    found: list[str] = []
    fetch = module.fetch

    def noted(data: object, config: object, out: Path) -> None:
        found.append(out.parent.name)
        fetch(data, config, out)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "fetch", noted)
    return found


def base(*changes: str) -> Params:
    return base_params("data.n_samples=60", *changes)


def prepared(*changes: str) -> Path:
    params = base(*changes)
    return prepared_data(params.data, params.fetch, "small")


def test_data_are_prepared_once_in_a_place_of_their_own(calls: list[str], tmp_path: Path) -> None:
    folder = prepared()
    assert load_meta(folder).split_sizes == {"train": 36, "val": 12, "test": 12}
    assert prepared() == prepared("optim.lr=0.5", "data.augment=none") == folder
    assert len(calls) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["comparisons"]
    other = prepared("data.noise=0.5")
    assert other != folder
    assert len(calls) == 2
    assert load_meta(other).sha256 != load_meta(folder).sha256


@pytest.mark.parametrize("file", ["meta.json", "x_train.npy", "y_test.npy"])
@pytest.mark.parametrize("is_damaged", [True, False])
def test_what_is_not_complete_is_made_anew(calls: list[str], file: str, is_damaged: bool) -> None:
    path = prepared() / file
    before = path.read_bytes()
    if is_damaged:
        path.write_bytes(before[:-1] + b"?")
    else:
        path.unlink()
    assert prepared() / file == path
    assert path.read_bytes() == before
    assert len(calls) == 2


def test_other_code_prepares_them_anew(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    prepared()
    monkeypatch.setattr(module, "code_sha256", lambda name: "other")
    prepared()
    prepared()
    assert len(calls) == 2


def test_the_users_own_data_are_read_each_time(calls: list[str], tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    rows = [f"{i % 7},{'yes' if i % 7 > 3 else 'no'}" for i in range(60)]
    own.write_text("\n".join(["size,sold", *rows]) + "\n")
    keys = ("data.name=csv", f"data.path={own}", "data.target=sold", "data.n_samples=20")
    folder = prepared(*keys)
    first = load_meta(folder).sha256
    own.write_text(own.read_text().replace("6,yes", "9,yes"))
    assert prepared(*keys) == folder
    assert load_meta(folder).sha256 != first


def test_a_failure_leaves_nothing_that_looks_complete(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise WellfitError("no")

    monkeypatch.setattr(module, "prepare", fail)
    with pytest.raises(WellfitError, match="no"):
        prepared()
    monkeypatch.undo()
