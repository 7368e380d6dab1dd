from pathlib import Path

import pytest

from wellfit.compare import downloads as module
from wellfit.compare.config import load_comparison
from wellfit.compare.downloads import AVAILABLE, download_all, is_passed_over
from wellfit.data.config import DataConfig, FetchConfig
from wellfit.errors import WellfitError
from wellfit.settings import read_yaml

from .conftest import Write

CLOTHES = {"data.name": "fashion_mnist", "train.epochs": 1}
HOUSES = {"data.name": "california_housing", "train.epochs": 1}


@pytest.fixture
def comparisons(write: Write) -> None:
    write("moons")
    write("clothes", base=CLOTHES)
    write("houses", base=HOUSES, measure=["test/rmse"])


@pytest.fixture
def only_houses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Only one data set can be had; gives the retries of each try."""
    retries: list[int] = []

    def download(data: DataConfig, config: FetchConfig) -> Path:
        retries.append(config.retries)
        if data.name != "california_housing":
            raise WellfitError(f"{data.name} could not be fetched")
        return Path()

    monkeypatch.setattr(module, "download", download)
    return retries


@pytest.mark.usefixtures("comparisons")
def test_what_can_be_had_is_written_down(
    root: Path, only_houses: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    download_all(root / AVAILABLE)
    assert read_yaml(root / AVAILABLE) == {"california_housing": True, "fashion_mnist": False}
    assert only_houses == [0, 0], "one try each; moons need no download"
    assert "fashion_mnist cannot be had, its comparisons are passed over" in capsys.readouterr().out


@pytest.mark.usefixtures("comparisons", "only_houses")
def test_a_comparison_without_data_says_so_and_is_no_failure(root: Path) -> None:
    report = root / "reports" / "clothes"
    assert not is_passed_over(load_comparison("clothes"), report), "nothing is known yet"
    download_all(root / AVAILABLE)
    assert is_passed_over(load_comparison("clothes"), report)
    assert "Not run: fashion\\_mnist could not be had" in (report / "README.md").read_text()
    for name in ("houses", "moons"):
        assert not is_passed_over(load_comparison(name), report)
