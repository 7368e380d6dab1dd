"""The parts of benchmarks/tuning.py that look at steps alone: what a step is made of, and how packs grow."""

import resource
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from study_arms import CURRENT, DROPOUT, LR, Case, Problem, Usual, prepare_case
from torch import nn

from wellfit.training.cores import Cores
from wellfit.training.learner import Learner
from wellfit.training.loop import BatchOrder
from wellfit.training.setup import begin, steps_per_epoch
from wellfit.training.size import Size

REPEATS = 5
SECONDS = 0.2  # of each measurement
PACK_SIZES = (8, 32, 64)


def microseconds(problem: Problem, threads: int) -> dict[str, float]:
    """Microseconds a step, or a part of one, by its name; of packs per member.

    The limit of a pack is the forward and backward pass of K networks as batched products, without dropout, loss,
    optimizer or anything else.
    """
    rows = _usual(problem, threads)
    single = begin([problem.params.replace({"train.threads": threads})], problem.data, packed=False).learner
    rows["(b) all"] = _steps(problem, single)
    for size in PACK_SIZES:
        rows[f"(c) all, K = {size}"] = _steps(problem, _pack(problem, size)) / size
        rows[f"(c) limit, K = {size}"] = _limit(problem, size) / size
    return rows


def growth(case: Case, folder: Path, size: int, processes: int) -> dict[str, float]:
    """What the steps of a pack alone allow, in this process, which had better be a new one.

    Returns:
        Trials a second, if there were nothing but steps; microseconds a step and member, the lowest of some; megabytes
        that this process had in memory at most, and how many of them came with the pack.
    """
    problem = prepare_case(case, folder)
    steps = problem.params.train.epochs * steps_per_epoch(problem.params, problem.data)
    with Cores(problem.data, processes) as cores:
        before = _peak_memory()
        use = Size(size, 1, 0.0, processes)
        rate = max(cores.rate(problem.params, size, use, packed=size > 1) for _ in range(REPEATS))
        peak = _peak_memory()
    return {
        "trials_per_second": round(rate / steps, 3),
        "microseconds": round(1e6 / rate, 1),
        "peak_mb": round(peak),
        "pack_mb": round(peak - before),
    }


def lowest(work: Callable[[], object]) -> float:
    """Microseconds of a call: the lowest of several means, which other processes disturb least."""
    work()
    started = perf_counter()
    work()
    calls = max(1, int(SECONDS / (perf_counter() - started)))
    means = []
    for _ in range(REPEATS):
        started = perf_counter()
        for _ in range(calls):
            work()
        means.append((perf_counter() - started) / calls)
    return 1e6 * min(means)


def _usual(problem: Problem, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    usual = Usual(problem, CURRENT)
    train, _ = problem.loaders
    x, y = next(iter(train))
    outputs, loss = usual.forward(x, y)

    def draw() -> None:
        for _ in train:
            pass

    return {
        "(a) all": lowest(usual.train_epoch) / len(train),
        "(a) batches": lowest(draw) / len(train),
        "(a) forward and backward": lowest(lambda: usual.forward(x, y)[1].backward()),
        "(a) optimizer": lowest(usual.optimizer.step),
        "(a) items": lowest(lambda: usual.count(outputs, loss, y)),
    }


def _pack(problem: Problem, size: int) -> Learner:
    """K members that differ in learning rate and dropout."""
    shares = np.arange(size) / size
    changes = [{LR: CURRENT[LR] * 10 ** (share - 1), DROPOUT: 0.5 * share} for share in shares.tolist()]
    return begin([problem.params.replace(each) for each in changes], problem.data, packed=True).learner


def _steps(problem: Problem, learner: Learner) -> float:
    """Microseconds a step of all members, with the scores of the epoch, which is cut short where steps are long."""
    device = problem.data.train.x.device
    order = BatchOrder(len(problem.data.train.y), problem.case.batch_size, [0] * learner.size, device)
    first, lr = np.ones(learner.size, int), np.full(learner.size, CURRENT[LR])
    batches = list(order.epoch(first))
    started = perf_counter()
    learner.step(batches[0], lr)
    batches = batches[: max(4, int(SECONDS / (perf_counter() - started)))]

    def epoch() -> None:
        for batch in batches:
            learner.step(batch, lr)
        learner.finish_epoch(first)

    return lowest(epoch) / len(batches)


def _limit(problem: Problem, size: int) -> float:
    layers = [layer for layer in Usual(problem, CURRENT).model if isinstance(layer, nn.Linear)]
    shapes = [(layer.in_features, layer.out_features) for layer in layers]
    weights = [(0.05 * torch.randn(size, *shape)).requires_grad_() for shape in shapes]
    biases = [torch.zeros(size, 1, shape[1], requires_grad=True) for shape in shapes]
    inputs = torch.randn(size, problem.case.batch_size, shapes[0][0])
    slope = torch.ones(size, problem.case.batch_size, shapes[-1][1])

    def forward_backward() -> None:
        hidden = inputs
        for bias, weight in zip(biases[:-1], weights[:-1], strict=True):
            hidden = torch.baddbmm(bias, hidden, weight).relu_()
        torch.baddbmm(biases[-1], hidden, weights[-1]).backward(slope)

    return lowest(forward_backward)


def _peak_memory() -> float:
    """Megabytes that this process has had in memory at most."""
    status = Path("/proc/self/status")
    if status.exists():  # of this process alone; getrusage begins with what the one that started it had
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
