import copy
import os
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from wellfit.errors import WellfitError
from wellfit.training.runtime import (
    BF16_PAYS_FROM,
    THREADS_PAY_FROM,
    autocast,
    be_deterministic,
    choose_device,
    choose_precision,
    compiled,
    set_threads,
)


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
    monkeypatch.setattr("wellfit.training.runtime.core_count", lambda: 3)
    assert set_threads(None, work) == threads
    assert torch.get_num_threads() == threads


def test_determinism_is_switched_on_without_overruling_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    be_deterministic()
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"
    be_deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


@pytest.mark.parametrize("work", [1.0, 1e12])
@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_precision_that_is_asked_for_is_used(name: str, work: float) -> None:
    assert choose_precision(name, torch.device("cpu"), work) == name


@pytest.mark.parametrize(
    ("flags", "work", "chosen"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, BF16_PAYS_FROM, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": True}, BF16_PAYS_FROM, "bf16"),
        ({"amx_bf16": True, "avx512_bf16": True}, BF16_PAYS_FROM - 1, "fp32"),
        ({"amx_bf16": False, "avx512_bf16": False, "avx512_f": True}, 1e12, "fp32"),
        ({}, 1e12, "fp32"),  # another architecture
    ],
)
def test_auto_on_a_cpu_goes_by_its_instructions_and_the_work(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], work: float, chosen: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert choose_precision("auto", torch.device("cpu"), work) == chosen


def test_this_machine_says_what_its_cpu_can_do() -> None:
    assert torch.cpu.get_capabilities()["architecture"]


@pytest.mark.parametrize(
    ("capability", "work", "chosen"), [((7, 5), 1e12, "fp32"), ((8, 0), 1e12, "bf16"), ((9, 0), 1.0, "fp32")]
)
def test_auto_on_a_gpu_goes_by_its_capability_and_the_work(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], work: float, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", torch.device("cuda"), work) == chosen


def test_bf16_where_it_is_untried_is_one_line() -> None:
    assert choose_precision("auto", torch.device("mps"), 1e12) == "fp32"
    with pytest.raises(
        WellfitError, match=r"^train\.precision bf16 is for cpu and cuda, but the device is mps; use fp32$"
    ):
        choose_precision("bf16", torch.device("mps"), 1e12)


def test_matrix_products_are_in_the_precision_chosen_and_sums_that_need_it_in_fp32() -> None:
    layer, x = nn.Linear(3, 2), torch.randn(4, 3)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(precision, torch.device("cpu")):
            assert layer(x).dtype == dtype
            assert nn.functional.mse_loss(layer(x), torch.zeros(4, 2)).dtype == torch.float32
        assert layer(x).dtype == torch.float32


@pytest.mark.usefixtures("own_inductor")
def test_a_compiler_that_is_not_there_is_one_line() -> None:
    from torch._inductor import config

    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    with config.patch({"cpp.cxx": (None, "/no/compiler")}), pytest.raises(WellfitError) as caught:
        compiled(model)(torch.randn(3, 2))
    assert str(caught.value).startswith("train.compile true: InvalidCxxCompiler: No working C++ compiler found")
    assert str(caught.value).endswith("; set it to false (params.yaml)")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.usefixtures("own_inductor")
def test_a_model_is_compiled_once_for_batches_of_all_sizes() -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    twin = copy.deepcopy(model)
    forward = compiled(model)
    for rows in (8, 8, 5, 3, 8, 9):
        x = torch.randn(rows, 3)
        torch.testing.assert_close(forward(x), twin(x))
    assert counters["stats"]["unique_graphs"] == 1
    assert list(model.state_dict()) == list(twin.state_dict())
    for name, tensor in twin.state_dict().items():  # running statistics among them
        torch.testing.assert_close(model.state_dict()[name], tensor)


def test_each_process_of_torchrun_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE"):
        monkeypatch.setenv(name, "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("auto") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(WellfitError, match="LOCAL_RANK is 2, but this machine has 2 GPUs: torchrun --nproc-per-node"):
        choose_device("cuda")
