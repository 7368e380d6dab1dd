"""Statistics of layers: against autograd and closed forms, and without a trace in the training."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from wellfit.models import build_model
from wellfit.models.layers import ACTIVATIONS, activation_layer
from wellfit.settings.params import Params
from wellfit.training.layers import STATISTICS, LayerStatistics, as_metrics, layer_name
from wellfit.training.setup import begin, load_training_data


def constant_units(biases: list[float], activation: nn.Module) -> nn.Sequential:
    """Units that get the same number for every row: their bias."""
    linear = nn.Linear(2, len(biases))
    nn.init.zeros_(linear.weight)
    linear.bias.data = torch.tensor(biases)
    return nn.Sequential(linear, activation, nn.Linear(len(biases), 1))


def of_first(model: nn.Module, inputs: Tensor) -> dict[str, float]:
    """The statistics of the network's first layer."""
    return next(iter(LayerStatistics(model, inputs).finish_epoch().values()))


def test_gradient_norms_are_the_mean_over_the_steps_of_what_autograd_says() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2))
    statistics = LayerStatistics(model, torch.randn(8, 3))
    for epoch in range(2):  # the second does not remember the first
        expected = []
        for _ in range(3):
            x, y = torch.randn(6, 3), torch.randint(2, (6,))
            matrices = [model[0].weight, model[3].weight]
            gradients = torch.autograd.grad(functional.cross_entropy(model(x), y), matrices)
            expected.append([gradient.norm().item() for gradient in gradients])
            model.zero_grad()
            (functional.cross_entropy(model(x), y)).backward()
            statistics.after_backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.5 * parameter.grad
        found = statistics.finish_epoch()
        assert list(found) == ["0.linear", "3.linear"]
        means = torch.tensor(expected).mean(0).tolist()
        assert [values["grad_norm"] for values in found.values()] == pytest.approx(means, rel=1e-5), epoch


def test_in_a_training_it_is_the_gradient_of_the_loss_before_clipping(
    processed: Callable[..., Path], make_params: Callable[..., Params]
) -> None:
    params = make_params(
        "table", "train.batch_size=64", "model.dropout=0", "optim.clip_norm=0.001", "optim.l1=1", "optim.decay_all=true"
    )
    data = load_training_data(params, processed("table"))
    training = begin([params], data, packed=False)
    training.learner.layers = LayerStatistics(training.learner.model, data.val.x, training.learner.inputs)
    next(training.epochs)  # one step: 35 rows
    found = training.learner.layers.finish_epoch()

    torch.manual_seed(params.train.seed)
    model = build_model(params.model, data.meta.input_shape, 3)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    gradients = torch.autograd.grad(
        functional.cross_entropy(model(training.learner.inputs(data.train.x)), data.train.y), matrices
    )
    norms = [gradient.norm().item() for gradient in gradients]
    assert [values["grad_norm"] for values in found.values()] == pytest.approx(norms, rel=1e-4)
    assert min(norms) > 0.01


def test_weights() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].weight.data = torch.tensor([[1.0, -3.0], [5.0, 1.0]])
    found = of_first(model, torch.ones(4, 2))
    assert found["weight_norm"] == pytest.approx(6.0)
    assert found["weight_mean"] == pytest.approx(1.0)
    assert found["weight_std"] == pytest.approx(8**0.5)


def test_dead_units_of_a_network_that_was_made_with_them() -> None:
    found = of_first(constant_units([-1.0, 1.0, 0.5, -2.0], nn.ReLU()), torch.randn(10, 2))
    assert found["dead_share"] == found["flat_share"] == 0.5
    assert found["activation_mean"] == pytest.approx(1.5 / 4)
    assert found["activation_std"] == pytest.approx(torch.tensor([0, 1, 0.5, 0]).std(correction=0).item())


def test_a_unit_that_some_row_moves_is_alive() -> None:
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
    model[0].weight.data = torch.tensor([[1.0], [-1.0]])
    found = of_first(model, torch.tensor([[1.0], [2.0], [3.0], [-1.0]]))
    assert (found["dead_share"], found["flat_share"]) == (0, 0.5)


@pytest.mark.parametrize(
    ("name", "alive", "dead"),
    [
        ("relu", [0.001], [0.0, -0.001]),
        ("leaky_relu", [1.0, -1000.0], []),
        ("tanh", [-4.0, 4.0], [-4.2, 4.2]),  # 1 - tanh(4)^2 is 0.0013, 1 - tanh(4.2)^2 is 0.0009
        ("sigmoid", [-6.8, 6.8], [-7.0, 7.0]),  # s(1 - s) is 0.0011 and 0.0009
        ("gelu", [3.0, 20.0, -3.0], [-5.0]),
        ("silu", [20.0, -6.0], [-11.0]),
    ],
)
def test_dead_is_where_an_activation_passes_on_no_gradient(name: str, alive: list[float], dead: list[float]) -> None:
    found = of_first(constant_units(alive + dead, activation_layer(name)), torch.randn(5, 2))
    assert found["dead_share"] == pytest.approx(len(dead) / len(alive + dead))


def test_every_activation_that_a_model_can_have_is_seen() -> None:
    for name in ACTIVATIONS:
        assert of_first(constant_units([0.5], activation_layer(name)), torch.randn(5, 2))["dead_share"] == 0, name


def test_of_a_convolution_a_unit_is_a_channel() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))
    model[0].weight.data = torch.tensor([1.0, -1, 0, 0]).view(4, 1, 1, 1)
    model[0].bias.data = torch.tensor([0.0, 0, -1, -1])
    images = -torch.ones(3, 1, 2, 2)
    images[1, 0, 1, 0] = 1  # one place of one image moves the first channel
    found = of_first(model, images)
    assert found["dead_share"] == 0.5
    assert found["flat_share"] == pytest.approx((11 + 1 + 12 + 12) / 48)


def test_an_activation_belongs_to_the_layer_that_ran_before_it() -> None:
    class TwoInOne(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Linear(2, 2), nn.Linear(2, 2)
            self.relu = nn.ReLU(inplace=True)  # used twice, as torchvision's residual blocks do
            for layer, bias in ((self.first, [-1.0, -1.0]), (self.second, [1.0, -1.0])):
                nn.init.zeros_(layer.weight)
                layer.bias.data = torch.tensor(bias)

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.second(self.relu(self.first(x))))

    found = LayerStatistics(TwoInOne(), torch.randn(4, 2)).finish_epoch()
    assert {name: values["dead_share"] for name, values in found.items()} == {"second": 0.5, "first": 1.0}


def test_a_layer_that_another_follows_at_once_has_no_activation() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU(), nn.Tanh())
    first, second = LayerStatistics(model, torch.randn(4, 2)).finish_epoch().values()
    assert first["dead_share"] != first["dead_share"]  # NaN
    assert second["dead_share"] >= 0


def test_without_an_activation_it_is_the_layers_own_output() -> None:
    model = nn.Sequential(nn.Linear(1, 1))
    model[0].weight.data, model[0].bias.data = torch.tensor([[2.0]]), torch.tensor([1.0])
    found = of_first(model, torch.tensor([[0.0], [1.0]]))
    assert (found["activation_mean"], found["activation_std"]) == (2.0, 1.0)
    assert found["dead_share"] != found["dead_share"]  # NaN


def test_the_sample_is_from_all_over_the_split() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    nn.init.ones_(model[0].weight)
    inputs = torch.arange(10_000.0)[:, None]
    assert of_first(model, inputs)["activation_mean"] == pytest.approx(5000, rel=0.01)
    wide = torch.zeros(40, 2**17)
    assert len(LayerStatistics(nn.Linear(1, 1), wide)._sample) == 32  # 2^22 numbers


@pytest.mark.parametrize(
    ("path", "module", "parameter", "expected"),
    [
        ("1", nn.Linear(1, 1), "weight", "1.linear"),
        ("4.0", nn.Conv2d(1, 1, 1), "weight", "4.0.conv2d"),
        ("layer1.0.conv1", nn.Conv2d(1, 1, 1), "weight", "layer1.0.conv1"),
        ("", nn.Linear(1, 1), "weight", "linear"),
        ("attention", nn.Linear(1, 1), "in_proj_weight", "attention.in_proj_weight"),
    ],
)
def test_names(path: str, module: nn.Module, parameter: str, expected: str) -> None:
    assert layer_name(path, module, parameter) == expected


@pytest.mark.parametrize(
    ("kind", "overrides"),
    [("table", ["model.dropout=0.5", "model.hidden=[8, 8]"]), ("images", ["model.name=cnn"]), ("regression", [])],
)
def test_it_leaves_no_trace_in_the_training(
    processed: Callable[..., Path], make_params: Callable[..., Params], kind: str, overrides: list[str]
) -> None:
    params = make_params(kind, "optim.clip_norm=0.1", *overrides)
    data = load_training_data(params, processed(kind))
    seen = []
    for watched in (False, True):
        training = begin([params], data, packed=False)
        learner = training.learner
        learner.layers = LayerStatistics(learner.model, data.val.x, learner.inputs) if watched else None
        for _ in training.epochs:
            if learner.layers is not None:
                names = learner.layers.finish_epoch()
                assert all(list(values) == list(STATISTICS) for values in names.values())
                assert all(module.training for module in learner.model.modules())
                assert not any(m._forward_hooks or m._forward_pre_hooks for m in learner.model.modules())
        seen.append((learner.weights(0), torch.get_rng_state()))
    (weights, state), (watched_weights, watched_state) = seen
    assert torch.equal(state, watched_state)
    for name, tensor in weights.items():
        assert torch.equal(tensor, watched_weights[name]), name


def test_each_module_goes_back_into_the_mode_it_was_in() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    model[1].eval()  # as of a backbone that is frozen
    LayerStatistics(model, torch.ones(2, 1)).finish_epoch()
    assert [module.training for module in model] == [True, False]


def test_metric_names() -> None:
    assert as_metrics({"1.linear": {"grad_norm": 2.0}}) == {"layers/1.linear/grad_norm": 2.0}
