"""Steps from several batches, in bf16, and compiled: each beside the plain step."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from wellfit.models import MODELS, build_model
from wellfit.models.packed_layers import PackedLinear
from wellfit.settings.params import Params
from wellfit.training import learner as module
from wellfit.training.learner import Learner
from wellfit.training.setup import Training, TrainingData, begin, load_training_data, steps_per_epoch

Load = Callable[..., tuple[Params, TrainingData]]
SAME_EACH_ROW = ["model.dropout=0", "model.norm=layer"]  # a row's gradient does not hang on the rows beside it


@pytest.fixture
def load(processed: Callable[..., Path], make_params: Callable[..., Params]) -> Load:
    """Params and the data they train on."""
    made: dict[str, Path] = {}

    def run(kind: str, *overrides: str, **sizes: int) -> tuple[Params, TrainingData]:
        params = make_params(kind, *overrides)
        if kind not in made:
            made[kind] = processed(kind, sizes)
        return params, load_training_data(params, made[kind])

    return run


def trained(params: Params, data: TrainingData) -> tuple[list[dict[str, float]], Training]:
    training = begin([params], data, packed=False)
    history = [epoch.of(0) for epoch in training.epochs]
    return [{k: v for k, v in epoch.items() if not k.startswith("s")} for epoch in history], training  # no timing


def learner(params: Params, data: TrainingData) -> Learner:
    return Learner([params], *data, packed=False)


# Several batches a step


@pytest.mark.parametrize(
    ("kind", "overrides"),
    [
        ("table", []),
        ("table", ["loss.class_weights=[1, 2, 5]", "loss.label_smoothing=0.1"]),
        ("table", ["loss.name=focal", "loss.class_weights=[1, 2, 5]"]),
        ("table", ["optim.name=sgd", "optim.lr=0.1", "optim.clip_norm=0.5", "regularize.average=ema"]),
        ("regression", ["loss.name=huber"]),
        ("images", ["model.name=cnn"]),
    ],
)
@pytest.mark.parametrize("rows", [150, 145])  # the last step has 22 rows (16 and 6), or 17 (in one batch)
def test_four_batches_of_16_make_the_step_of_64(load: Load, kind: str, overrides: list[str], rows: int) -> None:
    params, data = load(kind, *SAME_EACH_ROW, "schedule.name=cosine", "train.batch_size=64", *overrides, train=rows)
    expected, whole = trained(params, data)
    split = params.replace({"train.batch_size": 16, "train.accumulate": 4})
    assert steps_per_epoch(split, data) == steps_per_epoch(params, data) == 3
    history, parts = trained(split, data)
    for epoch, numbers in zip(history, expected, strict=True):
        assert epoch == pytest.approx(numbers, rel=1e-3, abs=1e-5)
    for name, tensor in whole.learner.weights(0).items():
        torch.testing.assert_close(parts.learner.weights(0)[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_no_forward_pass_has_more_rows_than_a_batch(load: Load) -> None:
    params, data = load("table", "train.batch_size=4", "train.accumulate=3", train=30)
    single, seen = learner(params, data), []
    single.model.register_forward_hook(lambda layer, inputs, outputs: seen.append(len(outputs)))
    for n in (12, 10, 9):
        single.step(torch.arange(n)[None], np.array([0.1]))
    assert seen == [4, 4, 4, 4, 4, 2, 4, 5]  # of 12, of 10 and of 9 rows: batch norm cannot learn from one row
    assert np.isfinite(single.finish_epoch(np.array([1]))["train/loss"]).all()


def test_the_mean_over_batches_is_weighted_by_their_sums_of_row_weights(load: Load) -> None:
    for overrides in (["loss.class_weights=balanced"], ["loss.name=focal", "loss.class_weights=[1, 2, 9]"], []):
        params, data = load("table", *overrides, train=33)
        loss, y = learner(params, data)._loss, data.train.y[None]
        outputs = torch.randn(1, 33, 3)
        parts = [np.s_[:, 0:7], np.s_[:, 7:33]]
        sums = [loss.weight_sum(y[part], None) for part in parts]
        mean = sum(loss(outputs[part], y[part]) * each for part, each in zip(parts, sums, strict=True))
        mean = mean / loss.weight_sum(y, None)
        torch.testing.assert_close(mean, loss(outputs, y))
        own = torch.rand(1, 33)
        sums = [loss.weight_sum(y[part], own[part]) for part in parts]
        means = [loss(outputs[part], y[part], own[part]) for part in parts]
        mean = sum(each * part for each, part in zip(means, sums, strict=True)) / loss.weight_sum(y, own)
        torch.testing.assert_close(mean, loss(outputs, y, own))


# bf16


def dtypes_of(single: Learner, call: Callable[[], object]) -> set[torch.dtype]:
    """What linear layers and convolutions put out meanwhile."""
    seen: set[torch.dtype] = set()
    layers = [layer for layer in single.model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(lambda m, inputs, output: seen.add(output.dtype)) for layer in layers]
    call()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
@pytest.mark.parametrize(("kind", "model"), [("table", "mlp"), ("images", "cnn")])
def test_layers_compute_in_it_while_weights_gradients_and_scores_stay_fp32(
    load: Load, kind: str, model: str, precision: str, dtype: torch.dtype
) -> None:
    params, data = load(kind, f"model.name={model}", f"train.precision={precision}")
    single = learner(params, data)
    assert dtypes_of(single, lambda: single.step(torch.arange(10)[None], np.array([0.01]))) == {dtype}
    assert dtypes_of(single, single.validate) == {dtype}
    assert {w.dtype for w in single.weights(0).values()} <= {torch.float32, torch.int64}
    assert {p.grad.dtype for p in single.model.parameters() if p.grad is not None} == {torch.float32}
    assert {tensor.dtype for tensor in single._outputs} == {torch.float32}
    assert {v.dtype for v in single.validate().values()} <= {np.dtype(np.float32), np.dtype(np.float64)}


def test_a_step_in_bf16_is_that_of_torchs_autocast(load: Load) -> None:
    params, data = load("table", "model.dropout=0", "train.precision=bf16", "optim.weight_decay=0")
    single = learner(params, data)
    torch.manual_seed(params.train.seed)
    model = build_model(params.model, data.meta.input_shape, 3)
    optimizer = AdamW(model.parameters(), lr=0.01, weight_decay=0, foreach=False)
    for start in (0, 10, 20):
        rows = torch.arange(start, start + 10)
        single.step(rows[None], np.array([0.01]))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(model(single.inputs(data.train.x[rows])), data.train.y[rows])
        loss.backward()
        optimizer.step()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(single.weights(0)[name], tensor, msg=name)
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = nn.functional.cross_entropy(model(single.inputs(data.val.x)), data.val.y).item()
    assert single.validate()["val/loss"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "overrides"),
    [
        *[("table", [f"model.norm={norm}"]) for norm in ("batch", "layer", "group", "none")],
        *[("images", ["model.name=cnn", f"model.norm={norm}"]) for norm in ("batch", "layer", "instance", "group")],
        ("table", ["loss.name=focal"]),
        ("regression", ["loss.name=msle"]),
        ("regression", ["loss.name=smooth_l1"]),
    ],
)
def test_every_norm_and_loss_trains_in_bf16_much_as_in_fp32(load: Load, kind: str, overrides: list[str]) -> None:
    params, data = load(kind, "model.dropout=0", *overrides)
    plain, _ = trained(params, data)
    history, _ = trained(params.replace({"train.precision": "bf16"}), data)
    assert history != plain
    for epoch, numbers in zip(history, plain, strict=True):
        assert epoch["train/loss"] == pytest.approx(numbers["train/loss"], rel=0.15, abs=0.02)


@pytest.mark.parametrize("name", [pytest.param("resnet18", marks=pytest.mark.slow), "mobilenet_v3_small"])
def test_networks_of_torchvision_learn_in_bf16(load: Load, name: str) -> None:
    overrides = [f"model.activation={MODELS[name].activation or 'relu'}", "train.batch_size=16", "optim.lr=0.001"]
    params, data = load("images", f"model.name={name}", *overrides, "train.precision=bf16")
    history, training = trained(params, data)
    assert history[-1]["train/loss"] < 0.8 * history[0]["train/loss"]
    assert training.learner.precision == "bf16"


def test_bf16_learns_what_is_easy(load: Load) -> None:
    params, data = load(
        "images", "model.name=cnn", "train.epochs=20", "optim.lr=0.02", "train.precision=bf16", train=120
    )
    history, _ = trained(params, data)
    assert history[-1]["val/accuracy"] >= 0.95


@pytest.mark.parametrize("precision", ["bf16", "auto"])
def test_the_seed_decides_every_bit(load: Load, precision: str) -> None:
    params, data = load("images", "model.name=cnn", "model.dropout=0.5", f"train.precision={precision}")
    (first, one), (second, two) = trained(params, data), trained(params, data)
    assert first == second
    assert all(torch.equal(tensor, two.learner.weights(0)[name]) for name, tensor in one.learner.weights(0).items())


# bf16 in packs


@pytest.mark.parametrize(
    ("kind", "overrides"),
    [
        *[("table", [f"model.norm={norm}", "model.groups=2"]) for norm in ("batch", "layer", "group", "none")],
        ("table", ["model.dropout=0.3", "model.input_dropout=0.1", "model.residual=true", "model.hidden=[8, 8]"]),
        ("regression", ["model.embedding=periodic", "model.embedding_width=4"]),
        ("regression", ["model.embedding=cosine"]),
        ("images", ["model.name=mlp", "regularize.mixup=0.4"]),
    ],
)
def test_a_member_of_a_pack_learns_in_bf16_what_it_learns_alone(load: Load, kind: str, overrides: list[str]) -> None:
    """But for the last of eight bits of a product, which depends on the order of its sums."""
    params, data = load(kind, "optim.name=sgd", "optim.momentum=0", "train.precision=bf16", *overrides)
    members = [params.replace({"train.seed": seed}) for seed in (0, 1)]
    pack = Learner(members, *data, packed=True)
    assert pack.precision == "bf16"
    singles = [learner(each, data) for each in members]
    in_fp32 = Learner([each.replace({"train.precision": "fp32"}) for each in members], *data, packed=True)
    before = [each.weights(0) for each in singles]
    for start in (0, 10, 20):
        rows = torch.stack([torch.arange(start, start + 10), torch.arange(start + 3, start + 13)])
        for own, single in zip(rows, singles, strict=True):
            single.step(own[None], np.array([0.05]))
        for both in (pack, in_fp32):
            both.step(rows, np.array([0.05, 0.05]))
    for k, single in enumerate(singles):
        expected = _moved(before[k], single.weights(0))
        assert torch.linalg.vector_norm(_moved(before[k], pack.weights(k)) - expected) < 0.03 * expected.norm()
        assert not torch.equal(_moved(before[k], in_fp32.weights(k)), expected)
        assert pack.validate()["val/loss"][k] == pytest.approx(single.validate()["val/loss"][0], rel=0.02)


def _moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> Tensor:
    """How far all weights have come."""
    return torch.cat([(after[name] - old).flatten() for name, old in before.items() if old.is_floating_point()])


def test_a_pack_multiplies_in_bf16_and_keeps_weights_gradients_and_scores_in_fp32(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, data = load("table", "train.precision=bf16")
    pack, seen, run = Learner([params] * 2, *data, packed=True), set[torch.dtype](), PackedLinear.run

    def observed(layer: PackedLinear, x: Tensor, *, is_own: bool) -> tuple[Tensor, object]:
        outputs, kept = run(layer, x, is_own=is_own)
        seen.add(outputs.dtype)
        return outputs, kept

    monkeypatch.setattr(PackedLinear, "run", observed)
    pack.step(torch.arange(20).view(2, 10), np.array([0.01, 0.01]))
    assert seen == {torch.bfloat16}
    assert {p.grad.dtype for p in pack.model.parameters() if p.grad is not None} == {torch.float32}
    assert {tensor.dtype for tensor in pack.weights(0).values()} <= {torch.float32, torch.int64}
    assert {tensor.dtype for tensor in pack._outputs} == {torch.float32}
    assert np.isfinite(pack.validate()["val/loss"]).all()


def test_auto_chooses_for_a_member_and_not_by_how_many_there_are(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a trial would be another one in a larger pack."""
    params, data = load("table", "train.precision=auto")
    works = []
    monkeypatch.setattr(module, "choose_precision", lambda name, device, work: works.append(work) or "fp32")
    for size in (1, 4):
        Learner([params] * size, *data, packed=True)
    learner(params, data)
    assert len(set(works)) == 1


# Compiled


@pytest.mark.slow
@pytest.mark.usefixtures("own_inductor")
@pytest.mark.parametrize(("kind", "model"), [("table", "mlp"), ("images", "cnn")])
def test_a_compiled_training_is_the_plain_one_and_keeps_the_names_of_weights(load: Load, kind: str, model: str) -> None:
    from torch._dynamo.utils import counters

    params, data = load(kind, f"model.name={model}", "model.dropout=0.5", "optim.name=sgd", "optim.lr=0.05")
    expected, plain = trained(params, data)
    counters.clear()
    history, fast = trained(params.replace({"train.compile": True}), data)  # batches of 8 rows, the last of 3
    assert counters["stats"]["unique_graphs"] == 1
    for epoch, numbers in zip(history, expected, strict=True):
        assert epoch == pytest.approx(numbers, rel=1e-3, abs=1e-5)
    weights = fast.learner.weights(0)
    assert list(weights) == list(plain.learner.weights(0))
    for name, tensor in plain.learner.weights(0).items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
@pytest.mark.usefixtures("own_inductor")
def test_a_compiled_training_in_bf16_with_dropout_is_the_same_twice(load: Load) -> None:
    params, data = load("table", "model.dropout=0.5", "train.compile=true", "train.precision=bf16")

    def weights() -> dict[str, Tensor]:
        torch._dynamo.reset()
        return trained(params, data)[1].learner.weights(0)

    first, second = weights(), weights()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = trained(params.replace({"train.seed": 1}), data)[1].learner.weights(0)
    assert any(not torch.equal(other[name], first[name]) for name in first)


@pytest.mark.gpu
@pytest.mark.parametrize("compile_it", ["false", "true"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu_it_trains_much_as_on_a_cpu(load: Load, precision: str, compile_it: str) -> None:
    network = ["model.name=cnn", "model.dropout=0"]
    expected, _ = trained(*load("images", *network))
    there = [f"train.precision={precision}", f"train.compile={compile_it}", "train.device=cuda"]
    history, training = trained(*load("images", *network, *there))
    assert next(training.learner.model.parameters()).device.type == "cuda"
    assert history[-1]["train/loss"] == pytest.approx(expected[-1]["train/loss"], rel=0.15, abs=0.02)
