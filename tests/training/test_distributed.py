"""Processes that train one model together come to what one process does with the batches of all of them."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wellfit.errors import WellfitError
from wellfit.settings.params import Params
from wellfit.training.distributed import Ranks, as_one, follow, join
from wellfit.training.setup import Training, TrainingData, begin, load_training_data

Load = Callable[..., tuple[Params, TrainingData]]
CHANGES = ["model.norm=batch", "train.epochs=2"]
# The last of the parts of 35 rows has 11 or, where there are 3 processes and 33 rows in a part, 2.
KINDS = {
    "batch norm": ("table", 2, 12),
    "a share without rows": ("table", 3, 33),
    "parts of a step": ("table", 2, 12, "loss.class_weights=balanced", "train.accumulate=2"),
    "penalty, clipping, average": (
        "regression",
        3,
        12,
        "optim.clip_norm=0.1",
        "optim.l1=0.01",
        "regularize.average=ema",
    ),
    "images": ("images", 3, 33, "model.name=cnn"),
}
BY_CHANCE = ["model.name=cnn", "model.dropout=0.3", "data.augment=[{shift: 0.2}]", "regularize.mixup=0.2"]


@pytest.fixture
def load(processed: Callable[..., Path], make_params: Callable[..., Params]) -> Load:
    """Params and the data they train on."""

    def run(kind: str, *overrides: str) -> tuple[Params, TrainingData]:
        params = make_params(kind, *CHANGES, *overrides)
        return params, load_training_data(params, processed(kind))

    return run


def together(size: int, params: Params, work: Callable[[Ranks], Any]) -> list[Any]:
    """Lets so many processes join and work, and returns what each comes to."""
    context = multiprocessing.get_context("fork")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes = [context.Pipe(duplex=False) for _ in range(size)]

    def body(rank: int) -> None:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        ranks = join(params)
        assert ranks
        try:
            pipes[rank][1].send(work(ranks))
        except WellfitError as error:
            pipes[rank][1].send(error)

    processes = [context.Process(target=body, args=(rank,)) for rank in range(size)]
    for process, (_, sender) in zip(processes, pipes, strict=True):
        process.start()
        sender.close()
    found = []
    for process, (receiver, _) in zip(processes, pipes, strict=True):
        try:
            found.append(receiver.recv())
        except EOFError:  # it was killed
            found.append(None)
        process.join()
    return found


def outcome(training: Training) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """The metrics of each epoch but for timing, and the weights and statistics at the end."""
    epochs = [epoch.of(0) for epoch in training.epochs]
    metrics = [{k: v for k, v in each.items() if k not in ("seconds", "samples_per_second")} for each in epochs]
    return metrics, {name: tensor.numpy() for name, tensor in training.learner.weights(0).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_processes_come_to_what_one_does(kind: str, load: Load) -> None:
    data_kind, size, batch, *changes = KINDS[kind]
    params, data = load(str(data_kind), "model.dropout=0", *map(str, changes), f"train.batch_size={batch // size}")

    def work(ranks: Ranks) -> Any:
        return outcome(begin([as_one(params, data.meta, ranks)], data, packed=False, ranks=ranks))

    first, *others = together(size, params, work)
    alone = outcome(begin([params.replace({"train.batch_size": batch})], data, packed=False))
    for epoch, expected in zip(first[0], alone[0], strict=True):
        assert epoch == pytest.approx(expected, rel=1e-4, abs=1e-5)
    for name, weights in alone[1].items():
        np.testing.assert_allclose(first[1][name], weights, rtol=1e-4, atol=1e-5, err_msg=name)
    for metrics, state in others:
        assert metrics == first[0]
        for name, weights in state.items():
            np.testing.assert_array_equal(weights, first[1][name], err_msg=name)


def test_each_process_knows_how_many_rows_its_share_has() -> None:
    for rows in range(8):
        shares = [Ranks(rank, 3) for rank in range(3)]
        assert [each.rows_of(rows) for each in shares] == [len(each.share(torch.arange(rows))) for each in shares]


def test_a_training_goes_on_with_the_random_numbers_of_each_process(load: Load) -> None:
    params, data = load("images", *BY_CHANCE, "train.epochs=3")

    def work(ranks: Ranks) -> Any:
        whole = begin([params], data, packed=False, ranks=ranks)
        own = repr(whole.learner.random_state())
        next(whole.epochs), next(whole.epochs)
        state = deepcopy(ranks.broadcast_object(whole.state_dict() if ranks.rank == 0 else None))
        resumed = begin([params], data, packed=False, ranks=ranks)
        resumed.load_state_dict(state)
        assert len(resumed.state_dict()["random"]) == 2, "also where no epoch follows"
        return own, outcome(resumed), outcome(whole)

    found = together(2, params, work)
    assert found[0][0] != found[1][0], "each process drops other units"
    for _, resumed, whole in found:
        assert resumed[0] == whole[0][-1:]
        for name, weights in whole[1].items():
            np.testing.assert_array_equal(resumed[1][name], weights, err_msg=name)


def test_a_process_that_follows_ends_with_the_first(load: Load) -> None:
    params, data = load("table")

    def work(ranks: Ranks) -> Any:
        training = begin([params], data, packed=False, ranks=ranks)
        if ranks.rank:
            follow(training, ranks)
        else:
            ranks.broadcast_object(None)
            list(training.epochs)
            ranks.leave()
        return int(training.members.epoch[0])

    assert together(2, params, work) == [2, 2]


def test_a_process_that_ends_ends_the_others(load: Load) -> None:
    params, data = load("table")

    def work(ranks: Ranks) -> Any:
        training = begin([params], data, packed=False, ranks=ranks)
        for _ in training.epochs:
            if ranks.rank:
                os._exit(1)

    assert str(together(2, params, work)[0]).startswith("another process of this training has ended")


def test_processes_do_the_same(load: Load) -> None:
    params, _ = load("table")
    found = together(2, params, lambda ranks: ranks.check_same(f"work {ranks.rank}"))
    assert str(found[0]).startswith("rank 1 has other settings, data, code or devices than rank 0")
    assert together(2, params, lambda ranks: ranks.check_same("work")) == [None, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.compile=true", "train.compile must be false with torchrun, got true"),
        ("train.device=cuda", "train.device cuda is not available"),
    ],
)
def test_what_processes_cannot_share_is_told(
    change: str, message: str, make_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(WellfitError, match=message):
        join(make_params("table", change))


def test_a_process_alone_joins_nobody(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    params, data = load("table", "train.batch_size=auto")
    assert join(params) is None
    assert as_one(params, data.meta, None) is params
    assert as_one(params, data.meta, Ranks(0, 3)).train.batch_size == 3 * 32
