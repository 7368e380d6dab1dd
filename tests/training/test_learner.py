import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchinfo
from sklearn import metrics
from torch import Tensor, nn
from torch.optim import SGD, AdamW

from wellfit.data.augment.apply import Augment
from wellfit.data.meta import Meta
from wellfit.models import build_model
from wellfit.models.inputs import Inputs
from wellfit.settings.params import Params
from wellfit.training import batches as module
from wellfit.training.learner import Learner
from wellfit.training.loop import BatchOrder
from wellfit.training.loss import head_width
from wellfit.training.setup import TrainingData, begin, load_training_data
from wellfit.training.tensors import Tensors

from ..conftest import resident

CPU = torch.device("cpu")
FIRST = np.array([1])  # epoch
Load = Callable[..., tuple[Params, TrainingData]]


@pytest.fixture
def load(processed: Callable[..., Path], make_params: Callable[..., Params]) -> Load:
    """Params and the data they train on."""

    def run(kind: str, *overrides: str, **sizes: int) -> tuple[Params, TrainingData]:
        params = make_params(kind, *overrides)
        return params, load_training_data(params, processed(kind, sizes))

    return run


def learner(params: Params, data: TrainingData) -> Learner:
    return Learner([params], *data, packed=False)


def plain_scores(outputs: Tensor, targets: Tensor, params: Params, meta: Meta) -> dict[str, float]:
    """What scikit-learn and torch's losses say of outputs."""
    if meta.task == "regression":
        mean, std = meta.target_mean or 0.0, meta.target_std or 1.0
        true, predicted = targets.double() * std + mean, outputs[:, 0].double() * std + mean
        return {
            "loss": nn.functional.mse_loss(outputs[:, 0], targets).item(),
            "rmse": metrics.root_mean_squared_error(true, predicted),
            "mae": metrics.mean_absolute_error(true, predicted),
            "r2": metrics.r2_score(true, predicted),
            "msle": metrics.mean_squared_log_error(true, predicted.clamp_min(0)),
        }
    smoothing = params.loss.label_smoothing
    predicted = outputs.argmax(1)
    return {
        "loss": nn.functional.cross_entropy(outputs, targets, label_smoothing=smoothing).item(),
        "accuracy": metrics.accuracy_score(targets, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(targets, predicted),
        "precision": metrics.precision_score(targets, predicted, average="macro", zero_division=0),
        "recall": metrics.recall_score(targets, predicted, average="macro", zero_division=0),
        "f1": metrics.f1_score(targets, predicted, average="macro"),
        "macro_f1": metrics.f1_score(targets, predicted, average="macro"),
    }


def plain_ranking(outputs: Tensor, targets: Tensor, meta: Meta) -> dict[str, float]:
    """What scikit-learn says of the order of the rows, which is asked of the validation split."""
    if meta.task == "regression":
        return {}
    probabilities = outputs.double().softmax(1).numpy()
    return {
        "roc_auc": metrics.roc_auc_score(targets, probabilities, multi_class="ovr"),
        "average_precision": metrics.average_precision_score(targets, probabilities),
    }


def plain_training(params: Params, data: TrainingData) -> tuple[list[dict[str, float]], nn.Module]:
    """The loop of a tutorial: no table of rates, no fused optimizer, every value taken as it comes."""
    torch.manual_seed(params.train.seed)
    inputs = Inputs(data.meta, "standard", CPU)
    model = build_model(params.model, Inputs(data.meta, "standard", CPU).shape, head_width("auto", data.meta))
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": params.optim.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer = AdamW(groups, lr=params.optim.lr, foreach=False)
    if params.optim.name == "sgd":
        optimizer = SGD(groups, lr=params.optim.lr, momentum=params.optim.momentum, foreach=False)
    order = BatchOrder(len(data.train.y), params.train.batch_size, [params.train.seed], CPU)
    history = []
    for epoch in range(1, params.train.epochs + 1):
        model.train()
        seen, norms = [], []
        for rows in order.epoch(np.array([epoch])):
            x, y = inputs(data.train.x[rows[0]]), data.train.y[rows[0]]
            optimizer.zero_grad()
            outputs = model(x)
            if data.meta.task == "regression":
                loss = nn.MSELoss()(outputs[:, 0], y)
            else:
                loss = nn.CrossEntropyLoss(label_smoothing=params.loss.label_smoothing)(outputs, y)
            loss.backward()
            limit = params.optim.clip_norm or float("inf")
            norms.append(nn.utils.clip_grad_norm_(model.parameters(), limit).item())
            optimizer.step()
            seen.append((outputs.detach(), y))
        model.eval()
        with torch.no_grad():
            validated = model(inputs(data.val.x))
        train = plain_scores(torch.cat([o for o, _ in seen]), torch.cat([y for _, y in seen]), params, data.meta)
        val = plain_scores(validated, data.val.y, params, data.meta)
        val |= plain_ranking(validated, data.val.y, data.meta)
        history.append(
            {f"train/{name}": value for name, value in train.items()}
            | {f"val/{name}": value for name, value in val.items()}
            | {"grad_norm": float(np.mean(norms)), "lr": params.optim.lr}
        )
    return history, model


@pytest.mark.parametrize("clip", ["null", "0.05"])
@pytest.mark.parametrize("rows", [35, 33])  # the last batch holds three rows, or nine
@pytest.mark.parametrize(
    ("kind", "overrides"),
    [
        ("table", ["loss.label_smoothing=0.1"]),
        ("table", ["optim.name=sgd", "optim.lr=0.05", "model.norm=none"]),
        ("regression", []),
        ("images", ["model.name=cnn"]),
    ],
)
def test_a_training_is_that_of_a_plain_loop(load: Load, kind: str, overrides: list[str], rows: int, clip: str) -> None:
    params, data = load(
        kind, "model.dropout=0", "schedule.name=constant", f"optim.clip_norm={clip}", *overrides, train=rows
    )
    expected, model = plain_training(params, data)
    training = begin([params], data, packed=False)
    for epoch, numbers in zip(training.epochs, expected, strict=True):
        assert set(epoch.metrics) == set(numbers) | {"seconds", "samples_per_second"}
        actual = {name: epoch.metrics[name].item() for name in numbers}
        assert actual == pytest.approx(numbers, rel=2e-4, abs=1e-5)
    weights = training.learner.weights(0)
    assert weights.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_clipping_bounds_the_step_but_not_the_norm_that_is_told(load: Load) -> None:
    sgd = ["optim.name=sgd", "optim.momentum=0", "optim.weight_decay=0", "model.dropout=0"]
    params, data = load("regression", *sgd, "optim.clip_norm=0.01")
    clipped = learner(params, data)
    before = clipped.weights(0)
    clipped.step(torch.arange(8)[None], np.array([1.0]))
    after = clipped.weights(0)
    moved = torch.cat([(after[n] - before[n]).flatten() for n, _ in clipped.model.named_parameters()]).norm()
    assert moved.item() == pytest.approx(0.01, rel=1e-3)
    assert clipped.finish_epoch(FIRST)["grad_norm"][0] > 0.1


# Scores of an epoch


@pytest.mark.parametrize("kind", ["table", "regression"])
def test_train_metrics_are_of_the_outputs_the_steps_saw(load: Load, kind: str) -> None:
    params, data = load(kind, "model.dropout=0.5")
    single = learner(params, data)
    seen: list[Tensor] = []
    single.model.register_forward_hook(lambda layer, inputs, outputs: seen.append(outputs.detach().clone()))
    batches = [torch.arange(0, 20), torch.arange(20, 35), torch.tensor([4, 4, 7])]
    for rows in batches:
        single.step(rows[None], np.array([0.1]))
    scores = single.finish_epoch(FIRST)
    expected = plain_scores(torch.cat(seen), data.train.y[torch.cat(batches)], params, data.meta)
    assert {name: scores[f"train/{name}"].item() for name in expected} == pytest.approx(expected, rel=1e-5)
    assert set(scores) == {f"train/{name}" for name in expected} | {"grad_norm"}
    assert all(values.shape == (1,) for values in scores.values())


def test_an_epoch_starts_with_nothing_of_the_one_before(load: Load) -> None:
    params, data = load("table", "model.dropout=0", "model.norm=none")
    single = learner(params, data)
    rows, still = torch.arange(16)[None], np.array([0.0])
    single.step(rows, still)
    first = single.finish_epoch(FIRST)
    single.step(torch.arange(16, 35)[None], still)
    single.finish_epoch(FIRST)
    single.step(rows, still)
    assert single.finish_epoch(FIRST) == first


def test_what_steps_leave_does_not_split_the_memory_of_the_next_ones(load: Load) -> None:
    single = learner(*load("table"))
    for start in (0, 10, 20):
        single.step(torch.arange(start, start + 10)[None], np.array([0.01]))
    left = [*single._outputs, *single._grad_norms]
    assert len(left) == 6
    assert len({tensor.untyped_storage().data_ptr() for tensor in left}) == 1


# Validation


@pytest.mark.parametrize("kind", ["table", "regression", "images"])
def test_validation_is_in_evaluation_mode_and_changes_nothing(load: Load, kind: str) -> None:
    params, data = load(kind, "model.dropout=0.5", *(["model.name=cnn"] if kind == "images" else []))
    single = learner(params, data)
    for start in (0, 10, 20):
        single.step(torch.arange(start, start + 10)[None], np.array([0.01]))
    before, random = single.weights(0), torch.get_rng_state()
    scores = single.validate()
    assert single.model.training
    assert torch.equal(torch.get_rng_state(), random)
    after = single.weights(0)
    assert all(torch.equal(before[name], after[name]) for name in before)  # running statistics among them
    assert single.validate() == scores

    twin = build_model(params.model, Inputs(data.meta, "standard", CPU).shape, head_width("auto", data.meta))
    twin.load_state_dict(before)
    twin.eval()
    with torch.no_grad():
        outputs = twin(Inputs(data.meta, "standard", CPU)(data.val.x))
    expected = plain_scores(outputs, data.val.y, params, data.meta) | plain_ranking(outputs, data.val.y, data.meta)
    assert {name: scores[f"val/{name}"].item() for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert set(scores) == {f"val/{name}" for name in expected}


def test_validation_between_steps_leaves_the_training_as_it_is(load: Load) -> None:
    params, data = load("table", "model.dropout=0.5")

    def train(validations: int) -> dict[str, Tensor]:
        single = learner(params, data)
        for start in (0, 10, 20):
            single.step(torch.arange(start, start + 10)[None], np.array([0.01]))
            for _ in range(validations):
                single.validate()
        return single.weights(0)

    often, never = train(3), train(0)
    assert all(torch.equal(often[name], never[name]) for name in never)


# Steps


def test_dropout_and_batch_statistics_are_on_in_a_step(load: Load) -> None:
    params, data = load("table", "model.dropout=0.5")
    single = learner(params, data)
    seen: list[Tensor] = []
    single.model.register_forward_hook(lambda layer, inputs, outputs: seen.append(outputs.detach()))
    statistics = single.weights(0)["3.running_mean"]
    for _ in range(2):
        single.step(torch.arange(10)[None], np.array([0.0]))
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(single.weights(0)["3.running_mean"], statistics)


def test_the_rate_of_a_step_is_the_one_it_is_given(load: Load) -> None:
    params, data = load(
        "table", "optim.name=sgd", "optim.momentum=0", "optim.weight_decay=0.1", "optim.lr=1.0", "model.dropout=0"
    )

    def moved(lr: float) -> Tensor:
        single = learner(params, data)
        before = single.weights(0)["2.weight"]
        single.step(torch.arange(10)[None], np.array([lr]))
        return single.weights(0)["2.weight"] - before

    torch.testing.assert_close(moved(0.2), 2 * moved(0.1), rtol=1e-3, atol=1e-6)
    assert moved(0.0).abs().max() == 0


def test_a_last_batch_of_one_row_is_no_trouble_for_batch_norm(load: Load) -> None:
    params, data = load("table", "train.batch_size=8", train=17)
    epochs = list(begin([params], data, packed=False).epochs)
    assert len(epochs) == 3
    assert np.isfinite(epochs[-1].metrics["train/loss"]).all()


def test_weights_are_a_copy(load: Load) -> None:
    params, data = load("table")
    single = learner(params, data)
    kept = single.weights(0)
    again = {name: tensor.clone() for name, tensor in kept.items()}
    single.step(torch.arange(10)[None], np.array([0.1]))
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    assert not torch.equal(single.weights(0)["2.weight"], kept["2.weight"])
    assert "3.num_batches_tracked" in kept
    assert not any(tensor.requires_grad for tensor in kept.values())


# Determinism


def trained(params: Params, data: TrainingData) -> dict[str, Tensor]:
    training = begin([params], data, packed=False)
    for _ in training.epochs:
        pass
    return training.learner.weights(0)


@pytest.mark.parametrize(("kind", "model"), [("table", "mlp"), ("regression", "mlp"), ("images", "cnn")])
def test_the_seed_decides_every_bit(load: Load, kind: str, model: str) -> None:
    params, data = load(kind, f"model.name={model}", "model.dropout=0.5", "train.epochs=2")
    first = trained(params, data)
    torch.rand(17)  # what others draw does not matter
    second = trained(params, data)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = trained(params.replace({"train.seed": 1}), data)
    assert any(not torch.equal(other[name], first[name]) for name in first)


# Encoding


@pytest.mark.parametrize("overrides", [[], ["regularize.mixup=0.4", "regularize.input_noise=0.1"]])
@pytest.mark.parametrize("kind", ["table", "regression"])
def test_to_encode_once_changes_no_bit(
    load: Load, kind: str, overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    params, data = load(kind, *overrides)
    once, expected = learner(params, data)._train_rows.x, trained(params, data)
    monkeypatch.setattr(module, "ENCODED_BYTES", 0)
    assert learner(params, data)._train_rows.x is data.train.x is not once
    assert all(torch.equal(expected[name], tensor) for name, tensor in trained(params, data).items())


@pytest.mark.parametrize("split", ["train", "val"])
def test_rows_on_disk_are_not_held_once_they_are_scored(
    processed: Callable[..., Path], make_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    monkeypatch.setattr("wellfit.training.setup.memory_budget", lambda memory, there: 100)
    params, folder = make_params("table"), processed("table")
    data = load_training_data(params, folder)
    ours = learner(params, data)
    ours.score(getattr(data, split), ranked=True)
    assert resident(folder / f"x_{split}.npy") == 0


@pytest.mark.parametrize(("packed", "dtype"), [(False, torch.uint8), (True, torch.float32)])
def test_images_stay_bytes_but_in_a_pack(load: Load, packed: bool, dtype: torch.dtype) -> None:
    params, data = load("images", "model.name=mlp")
    assert Learner([params], *data, packed=packed)._train_rows.x.dtype == dtype


def test_a_plain_network_has_one_member(load: Load) -> None:
    params, data = load("table")
    with pytest.raises(ValueError, match=r"^a network that is not packed has 1 member, got 2$"):
        begin([params, params], data, packed=False)


# Learning


@pytest.mark.parametrize(
    ("kind", "overrides", "metric", "least"),
    [
        ("table", [], "val/accuracy", 0.95),
        ("regression", ["optim.lr=0.03"], "val/r2", 0.9),
        ("images", ["model.name=cnn"], "val/accuracy", 0.95),
        ("images", ["model.name=mlp"], "val/accuracy", 0.95),
    ],
)
def test_it_learns_what_is_easy(load: Load, kind: str, overrides: list[str], metric: str, least: float) -> None:
    params, data = load(kind, "train.epochs=20", "optim.lr=0.02", "model.dropout=0.1", *overrides, train=120, val=60)
    epochs = list(begin([params], data, packed=False).epochs)
    assert epochs[-1].metrics[metric][0] >= least
    assert epochs[-1].metrics["train/loss"][0] < epochs[0].metrics["train/loss"][0]


# The work of a step


def test_multiply_adds_of_a_pack_are_those_of_all_members(load: Load) -> None:
    params, data = load("table", "model.hidden=[7, 5]", "train.batch_size=10")
    assert Learner([params] * 3, *data, packed=True).multiply_adds == 3 * learner(params, data).multiply_adds


def test_multiply_adds_of_an_mlp(load: Load) -> None:
    params, data = load("table", "model.hidden=[7, 5]", "train.batch_size=10")
    single = learner(params, data)
    before, random = single.weights(0), torch.get_rng_state()
    assert single.multiply_adds == 10 * (4 * 7 + 7 * 5 + 5 * 3)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(before[name], tensor) for name, tensor in single.weights(0).items())
    assert not any(layer._forward_hooks for layer in single.model.modules())


def test_multiply_adds_of_a_cnn(load: Load) -> None:
    params, data = load("images", "model.name=cnn", "model.channels=[4, 6]", "train.batch_size=3")
    first = 2 * 4 * 9 * 5 * 6  # images of 2 channels and 5 x 6 pixels
    second = 4 * 6 * 9 * 3 * 3
    assert learner(params, data).multiply_adds == 3 * (first + second + 6 * 3)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])  # the latter's convolutions are depthwise
def test_multiply_adds_of_torchvisions_networks(load: Load, name: str) -> None:
    activation = {"mobilenet_v3_small": "hardswish"}.get(name, "relu")
    params, data = load("images", f"model.name={name}", f"model.activation={activation}", "model.norm=group")
    single = learner(params, data)
    found = torchinfo.summary(single.model, input_data=single.inputs(data.train.x[:1]), mode="eval", verbose=0)
    layers = [info for info in found.summary_list if info.class_name in ("Conv2d", "Linear")]
    biases = 0  # which torchinfo counts
    for info in layers:
        if info.module.bias is not None:
            biases += info.module.bias.numel() * math.prod(info.output_size[2:])
    assert single.multiply_adds == 8 * (sum(info.macs for info in layers) - biases)


def test_a_target_that_is_constant_is_no_reason_to_divide_by_zero(load: Load) -> None:
    params, data = load("regression", "model.dropout=0")
    meta = data.meta.model_copy(update={"target_std": 1.0})
    flat = Tensors(data.train.x, torch.zeros(len(data.train.y)))
    single = Learner([params], meta, flat, Tensors(data.val.x, torch.zeros(len(data.val.y))), packed=False)
    single.step(torch.arange(10)[None], np.array([0.01]))
    assert all(np.isfinite(values).all() for values in (single.finish_epoch(FIRST) | single.validate()).values())


# Mixed rows and averaged weights


def test_mixed_rows_learn_both_targets(load: Load) -> None:
    params, data = load("table", "model.dropout=0", "regularize.mixup=0.4", "optim.name=sgd", "optim.momentum=0")
    single = learner(params, data)
    twin = learner(params, data)
    rows = torch.arange(12)
    x, _, _, partner, share = twin._batches.take(rows)
    assert partner is not None
    outputs, y = twin.model(x), data.train.y[rows]
    loss = share * nn.functional.cross_entropy(outputs, y)
    loss += (1 - share) * nn.functional.cross_entropy(outputs, y[partner])
    loss.backward()
    twin._optimizer.step(np.array([0.1]))
    single.step(rows[None], np.array([0.1]))
    for name, tensor in twin.weights(0).items():
        torch.testing.assert_close(single.weights(0)[name], tensor, msg=name)


def test_averaged_weights_are_validated_and_kept_while_training_goes_on_with_its_own(load: Load) -> None:
    plain, data = load("table", "model.dropout=0")
    averaged = plain.replace({"regularize.average": "ema", "regularize.ema_decay": 0.8})
    one, two = learner(plain, data), learner(averaged, data)
    for start in (0, 10, 20):
        for single in (one, two):
            single.step(torch.arange(start, start + 10)[None], np.array([0.05]))
            single.validate()
    live = {name: tensor.clone() for name, tensor in two.model.state_dict().items()}
    assert all(torch.equal(tensor, live[name]) for name, tensor in one.weights(0).items())
    kept = two.weights(0)
    assert not torch.equal(kept["2.weight"], live["2.weight"])
    twin = build_model(averaged.model, data.meta.input_shape, head_width("auto", data.meta))
    twin.load_state_dict(kept)
    twin.eval()
    with torch.no_grad():
        expected = nn.functional.cross_entropy(twin(Inputs(data.meta, "standard", CPU)(data.val.x)), data.val.y).item()
    assert two.validate()["val/loss"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["table", "regression"])
def test_a_row_of_weight_two_is_learned_and_scored_like_two_rows(load: Load, kind: str) -> None:
    params, data = load(kind, "model.dropout=0", "model.norm=none", "loss.name=auto")
    weights = torch.arange(35) % 3
    twice = torch.arange(35).repeat_interleave(weights)
    val_weights = torch.arange(20) % 4
    val_twice = torch.arange(20).repeat_interleave(val_weights)
    weighted = Learner(
        [params],
        data.meta,
        data.train._replace(weights=weights.float()),
        data.val._replace(weights=val_weights.float()),
        packed=False,
    )
    repeated = Learner(
        [params],
        data.meta,
        Tensors(data.train.x[twice], data.train.y[twice]),
        Tensors(data.val.x[val_twice], data.val.y[val_twice]),
        packed=False,
    )
    lr = np.array([0.01])
    for _ in range(3):
        weighted.step(torch.arange(35)[None], lr)
        repeated.step(torch.arange(len(twice))[None], lr)
    for one, two in (
        (weighted.finish_epoch(FIRST), repeated.finish_epoch(FIRST)),
        (weighted.validate(), repeated.validate()),
    ):
        assert one.keys() == two.keys()
        for name in one:
            assert one[name] == pytest.approx(two[name], rel=1e-4), name


def test_mixed_rows_bring_their_weights_along(load: Load) -> None:
    params, data = load("table", "model.dropout=0", "model.norm=none", "regularize.mixup=0.4")
    weights = (torch.arange(35) % 3).float()
    single = Learner([params], data.meta, data.train._replace(weights=weights), data.val, packed=False)
    twin = Learner([params], *data, packed=False)
    rows = torch.arange(35)
    x, _, _, partner, share = twin._batches.take(rows)
    losses = [nn.functional.cross_entropy(twin.model(x), data.train.y[r], reduction="none") for r in (rows, partner)]
    means = [(each * weights[r]).sum() / weights[r].sum() for each, r in zip(losses, (rows, partner), strict=True)]
    expected = torch.autograd.grad(share * means[0] + (1 - share) * means[1], list(twin.model.parameters()))
    single.step(rows[None], np.array([0.0]))
    for parameter, gradient in zip(single.model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


# Scores


@pytest.mark.parametrize(
    ("monitor", "kind"),
    [
        ("val/roc_auc", "table"),
        ("val/average_precision", "images"),
        ("val/precision", "table"),
        ("val/msle", "regression"),
    ],
)
def test_the_score_that_is_monitored_decides(load: Load, monitor: str, kind: str) -> None:
    params, data = load(kind, f"train.monitor={monitor}", "train.epochs=3", "schedule.warmup_epochs=0")
    training = begin([params], data, packed=False)
    values = [epoch.metrics[monitor][0] for epoch in training.epochs]
    best = min(values) if monitor == "val/msle" else max(values)
    assert training.members.best[0] == best
    assert training.members.best_epoch[0] == 1 + values.index(best)


def test_training_rows_are_ranked_where_there_are_two_classes(load: Load) -> None:
    params, data = load("table")
    two = data.meta.model_copy(update={"class_names": ("p", "q"), "class_counts": (24, 11)})
    train, val = (tensors._replace(y=(tensors.y > 1).long()) for tensors in (data.train, data.val))
    pairs = [(params, data), (params.replace({"loss.name": "bce"}), TrainingData(two, train, val))]
    for (params, data), is_ranked in zip(pairs, (False, True), strict=True):
        single = learner(params, data)
        single.step(torch.arange(35)[None], np.array([0.01]))
        assert ("train/roc_auc" in single.finish_epoch(FIRST)) == is_ranked
        assert "val/roc_auc" in single.validate()


# Augmentation


def test_training_images_are_augmented_before_they_are_standardized(load: Load) -> None:
    params, data = load("images", "data.augment=[{rotate: 10}]", "model.name=cnn", "model.dropout=0")
    single, twin = learner(params, data), learner(params, data)
    images = Augment(params.data.augment, params.train.seed)(data.train.x)
    expected = nn.functional.cross_entropy(twin.model(twin.inputs(images)), data.train.y)
    single.step(torch.arange(35)[None], np.array([0.0]))
    assert single.finish_epoch(FIRST)["train/loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_validation_images_are_never_augmented(load: Load) -> None:
    params, data = load("images", "data.augment=[{rotate: 10}]", "model.name=cnn")
    plain = params.replace({"data.augment": "none"})
    assert learner(params, data).validate() == learner(plain, data).validate()
