"""A step on a device neither copies from the host nor waits: on ``meta``, in place of devices that are not here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from wellfit.settings.params import Params
from wellfit.training import average, batches, optimizer
from wellfit.training.ahead import Ahead
from wellfit.training.mean_loss import MeanLoss
from wellfit.training.setup import Training, TrainingData, begin, load_training_data
from wellfit.training.tensors import Tensors

META = torch.device("meta")
Load = Callable[..., tuple[Params, TrainingData]]
# What needs to know numbers of a tensor before it can go on.
WAITS = {
    *("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "bincount", "_pin_memory"),
    *("_assert_async", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave"),
}


class NoHost(TorchDispatchMode):
    """Fails where tensors of the device meet those of the host, or numbers of a tensor are read."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        devices = {tensor.device.type for tensor in given}
        if "meta" in devices:
            masks = [tensor for tensor in given[1:] if tensor.dtype == torch.bool]
            assert name not in WAITS, f"{func} waits"
            assert not name.startswith("index") or not masks, f"{func} waits"
            assert name != "lift_fresh", f"{func}: a tensor was made of numbers of the host"
            devices.add(torch.device(kwargs.get("device") or META).type)
        elif kwargs.get("device") is not None and given:
            devices.add(torch.device(kwargs["device"]).type)
        assert len(devices) < 2, f"{func} copies"
        return func(*args, **kwargs)


@pytest.fixture(autouse=True)
def _fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch names the devices that have its fused optimizers; meta, which computes nothing, is none of them."""
    for name in ("adam", "sgd"):
        module = import_module(f"torch.optim.{name}")
        monkeypatch.setattr(module, "_device_dtype_check_for_fused", lambda *_, **__: None)
    monkeypatch.setattr(torch, "_fused_sgd_", lambda *_, **__: None)


@pytest.fixture(autouse=True)
def _targets_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are once, before the training."""
    monkeypatch.setattr(MeanLoss, "check", lambda *_: None)


@pytest.fixture(autouse=True)
def _encoded_in_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """As rows are that take too much memory to be encoded once."""
    monkeypatch.setattr(batches, "ENCODED_BYTES", 0)


@pytest.fixture
def load(processed: Callable[..., Path], make_params: Callable[..., Params]) -> Load:
    """Params and the data they train on."""

    def run(kind: str, *overrides: str) -> tuple[Params, TrainingData]:
        params = make_params(kind, "train.batch_size=16", "train.epochs=2", *overrides)
        data = load_training_data(params, processed(kind))
        return params, in_colour(data) if kind == "images" else data

    return run


def in_colour(data: TrainingData) -> TrainingData:
    """Of two channels three."""
    mean, std = ((*of_two, of_two[0]) for of_two in (data.meta.mean, data.meta.std))
    meta = data.meta.model_copy(update={"mean": mean, "std": std, "input_shape": (3, *data.meta.input_shape[1:])})
    train, val = (rows._replace(x=rows.x[:, [0, 1, 0]].contiguous()) for rows in (data.train, data.val))
    return data._replace(meta=meta, train=train, val=val)


def on_meta(data: TrainingData, *, weighted: bool = False) -> TrainingData:
    def at(rows: Tensors) -> Tensors:
        weights = torch.ones(len(rows.y), device=META) if weighted else None
        return Tensors(rows.x.to(META), rows.y.to(META), weights)

    return data._replace(train=at(data.train), val=at(data.val))


def take_steps(training: Training, watched: Callable[[], AbstractContextManager[Any]] = NoHost) -> None:
    """The steps of an epoch, of which the first may still build what the others use: the optimizer's state."""
    learner, first = training.learner, np.ones(training.learner.size, int)
    lrs = training.schedule.epoch(first)
    learner.begin_epoch(training.order.sizes, lrs)
    steps: Iterator[tuple[Tensor, np.ndarray]] = zip(training.order.epoch(first), lrs, strict=True)
    learner.step(*next(steps))
    with watched():
        for rows, lr in steps:
            learner.step(rows, lr)
    assert {tensor.device for tensor in learner._outputs} == {learner.train.device}


ALL = [
    "model.dropout=0.5",
    "model.input_dropout=0.1",
    "optim.clip_norm=1.0",
    "optim.clip_value=0.5",
    "optim.max_norm=2.0",
    "optim.l1=0.001",
    "regularize.average=ema",
    "regularize.input_noise=0.1",
    "loss.label_smoothing=0.1",
    "loss.class_weights=balanced",
    "schedule.name=one_cycle",
]
STRONG = ["data.augment=[strong, {flip_horizontal: 0.5}, {crop: 1}]"]
# Each with another optimizer.
CASES: dict[str, tuple[str, list[str]]] = {
    "plain": ("table", ["model.dropout=0", "optim.name=adamw"]),
    "all": ("table", [*ALL, "regularize.mixup=0.4", "model.norm=layer", "model.hidden=[8, 8]", "optim.name=radam"]),
    "regression": ("regression", ["optim.decay=coupled", "loss.name=huber", "optim.name=nadam"]),
    "quantiles": ("regression", ["model.numeric=quantile", "model.embedding=periodic", "optim.name=rmsprop"]),
    "robust": ("regression", ["model.numeric=robust", "model.embedding=cosine", "loss.name=msle", "optim.name=sgd"]),
    "standard": ("table", ["model.norm=none", "loss.name=focal", "optim.decay_all=true", "optim.name=adagrad"]),
    "parts": ("table", ["train.accumulate=2", "train.batch_size=8", "regularize.mixup=1", "optim.name=lion"]),
    "augmented": ("images", ["model.name=mlp", *STRONG, "regularize.cutmix=1", "model.norm=group", "optim.name=lamb"]),
    "matrices": ("table", ["model.residual=true", "model.hidden=[8, 8]", "optim.name=muon"]),
}
OF_CNN = {
    "plain": [],
    "all": [*ALL, *STRONG, "regularize.cutmix=1", "model.channel_dropout=0.1"],
    "flips": ["data.augment=[{flip_horizontal: 0.5}, {crop: 1}]", "regularize.mixup=0.2", "model.norm=instance"],
}


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_a_network_stays_on_the_device(load: Load, case: str) -> None:
    params, data = load(CASES[case][0], *CASES[case][1])
    take_steps(begin([params], on_meta(data, weighted=case == "all"), packed=False))


@pytest.mark.parametrize("case", OF_CNN)
def test_a_step_of_a_convolutional_network_stays_on_the_device(load: Load, case: str) -> None:
    params, data = load("images", "model.name=cnn", *OF_CNN[case])
    take_steps(begin([params], on_meta(data), packed=False))


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_a_pack_stays_on_the_device(load: Load, case: str) -> None:
    """Also of the members that are left, and of those that join them."""
    params, data = load(CASES[case][0], *CASES[case][1])
    members = [params.replace({"train.seed": seed, "optim.lr": 0.01 / (1 + seed)}) for seed in range(4)]
    training = begin(members[:3], on_meta(data, weighted=case == "all"), packed=True)
    take_steps(training)
    training.learner._forget_steps()
    training.change([0, 2], members[3:])
    take_steps(training)


@contextmanager
def waits_are_errors() -> Iterator[None]:
    """Of CUDA's own telling."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_on_a_gpu_no_step_waits(load: Load, case: str, packed: bool) -> None:
    params, data = load(CASES[case][0], *CASES[case][1], "train.device=cuda")
    take_steps(begin([params] * (1 + packed), data, packed=packed), waits_are_errors)


# What is watched is seen


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x + torch.from_numpy(np.ones(3, np.float32)).to(META),
        lambda x: x + torch.tensor([1.0, 2.0, 3.0], device=META),
        lambda x: x.copy_(torch.ones(3)),
        lambda x: float(x[0]),
        lambda x: bool((x > 0).all()),
        lambda x: x[x > 0],
        lambda x: x.cpu(),
    ],
)
def test_copies_and_waits_are_seen(work: Callable[[Tensor], Any]) -> None:
    x = torch.ones(3, device=META)
    with pytest.raises(AssertionError, match=r"waits|copies|of the host"), NoHost():
        work(x)
    with NoHost():
        x.mul_(2.0).add_(x).clamp_(max=1.0)


# What is made ahead is what each step would make


def one_by_one(self: Ahead[Any, Any], steps: Sequence[Any]) -> None:
    pass


def all_at_once(self: Ahead[Any, Any], steps: Sequence[Any]) -> None:
    self._made.extend(self._make(steps))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("kind", "overrides"), CASES.values(), ids=CASES)
def test_an_epoch_made_ahead_is_the_same_in_every_byte(
    load: Load, kind: str, overrides: list[str], packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, data = load(kind, *overrides)
    members = [params.replace({"train.seed": seed}) for seed in range(1 + 2 * packed)]
    for user in (average, optimizer):
        monkeypatch.setattr(user, "OF_NUMBERS", 2)  # of 3 steps
    found = []
    for begins in (one_by_one, Ahead.begin, all_at_once):
        monkeypatch.setattr(Ahead, "begin", begins)
        training = begin(members, data, packed=packed)
        history = [epoch.metrics["train/loss"].tolist() for epoch in training.epochs]
        found.append((history, training.learner))
    (history, one), *others = found
    for again, other in others:
        assert history == again
        for member in range(len(members)):
            other_weights = other.weights(member)
            assert all(torch.equal(tensor, other_weights[name]) for name, tensor in one.weights(member).items())
        assert str(one.random_state()) == str(other.random_state())
