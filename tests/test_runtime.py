import os
from collections.abc import Iterator

import pytest
import torch

from wellfit.errors import WellfitError
from wellfit.runtime import THREADS_PAY_FROM, be_deterministic, choose_device, set_threads


@pytest.fixture(autouse=True)
def _torch_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")  # is put back at the end
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_is_the_first_there_is(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto") == torch.device(chosen)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "cuda", "mps", "there"),
    [("cuda", False, False, "cpu"), ("cuda", False, True, "mps, cpu"), ("mps", True, False, "cuda, cpu")],
)
def test_a_device_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, cuda: bool, mps: bool, there: str
) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    with pytest.raises(WellfitError) as caught:
        choose_device(name)
    assert str(caught.value) == f"train.device {name} is not available on this machine, which has: {there}"


def test_a_given_number_of_threads_is_used() -> None:
    assert set_threads(2, multiply_adds=1) == 2
    assert torch.get_num_threads() == 2
    assert set_threads(1, multiply_adds=1e12) == 1
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("work", "threads"), [(1.0, 1), (THREADS_PAY_FROM - 1, 1), (THREADS_PAY_FROM, 3), (1e12, 3)])
def test_threads_go_by_the_work_of_a_step(monkeypatch: pytest.MonkeyPatch, work: float, threads: int) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert set_threads(None, work) == threads
    assert torch.get_num_threads() == threads


def test_an_unknown_number_of_cores_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert set_threads(None, 1e12) == 1


def test_determinism_is_switched_on_without_overruling_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    be_deterministic()
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"
    be_deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
