import pytest

from wellfit import torchrun
from wellfit.errors import WellfitError

VARIABLES = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.fixture(autouse=True)
def _started(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(torchrun.ELASTIC, "none")


def test_the_place_of_a_process() -> None:
    assert torchrun.place() == (5, 1, 8)
    assert torchrun.is_follower()


@pytest.mark.parametrize("size", [None, "1"])
def test_a_process_alone(size: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name)
    if size:
        monkeypatch.setenv("WORLD_SIZE", size)
    assert torchrun.place() == (0, 0, 1)
    assert not torchrun.is_follower()
    torchrun.check_alone("tune")


@pytest.mark.parametrize("name", [name for name in VARIABLES if name != "WORLD_SIZE"])
def test_a_variable_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(WellfitError, match=f"WORLD_SIZE is 8, but {name} is not set: start the training with torchrun"):
        torchrun.place()


def test_a_variable_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "all")
    with pytest.raises(WellfitError, match="WORLD_SIZE must be a number, got all"):
        torchrun.place()


def test_a_command_of_one_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WellfitError, match="torchrun is for train: start tune without it"):
        torchrun.check_alone("tune")
    monkeypatch.delenv(torchrun.ELASTIC)
    torchrun.check_alone("worker")  # a cluster's own WORLD_SIZE
