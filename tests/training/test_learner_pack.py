"""A member of a pack is what it would be alone: packed beside plain."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from wellfit.data.prepare import column_quantiles
from wellfit.models import build_model
from wellfit.models import predict as prediction
from wellfit.settings.params import Params
from wellfit.training import batches as module
from wellfit.training.learner import Learner
from wellfit.training.optim import OPTIMIZERS
from wellfit.training.pack import PER_MEMBER, can_pack, pack_key
from wellfit.training.schedule import SCHEDULES
from wellfit.training.setup import Training, TrainingData, begin, load_training_data

Values = Mapping[str, Any]
Load = Callable[..., tuple[Params, TrainingData]]
# Adam divides by the root of the squared gradient. Where that is zero but for rounding, as of a bias that the loss does
# not feel, an eps of 1e-8 makes a step of what is noise, and two computations of the same training part.
BASE = {
    "optim.eps": 1e-4,
    "optim.lr": 0.01,
    "train.epochs": 3,
    "train.patience": None,
    "schedule.name": "constant",
    "model.dropout": 0.0,
    "model.groups": 2,  # of four units: two would be 1 and -1 whatever goes in, but for rounding
}


@pytest.fixture
def load(processed: Callable[..., Path], make_params: Callable[..., Params]) -> Load:
    """Params and the data they train on."""

    def run(kind: str = "table", **changes: Any) -> tuple[Params, TrainingData]:
        params = make_params(kind)
        data = load_training_data(params, processed(kind))
        if kind == "table":  # a column without variation would leave gradients that are nothing but rounding
            random = torch.Generator().manual_seed(0)
            for split in (data.train, data.val):
                split.x[:, 1] = 7 + torch.randn(len(split.x), generator=random)
            update = {"quantiles": column_quantiles(data.train.x.numpy())}
            data = data._replace(meta=data.meta.model_copy(update=update))
        return params.replace(BASE | changes), data

    return run


@dataclass
class Trace:
    """What became of one member: its metrics and weights after each epoch in which it was active."""

    params: Params
    metrics: list[dict[str, float]] = field(default_factory=list)
    weights: list[dict[str, Tensor]] = field(default_factory=list)
    improved: list[bool] = field(default_factory=list)
    best: float = float("nan")
    best_epoch: int = 0
    failure: str | None = None
    has_ended: bool = False


Change = Callable[[list[Trace]], tuple[Sequence[int], Sequence[Params]]]
TIMING = ("seconds", "samples_per_second")


def train(training: Training, members: Sequence[Params], changes: Mapping[int, Change] | None = None) -> list[Trace]:
    """Trains to the end.

    Args:
        training: that has just begun.
        members: their configurations.
        changes: after which epoch of the pack which members go on, and which join them.
    """
    traces = present = [Trace(params) for params in members]
    was_active = training.members.active.copy()
    for number, epoch in enumerate(training.epochs, start=1):
        for k, trace in enumerate(present):
            if was_active[k]:
                trace.metrics.append({name: v for name, v in epoch.of(k).items() if name not in TIMING})
                trace.weights.append(training.learner.weights(k))
                trace.improved.append(bool(epoch.improved[k]))
                trace.best, trace.best_epoch = float(training.members.best[k]), int(training.members.best_epoch[k])
                trace.failure, trace.has_ended = training.members.failure[k], not training.members.active[k]
                assert epoch.number[k] == len(trace.metrics)
        if changes and number in changes:
            kept, added = changes[number](present)
            training.change(kept, added)
            joined = [Trace(params) for params in added]
            present = [present[k] for k in kept] + joined
            traces = traces + joined
        was_active = training.members.active.copy()
    return traces


def alone(params: Params, data: TrainingData) -> Trace:
    (trace,) = train(begin([params], data, packed=False), [params])
    return trace


def assert_same(trace: Trace, expected: Trace, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    assert len(trace.metrics) == len(expected.metrics) if trace.has_ended else len(trace.metrics) > 0
    for epoch, (ours, theirs) in enumerate(zip(trace.metrics, expected.metrics, strict=False), start=1):
        assert ours == pytest.approx(theirs, rel=5 * rtol, abs=5 * atol, nan_ok=True), epoch
    for epoch, (ours, theirs) in enumerate(zip(trace.weights, expected.weights, strict=False), start=1):
        assert list(ours) == list(theirs)
        for name, tensor in theirs.items():
            note = f"{name} after epoch {epoch}"
            torch.testing.assert_close(
                ours[name], tensor, rtol=rtol, atol=atol, equal_nan=True, msg=lambda m, note=note: f"{note}: {m}"
            )
    assert trace.improved == expected.improved[: len(trace.improved)]
    if trace.has_ended:
        assert trace.best_epoch == expected.best_epoch
        assert trace.best == pytest.approx(expected.best, rel=10 * rtol, abs=10 * atol)
        assert (trace.failure is None) == (expected.failure is None)


def assert_members_are_what_they_would_be_alone(params: Params, members: Sequence[Values], data: TrainingData) -> None:
    configs = [params.replace({"train.seed": k} | dict(values)) for k, values in enumerate(members)]
    assert len({pack_key(config) for config in configs}) == 1
    for trace in train(begin(configs, data, packed=True), configs):
        assert trace.has_ended
        assert_same(trace, alone(trace.params, data))


# Networks


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model.norm": "layer"},
        {"model.norm": "group", "model.norm_first": False},
        {"model.norm": "none", "model.activation": "tanh"},
        {"model.norm_first": False, "model.activation": "gelu"},
        {"model.norm": "layer", "model.norm_first": False, "model.activation": "silu"},
        {"model.hidden": [8, 8, 4], "model.residual": True, "model.activation": "leaky_relu"},
        {"model.hidden": [8, 8], "model.residual": True, "model.norm": "none", "model.activation": "sigmoid"},
        {"model.activation": "hardswish", "model.norm": "group"},
        {"model.hidden": []},
        {"model.name": "linear"},
    ],
    ids=str,
)
def test_each_network_with_its_own_dropout_and_initial_weights(load: Load, changes: Values) -> None:
    params, data = load(**changes)
    members = [
        {"model.dropout": 0.3, "model.input_dropout": 0.1},
        {"model.dropout": 0.0, "model.init": "orthogonal"},
        {"model.dropout": 0.6, "model.init": "normal", "model.init_std": 0.2},
    ]
    assert_members_are_what_they_would_be_alone(params, members, data)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.embedding": "ple", "model.numeric": "robust"},
        # Without norms, as for each optimizer below.
        {"model.embedding": "periodic", "model.embedding_width": 3, "model.numeric": "quantile", "model.norm": "none"},
        {"model.embedding": "ple", "model.embedding_width": 3, "optim.name": "muon"},
        # Adam would divide the first gradients of the frequencies, which begin at zero, by their own size.
        {"model.embedding": "cosine", "optim.name": "sgd"},
    ],
    ids=str,
)
def test_each_with_an_embedding_of_its_own_scale(load: Load, changes: Values) -> None:
    params, data = load(**changes)
    members: list[Values] = [{"model.embedding_scale": 0.5, "model.input_dropout": 0.1}, {"optim.weight_decay": 0.3}]
    assert_members_are_what_they_would_be_alone(params, members, data)


def test_a_pack_of_one(load: Load) -> None:
    params, data = load()
    assert_members_are_what_they_would_be_alone(params, [{"model.dropout": 0.5}], data)


def test_the_same_seed_and_settings_make_the_same_member(load: Load) -> None:
    params, data = load(**{"model.dropout": 0.3})
    first, _, again = train(begin([params, params.replace({"train.seed": 1}), params], data, packed=True), [params] * 3)
    assert first.metrics == again.metrics
    for one, two in zip(first.weights, again.weights, strict=True):
        assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


# Optimizers


def decays(name: str) -> list[str]:
    return {"lamb": ["auto"], "adamw": ["auto", "decoupled"]}.get(name, ["auto", "coupled", "decoupled"])


@pytest.mark.parametrize("decay", ["auto", "coupled", "decoupled"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_with_its_own_settings(load: Load, name: str, decay: str) -> None:
    if decay not in decays(name):
        pytest.skip("a contradiction")
    # Without norms: in front of a batch norm gradients are small beside what they are rounded from, and lion takes the
    # sign of what is left.
    params, data = load(**{"optim.name": name, "optim.decay": decay, "model.norm": "none", "model.activation": "tanh"})
    members: list[Values] = [
        {"optim.lr": 0.01, "optim.weight_decay": 0.0, "optim.momentum": 0.5, "optim.beta1": 0.8},
        {"optim.lr": 0.003, "optim.weight_decay": 0.1, "optim.momentum": 0.9, "optim.nesterov": True},
        {"optim.lr": 0.02, "optim.weight_decay": 0.5, "optim.beta2": 0.9, "optim.alpha": 0.9, "optim.eps": 1e-2},
        {"optim.lr": 0.02, "optim.weight_decay": 0.5, "optim.beta2": 0.9, "optim.alpha": 0.9, "optim.eps": 1e-2},
    ]
    assert_members_are_what_they_would_be_alone(params, members, data)


@pytest.mark.parametrize("decay_all", [False, True])
def test_each_with_its_own_penalties_and_limits(load: Load, decay_all: bool) -> None:
    params, data = load(**{"optim.decay_all": decay_all, "model.norm": "layer", "model.dropout": 0.2})
    members: list[Values] = [
        {},
        {"optim.l1": 0.01, "optim.weight_decay": 0.0},
        {"optim.clip_norm": 0.1},
        {"optim.clip_value": 0.02, "optim.l1": 0.001},
        {"optim.max_norm": 0.5},
        {"optim.clip_norm": 0.5, "optim.clip_value": 0.1, "optim.max_norm": 1.0, "optim.weight_decay": 0.3},
    ]
    assert_members_are_what_they_would_be_alone(params, members, data)


# Schedules and ends


@pytest.mark.parametrize("warmup", [0, 2])
def test_each_with_its_own_schedule(load: Load, warmup: int) -> None:
    params, data = load(**{"schedule.warmup_epochs": warmup, "train.epochs": 6, "schedule.step_epochs": 1})
    plateau = {"schedule.patience": 0, "schedule.threshold": 0.5, "schedule.gamma": 0.5}
    members = [{"schedule.name": name, "optim.lr": 0.02 / (k + 1)} | plateau for k, name in enumerate(SCHEDULES)]
    members += [{"schedule.name": "plateau", "schedule.patience": 1, "schedule.min_lr": 0.002, "schedule.gamma": 0.1}]
    assert_members_are_what_they_would_be_alone(params, members, data)


def test_each_with_its_own_patience_and_epochs(load: Load) -> None:
    params, data = load(**{"train.monitor": "val/accuracy", "optim.lr": 0.05})
    members = [
        {"train.epochs": 2, "train.patience": None},
        {"train.epochs": 9, "train.patience": 1},
        {"train.epochs": 9, "train.patience": 3, "train.min_delta": 0.2},
        {"train.epochs": 5, "train.patience": 4, "schedule.name": "cosine"},
    ]
    assert_members_are_what_they_would_be_alone(params, members, data)


# Losses and rows


CLASS_LOSSES: list[tuple[Values, list[Values]]] = [
    ({"loss.name": "cross_entropy"}, [{"loss.label_smoothing": s} for s in (0.0, 0.1, 0.5)]),
    ({"loss.class_weights": [1.0, 2.0, 5.0]}, [{"loss.label_smoothing": s} for s in (0.0, 0.2)]),
    ({"loss.class_weights": "balanced"}, [{}, {}]),
    ({"loss.name": "focal"}, [{"loss.focal_gamma": gamma} for gamma in (0.0, 0.5, 3.0)]),
    ({"loss.name": "focal", "loss.class_weights": [1.0, 2.0, 5.0]}, [{"loss.focal_gamma": g} for g in (1.0, 2.0)]),
]
NUMBER_LOSSES: list[tuple[Values, list[Values]]] = [
    *(({"loss.name": name}, [{}, {}]) for name in ("mse", "mae", "msle")),
    *(({"loss.name": name}, [{"loss.delta": delta} for delta in (0.1, 1.0)]) for name in ("huber", "smooth_l1")),
]


@pytest.mark.parametrize("has_weights", [False, True])
@pytest.mark.parametrize("loss", CLASS_LOSSES + NUMBER_LOSSES, ids=lambda loss: str(loss[0]))
def test_each_loss_with_its_own_settings(load: Load, loss: tuple[Values, list[Values]], has_weights: bool) -> None:
    params, data = load("regression" if loss in NUMBER_LOSSES else "table", **loss[0])
    if has_weights:
        train, val = (split._replace(weights=torch.arange(len(split.y)) % 3 / 2) for split in (data.train, data.val))
        data = data._replace(train=train, val=val)
    assert_members_are_what_they_would_be_alone(params, loss[1], data)


@pytest.mark.parametrize("weights", ["none", [1.0, 3.0]])
def test_two_classes_by_one_logit(load: Load, weights: Any) -> None:
    params, data = load(**{"loss.name": "bce", "loss.class_weights": weights})
    train, val = (split._replace(y=(split.y > 1).long()) for split in (data.train, data.val))
    meta = data.meta.model_copy(update={"class_names": ("p", "q"), "class_counts": (24, 11)})
    smoothing = [{"loss.label_smoothing": s} for s in (0.0, 0.3)]
    assert_members_are_what_they_would_be_alone(params, smoothing, TrainingData(meta, train, val))


def test_categories_are_encoded(load: Load) -> None:
    params, data = load()
    numbers, codes = data.train.x[:, :3], torch.arange(35.0)[:, None] % 5 - 1
    columns = (
        *data.meta.columns[:3],
        data.meta.columns[3].model_copy(update={"fill": None, "categories": tuple("wxyz")}),
    )
    update = {"columns": columns, "mean": data.meta.mean[:3], "std": data.meta.std[:3]}
    update["quantiles"] = data.meta.quantiles[:3]
    train = data.train._replace(x=torch.cat([numbers, codes], 1))
    val = data.val._replace(x=torch.cat([data.val.x[:, :3], codes[:20]], 1))
    data = TrainingData(data.meta.model_copy(update=update), train, val)
    assert_members_are_what_they_would_be_alone(params, [{}, {"model.input_dropout": 0.2}], data)


# Regularization of batches and weights


MIXED = [{}, {"regularize.mixup": 0.4}, {"regularize.input_noise": 0.3}]


@pytest.mark.parametrize("kind", ["table", "regression", "images"])
def test_each_with_its_own_noise_and_mixup(load: Load, kind: str) -> None:
    params, data = load(kind)
    both = [{"regularize.mixup": 1.0, "regularize.input_noise": 0.1}]
    assert_members_are_what_they_would_be_alone(params, MIXED + both, data)


def test_mixed_rows_bring_their_weights_along(load: Load) -> None:
    params, data = load()
    train = data.train._replace(weights=torch.arange(35) % 3 / 2)
    assert_members_are_what_they_would_be_alone(params, MIXED, data._replace(train=train))


@pytest.mark.parametrize("augment", ["none", [{"rotate": 15}, {"flip_horizontal": 0.5}]])
def test_each_with_its_own_cutmix(load: Load, augment: Any) -> None:
    params, data = load("images", **{"data.augment": augment})
    members = [{"regularize.cutmix": 1.0}, {}, {"regularize.cutmix": 0.3}, {"regularize.mixup": 0.3}]
    assert_members_are_what_they_would_be_alone(params, members, data)


@pytest.mark.parametrize(
    "augment",
    [[{"rotate": 15}, {"zoom": [0.8, 1.2]}], [{"crop": 1}, {"erase": {"probability": 0.5, "area": [0.1, 0.3]}}]],
)
def test_each_with_its_own_augmentation(load: Load, augment: Any) -> None:
    params, data = load("images", **{"data.augment": augment})
    assert_members_are_what_they_would_be_alone(params, [{}, {"model.dropout": 0.2}, {}], data)


def test_rows_that_are_too_many_to_encode_at_once(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENCODED_BYTES", 0)
    for kind in ("table", "images"):
        params, data = load(kind)
        assert_members_are_what_they_would_be_alone(params, MIXED, data)


def test_validation_rows_that_are_too_many_for_one_pass(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "PACKED_CHUNK", 20)
    params, data = load()
    sizes: list[torch.Size] = []
    learner = begin([params] * 3, data, packed=True).learner
    learner.model.register_forward_hook(lambda layer, inputs, outputs: sizes.append(outputs.shape))
    learner.validate()
    assert sizes == [(3, 6, 3)] * 3 + [(3, 2, 3)]
    assert_members_are_what_they_would_be_alone(params, [{}, {}, {}], data)


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_each_with_its_own_average(load: Load, kind: str) -> None:
    params, data = load(**{"regularize.average": kind, "model.dropout": 0.2})
    members = [
        {"regularize.ema_decay": 0.5, "regularize.swa_start": 0.0, "train.epochs": 4},
        {"regularize.ema_decay": 0.99, "regularize.swa_start": 0.6, "train.epochs": 5},
        {"regularize.ema_decay": 0.9, "regularize.swa_start": 0.99, "train.epochs": 3},
    ]
    assert_members_are_what_they_would_be_alone(params, members, data)


def test_several_batches_a_step(load: Load) -> None:
    params, data = load(**{"train.accumulate": 3, "train.batch_size": 4, "loss.class_weights": [1.0, 2.0, 5.0]})
    assert_members_are_what_they_would_be_alone(params, [*MIXED, {"model.dropout": 0.4}], data)


# Members that go and come


@pytest.mark.parametrize(
    ("name", "average"), [*((name, "none") for name in OPTIMIZERS), ("adamw", "ema"), ("adamw", "swa")]
)
def test_members_that_stay_and_join_are_what_they_would_be_alone(load: Load, name: str, average: str) -> None:
    changes = {"optim.name": name, "regularize.average": average, "regularize.swa_start": 0.4, "train.epochs": 5}
    params, data = load(**changes, **{"model.norm": "layer", "model.activation": "tanh", "schedule.name": "cosine"})

    def member(seed: int, **values: Any) -> Params:
        settings = {"optim.lr": 0.004 * (seed + 1), "model.dropout": 0.1 * (seed % 3)}
        return params.replace({"train.seed": seed} | settings | values)

    members = [member(0), member(1), member(2), member(3)]
    joining = [member(4), member(5, **{"regularize.mixup": 0.4}), member(6)]
    traces = train(
        begin(members, data, packed=True),
        members,
        {
            1: lambda present: ([0, 2, 3], []),
            2: lambda present: ([1, 2], joining[:2]),
            3: lambda present: ([0, 2, 3], joining[2:]),
        },
    )
    assert [len(trace.metrics) for trace in traces] == [2, 1, 5, 3, 5, 5, 5]
    for trace in traces:
        assert_same(trace, alone(trace.params, data))


def test_all_can_be_replaced(load: Load) -> None:
    params, data = load(**{"model.dropout": 0.3})
    first, second = params, params.replace({"train.seed": 7})
    traces = train(begin([first], data, packed=True), [first], {2: lambda present: ([], [second])})
    assert [len(trace.metrics) for trace in traces] == [2, 3]
    for trace in traces:
        assert_same(trace, alone(trace.params, data))


@pytest.mark.parametrize("kind", ["table", "images"])
def test_settings_that_nobody_had_come_with_who_joins(load: Load, kind: str) -> None:
    """Where no member had a limit, a penalty or noise, nothing was there to extend."""
    params, data = load(kind, **{"data.augment": [{"rotate": 10}]} if kind == "images" else {})
    joining = [
        params.replace({"train.seed": 5, "optim.l1": 0.01, "optim.clip_norm": 0.1, "optim.max_norm": 0.5}),
        params.replace({"train.seed": 6, "regularize.mixup": 0.4, "loss.label_smoothing": 0.3}),
        params.replace({"train.seed": 7, "optim.weight_decay": 0.3, "model.dropout": 0.5}),
    ]
    members = [params.replace({"optim.weight_decay": 0.0})] * 2
    traces = train(begin(members, data, packed=True), members, {1: lambda present: ([1], joining)})
    for trace in traces:
        assert_same(trace, alone(trace.params, data))


@pytest.fixture
def in_float64(load: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Params, TrainingData]]:
    """Params and data, with float64 wherever the code says float32.

    Of single precision some compositions make much: where rmsprop divides by what batch norm has left of a gradient, or
    a relu is at its corner, inputs that differ in their last bit end as weights that differ in their fourth digit. In
    double precision all of them can be told from a mistake.
    """
    params, data = load()
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(np, "float32", np.float64)
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    single = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield params, data
    torch.set_default_dtype(single)


FREE: dict[str, list[Any]] = {
    "model.dropout": [0.0, 0.2, 0.5],
    "model.input_dropout": [0.0, 0.3],
    "model.init": ["default", "kaiming_normal"],
    "loss.label_smoothing": [0.0, 0.2],
    "regularize.input_noise": [0.0, 0.2],
    "regularize.mixup": [0.0, 0.5],
    "regularize.ema_decay": [0.5, 0.9],
    "regularize.swa_start": [0.0, 0.5, 0.9],
    "optim.lr": [0.001, 0.01, 0.03],
    "optim.weight_decay": [0.0, 0.1],
    "optim.l1": [0.0, 0.001],
    "optim.clip_norm": [None, 0.3],
    "optim.clip_value": [None, 0.1],
    "optim.max_norm": [None, 1.0],
    "optim.momentum": [0.5, 0.9],
    "optim.beta1": [0.8, 0.9],
    "schedule.name": ["constant", "cosine", "plateau", "one_cycle", "exponential"],
    "schedule.warmup_epochs": [0, 1],
    "schedule.patience": [0, 1],
    "train.seed": [0, 1, 2, 3],
    "train.epochs": [2, 3, 4],
    "train.patience": [None, 1, 2],
}
SHARED: dict[str, list[Any]] = {
    "model.hidden": [[], [8], [8, 8]],
    "model.norm": ["batch", "layer", "group", "none"],
    "model.norm_first": [True, False],
    "model.residual": [False, True],
    "model.activation": ["relu", "tanh", "gelu"],
    "loss.class_weights": ["none", [1.0, 2.0, 5.0]],
    "regularize.average": ["none", "ema", "swa"],
    "optim.name": tuple(OPTIMIZERS),
    "optim.decay_all": [False, True],
    "train.accumulate": [1, 2],
    "train.monitor": ["val/loss", "val/accuracy"],
}


def choices(pool: Mapping[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key: st.sampled_from(values) for key, values in pool.items()})


@st.composite
def shared_choices(draw: st.DrawFn) -> dict[str, Any]:
    values = draw(choices(SHARED))
    values["model.residual"] &= len(values["model.hidden"]) > 1
    return values | {"optim.decay": draw(st.sampled_from(decays(values["optim.name"])))}


@settings(derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shared=shared_choices(), trials=st.lists(choices(FREE), min_size=2, max_size=7), draw=st.data())
def test_any_composition_in_any_order(
    in_float64: tuple[Params, TrainingData], shared: Values, trials: list[Values], draw: Any
) -> None:
    """A queue of trials, of which some run at a time; after each epoch some leave, and some of those waiting join."""
    params, data = in_float64
    waiting = [params.replace(dict(shared) | dict(trial)) for trial in trials]
    begun = draw.draw(st.integers(1, len(waiting)))
    members, waiting = waiting[:begun], waiting[begun:]

    def change(present: list[Trace]) -> tuple[list[int], list[Params]]:
        joining = waiting[: draw.draw(st.integers(0, len(waiting)))]
        del waiting[: len(joining)]
        stay = [k for k in range(len(present)) if draw.draw(st.booleans())]
        return (stay or [0], joining) if not joining else (stay, joining)

    for trace in train(begin(members, data, packed=True), members, dict.fromkeys(range(1, 4), change)):
        if trace.metrics:
            assert_same(trace, alone(trace.params, data), rtol=1e-7, atol=1e-9)
            assert {w.dtype for w in trace.weights[0].values()} <= {torch.float64, torch.int64}


# Numbers that blow up


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "muon"])
def test_a_member_that_blows_up_fails_alone(load: Load, name: str) -> None:
    settings = {"optim.name": name, "model.norm": "none", "regularize.average": "swa", "regularize.swa_start": 0.0}
    params, data = load("regression", **settings)

    def members(lr: float) -> list[Params]:
        rates = [0.01, lr, 0.003]
        return [params.replace({"train.seed": k, "optim.lr": rate}) for k, rate in enumerate(rates)]

    sound, broken = members(0.02), members(1e38)
    expected = train(begin(sound, data, packed=True), sound)
    traces = train(begin(broken, data, packed=True), broken)
    assert traces[1].failure is not None
    assert " in epoch 1" in traces[1].failure
    assert (len(traces[1].metrics), traces[1].best_epoch, traces[1].improved) == (1, 0, [False])
    assert alone(broken[1], data).failure is not None
    for k in (0, 2):
        assert traces[k].failure is None
        assert traces[k].metrics == expected[k].metrics  # to the last bit
        for one, two in zip(traces[k].weights, expected[k].weights, strict=True):
            assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


@pytest.mark.parametrize("kind", ["table", "regression"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_hurt_no_other_member(load: Load, bad: float, kind: str) -> None:
    changes = {"model.dropout": 0.3, "optim.l1": 0.01, "optim.clip_norm": 0.5, "optim.max_norm": 1.0}
    params, data = load(kind, **changes, **{"regularize.average": "ema", "regularize.mixup": 0.3})
    members = [params.replace({"train.seed": k}) for k in range(3)]

    def run(broken: bool) -> list[Trace]:
        training = begin(members, data, packed=True)
        if broken:
            with torch.no_grad():
                for parameter in training.learner.model.parameters():
                    parameter[1] = bad
        return train(training, members)

    sound, traces = run(broken=False), run(broken=True)
    assert traces[1].failure is not None
    for k in (0, 2):
        assert traces[k].metrics == sound[k].metrics


# What goes into a pack


def is_per_member(key: str) -> bool:
    section, _, name = key.partition(".")
    return name in PER_MEMBER.get(section, ())


def test_members_agree_in_all_settings_but_their_own(load: Load) -> None:
    params, _ = load(**{"model.hidden": [8, 8]})
    for key, values in FREE.items():
        assert is_per_member(key)
        assert len({pack_key(params.replace({key: value})) for value in values}) == 1
    for key, values in SHARED.items():
        assert not is_per_member(key)
        assert len({pack_key(params.replace({key: value})) for value in values}) == len(values), key


def test_every_setting_of_a_member_is_a_key(load: Load) -> None:
    params, _ = load()
    tree = params.model_dump(mode="json")
    for section, names in PER_MEMBER.items():
        assert set(names) <= set(tree[section])


@pytest.mark.parametrize(
    ("changes", "can"),
    [
        ({}, True),
        ({"model.name": "linear"}, True),
        ({"model.name": "cnn"}, False),
        ({"train.precision": "bf16"}, True),
        ({"train.compile": True}, False),
    ],
)
def test_perceptrons_that_are_not_compiled_can_be_packed(load: Load, changes: Values, can: bool) -> None:
    params, _ = load("images")
    assert can_pack(params.replace(dict(changes))) is can


# Beginnings


def test_a_pack_begins_as_its_members_do_and_leaves_the_global_generator_to_none(load: Load) -> None:
    params, data = load()
    members = [params.replace({"train.seed": seed}) for seed in (3, 1)]
    pack = Learner(members, *data, packed=True)
    assert pack.size == 2
    for k, config in enumerate(members):
        torch.manual_seed(config.train.seed)
        expected = build_model(config.model, pack.inputs.shape, 3).state_dict()
        weights = pack.weights(k)
        assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())


def test_targets_that_do_not_fit_the_loss_are_refused(load: Load) -> None:
    params, data = load("regression", **{"loss.name": "msle"})
    train = data.train._replace(y=data.train.y - 100)
    with pytest.raises(Exception, match=r"loss\.name msle needs targets >= 0"):
        begin([params, params], data._replace(train=train), packed=True)


def test_weights_are_a_copy_and_validation_changes_nothing(load: Load) -> None:
    params, data = load(**{"model.dropout": 0.5, "regularize.average": "ema"})
    pack = begin([params] * 2, data, packed=True).learner
    rows = torch.arange(20).view(2, 10)
    pack.step(rows, np.array([0.1, 0.1]))
    kept = [pack.weights(k) for k in (0, 1)]
    live = {name: tensor.clone() for name, tensor in pack.model.state_dict().items()}
    state = torch.get_rng_state()
    scores = pack.validate()
    assert pack.model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, live[name]) for name, tensor in pack.model.state_dict().items())
    again = pack.validate()
    assert all(np.array_equal(values, again[name]) for name, values in scores.items())
    pack.step(rows, np.array([0.1, 0.1]))
    for k in (0, 1):
        assert all(not torch.equal(kept[k][n], t) for n, t in pack.weights(k).items() if n.endswith("weight"))


@pytest.mark.parametrize("kind", ["table", "regression", "images"])
@pytest.mark.parametrize("average", ["none", "ema"])
def test_rows_of_any_split_are_scored_as_a_single_model_scores_them(load: Load, kind: str, average: str) -> None:
    params, data = load(kind, **{"model.dropout": 0.5, "regularize.average": average, "model.norm": "batch"})
    members = [params.replace({"train.seed": seed}) for seed in (0, 1)]
    training = begin(members, data, packed=True)
    next(training.epochs)
    rows = data.train._replace(weights=torch.arange(1.0, len(data.train.y) + 1))
    scores = training.learner.score(rows, ranked=True)
    assert training.learner.model.training
    for k, member in enumerate(members):
        single = begin([member], data, packed=False).learner
        single.model.load_state_dict(training.learner.weights(k))
        expected = single.score(rows, ranked=True)
        assert set(scores) == set(expected)
        for name, values in expected.items():
            assert scores[name][k] == pytest.approx(values[0], rel=1e-4, abs=1e-6), name
    assert set(training.learner.score(rows, ranked=False)) == set(scores) - {"roc_auc", "average_precision"}
