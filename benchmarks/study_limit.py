"""What a step of each arm of benchmarks/tuning.py is made of, and what a pack of K cannot be faster than."""

from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch
from study_arms import CURRENT, LR, Problem, Usual
from torch import nn

from wellfit.training.loop import BatchOrder
from wellfit.training.setup import begin

REPEATS = 7
SECONDS = 0.2  # of each measurement
PACK_SIZES = (8, 32, 64)


def microseconds(problem: Problem) -> dict[str, float]:
    """Microseconds a step, or a part of one, by its name; of packs per member."""
    rows: dict[str, float] = {}
    for threads in (1, 2):
        parts = _usual(problem, threads) | _single(problem, threads) | _stacked(problem, threads)
        rows |= {f"{name}, {threads} threads": value for name, value in parts.items()}
    return rows


def lowest(work: Callable[[], object]) -> float:
    """Microseconds of a call: the lowest of several means, which other processes disturb least."""
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

    parts = {
        "(a) all": lowest(usual.train_epoch) / len(train),
        "(a) batches": lowest(draw) / len(train),
        "(a) forward and backward": lowest(lambda: usual.forward(x, y)[1].backward()),
    }
    return parts | {
        "(a) optimizer": lowest(usual.optimizer.step),
        "(a) items": lowest(lambda: usual.count(outputs, loss, y)),
    }


def _single(problem: Problem, threads: int) -> dict[str, float]:
    learner = begin(problem.params.replace({"train.threads": threads}), problem.data).learner
    order = BatchOrder(len(problem.data.train.y), problem.case.batch_size, [0], problem.data.train.x.device)
    rows, lr = next(iter(order.epoch(1))), np.array([CURRENT[LR]])

    def epoch() -> None:
        for each in order.epoch(1):
            learner.step(each, lr)
        learner._start_epoch()

    def forward_backward() -> None:
        learner._backward(rows[0])
        learner._start_epoch()

    return {"(b) all": lowest(epoch) / order.steps, "(b) forward and backward": lowest(forward_backward)}


def _stacked(problem: Problem, threads: int) -> dict[str, float]:
    """Forward and backward pass of K networks as batched products, without dropout: nothing else is done."""
    torch.set_num_threads(threads)
    widths = [layer for layer in Usual(problem, CURRENT).model if isinstance(layer, nn.Linear)]
    rows = problem.case.batch_size
    per_member = {}
    for size in PACK_SIZES:
        weights = [torch.randn(size, w.in_features, w.out_features).mul_(0.05).requires_grad_() for w in widths]
        biases = [torch.zeros(size, 1, w.out_features, requires_grad=True) for w in widths]
        x = torch.randn(size, rows, widths[0].in_features)
        ones = torch.ones(size, rows, widths[-1].out_features)

        def forward_backward() -> None:
            hidden = x  # noqa: B023
            for bias, weight in zip(biases, weights, strict=True):  # noqa: B023
                outputs = torch.baddbmm(bias, hidden, weight)
                hidden = outputs.relu()
            outputs.backward(ones)  # noqa: B023

        per_member[f"(c) limit, K = {size}"] = lowest(forward_backward) / size
    return per_member
