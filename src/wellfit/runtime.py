"""Where and how to compute: device, threads, determinism."""

import os

import torch

from wellfit.errors import WellfitError

# Multiply-adds of a forward pass from which threads pay. Below, two threads were at best 1.2 times as fast as one on an
# idle machine (benchmarks/threads.py), and beside another busy process they are several times slower.
THREADS_PAY_FROM = 2e7


def choose_device(name: str) -> torch.device:
    """The device for ``train.device``; ``auto`` is the first there is of cuda, mps, cpu.

    Raises:
        WellfitError: the device that was asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        there = ", ".join(device for device, is_there in available.items() if is_there)
        raise WellfitError(f"train.device {name} is not available on this machine, which has: {there}")
    return torch.device(name)


def be_deterministic() -> None:
    """Same params, data and machine, same bytes."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def set_threads(threads: int | None, multiply_adds: float) -> int:
    """Sets and returns the number of CPU threads.

    Args:
        threads: ``train.threads``; None decides by the work of a step, not by a stopwatch, so that two runs agree.
        multiply_adds: of one forward pass over a batch.
    """
    if threads is None:
        threads = 1 if multiply_adds < THREADS_PAY_FROM else (os.cpu_count() or 1)
    torch.set_num_threads(threads)
    return threads
