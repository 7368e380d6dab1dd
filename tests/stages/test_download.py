from pathlib import Path

import pytest

from wellfit.compare.comparison import load_comparison
from wellfit.data.fetch import FetchConfig
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError
from wellfit.settings.parse import read_yaml
from wellfit.stages import download as module
from wellfit.stages.download import available_file, is_passed_over, load_download, published, try_download

from .conftest import Write


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


def test_whether_data_can_be_had_is_written_down(
    root: Path, only_houses: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, is_here in (("california_housing", True), ("fashion_mnist", False)):
        try_download(load_download(name))
        assert read_yaml(root / available_file(name)) == {name: is_here}
    assert only_houses == [0, 0], "one try each"
    assert "fashion_mnist cannot be had, its comparisons are passed over" in capsys.readouterr().out


@pytest.mark.usefixtures("only_houses")
def test_a_comparison_without_data_says_so_and_is_no_failure(root: Path, write: Write) -> None:
    write("moons")
    write("clothes", base={"data.name": "fashion_mnist", "train.epochs": 1})
    write("houses", base={"data.name": "california_housing", "train.epochs": 1}, measure=["test/rmse"])
    report = root / "reports" / "clothes"
    assert not is_passed_over(load_comparison("clothes"), report), "nothing is known yet"
    for name in ("california_housing", "fashion_mnist"):
        try_download(load_download(name))
    assert is_passed_over(load_comparison("clothes"), report)
    assert "Not run: fashion\\_mnist could not be had" in (report / "README.md").read_text()
    for name in ("houses", "moons"):
        assert not is_passed_over(load_comparison(name), report)


@pytest.mark.usefixtures("root")
def test_only_published_data_are_downloaded() -> None:
    assert {"adult", "california_housing", "cifar10", "fashion_mnist", "mnist"} == published().keys()
    with pytest.raises(WellfitError, match="data set moons is none that is downloaded; there are: adult, "):
        load_download("moons")
