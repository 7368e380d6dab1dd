"""Where and how to compute: device, precision, threads, compilation, determinism."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from wellfit.errors import WellfitError
from wellfit.machine import core_count
from wellfit.torchrun import place

# Multiply-adds of a forward pass from which threads pay. Below, two threads were at best 1.2 times as fast as one on an
# idle machine (benchmarks/threads.py), and beside another busy process they are several times slower.
THREADS_PAY_FROM = 2e7
# The same for bf16 on hardware made for it: below, to convert costs more than it saves (benchmarks/precision.py).
BF16_PAYS_FROM = 4e7


def choose_device(name: str, key: str = "train.device") -> torch.device:
    """The device for ``train.device``; ``auto`` is the first there is of cuda, mps, cpu.

    Each process of torchrun has a GPU of its own.

    Args:
        name: what was asked for.
        key: by what, for messages.

    Raises:
        WellfitError: the device that was asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        there = ", ".join(device for device, is_there in available.items() if is_there)
        raise WellfitError(f"{key} {name} is not available on this machine, which has: {there}")
    local_rank = place().local_rank
    if name != "cuda" or not local_rank:
        return torch.device(name)
    if local_rank >= torch.cuda.device_count():
        raise WellfitError(
            f"LOCAL_RANK is {local_rank}, but this machine has {torch.cuda.device_count()} GPUs: torchrun "
            "--nproc-per-node must be at most that"
        )
    return torch.device(name, local_rank)


def choose_precision(name: str, device: torch.device, multiply_adds: float) -> str:
    """``fp32`` or ``bf16``, for ``train.precision``.

    Args:
        name: the setting. ``auto`` goes by the hardware and the work of a step, not by a stopwatch, so that two runs
            agree: bf16 on GPUs of compute capability 8 or more and on CPUs with AMX or AVX-512 instructions for it.
        device: where the network is.
        multiply_adds: of one forward pass over a batch.

    Raises:
        WellfitError: bf16 on a device where it is untried.
    """
    if name == "bf16" and device.type not in ("cpu", "cuda"):
        raise WellfitError(f"train.precision bf16 is for cpu and cuda, but the device is {device.type}; use fp32")
    if name != "auto":
        return name
    return "bf16" if multiply_adds >= BF16_PAYS_FROM and _computes_in_bf16(device) else "fp32"


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    flags = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(flags.get("amx_bf16") or flags.get("avx512_bf16"))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Forward passes inside compute in a precision; weights stay float32, and so do sums that need it.

    Args:
        precision: ``fp32``, which changes nothing, or ``bf16``: matrix products and convolutions are in bfloat16.
        device: where the network is.
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The forward pass of a model as ``torch.compile`` makes it, once for batches of all sizes.

    The model itself, its weights and their names stay as they are.

    Raises:
        WellfitError: when it is first called, where there is no compiler.
    """
    import torch._dynamo as dynamo

    # In this process, so that no workers are left to end, and with the random numbers of the plain model, which gives
    # dropout the same masks (on a CPU torch's generator is also faster than the one that is compiled in).
    dynamo.reset()  # it compiles a network's code a few times only, then gives up: each trial has a network of its own
    forward = torch.compile(model, options={"compile_threads": 1, "fallback_random": True})

    def run(x: Tensor) -> Tensor:
        dynamo.maybe_mark_dynamic(x, 0)
        try:
            outputs: Tensor = forward(x)
        except dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().split("\n")[0]
            raise WellfitError(f"train.compile true: {reason}; set it to false (params.yaml)") from error
        return outputs

    return run


def be_deterministic() -> None:
    """Same params, data and machine, same bytes."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Else each new tensor is filled before it is written: a ninth of a convolutional network's step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by its class
    torch.backends.cudnn.benchmark = False


def set_threads(threads: int | None, multiply_adds: float) -> int:
    """Sets and returns the number of CPU threads.

    Args:
        threads: ``train.threads``; None decides by the work of a step, not by a stopwatch, so that two runs agree.
        multiply_adds: of one forward pass over a batch.
    """
    if threads is None:
        threads = 1 if multiply_adds < THREADS_PAY_FROM else core_count()
    torch.set_num_threads(threads)
    return threads
