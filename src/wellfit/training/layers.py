"""Statistics of each layer and epoch: gradients while it trains; weights, activations and dead units at its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from wellfit.models.inputs import Inputs

STATISTICS = (
    "grad_norm",  # mean over the epoch's steps, before clipping
    "weight_norm",
    "weight_mean",
    "weight_std",
    "activation_mean",
    "activation_std",
    "flat_share",  # of all units and rows
    "dead_share",  # of the units
)
# Of a function whose slope is 1 (a sigmoid's: 1/4) at its steepest: what passes on less of a gradient has all but
# stopped it. It holds for the zeros of relu, for |tanh| > 0.9995, for a sigmoid's last thousandths, not for leaky_relu.
FLAT_SLOPE = 1e-3
SAMPLE_ROWS = 256
SAMPLE_NUMBERS = 2**22  # inputs of the sample in all: 27 images of 224 x 224 colours, 16 MiB
ELEMENTWISE = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.Hardswish,
    nn.Hardsigmoid,
)

Layers = dict[str, dict[str, float]]  # layer -> statistic -> value, those of one epoch


class LayerStatistics:
    """Looks at a network while it trains, and changes nothing of it.

    A layer is a matrix or kernel of the network that is trained. Its activation is what the first activation function
    after it puts out, or its own output where none follows before the next layer. A unit, which is a channel of a
    convolution, is *flat* in a row where its activation function passes on less than a thousandth of the gradient, and
    *dead* where it is so in every row (and at every place of an image) of the sample; both are NaN without an
    activation function.
    Activation functions are seen where they are modules, not calls such as ``torch.relu``. All is of the weights that
    train, not of their average (``regularize.average``).

    Args:
        model: the network, whose parameters keep their ``grad`` tensors.
        rows: (n, ...) validation rows, of which a fixed few are the sample.
        inputs: encodes them; None where the network takes them as they are.
    """

    def __init__(self, model: nn.Module, rows: Tensor, inputs: Inputs | None = None) -> None:
        self._model = model
        self._modules: dict[str, nn.Module] = {}
        self._matrices: dict[str, nn.Parameter] = {}
        for path, module in model.named_modules():
            for parameter_name, parameter in module.named_parameters(recurse=False):
                if parameter.ndim > 1 and parameter.requires_grad:
                    name = layer_name(path, module, parameter_name)
                    self._modules[name], self._matrices[name] = module, parameter
        size = max(1, min(SAMPLE_ROWS, len(rows), SAMPLE_NUMBERS // max(1, rows[0].numel())))
        # From all over the split, which may be sorted.
        sample = rows[torch.arange(size, device=rows.device) * len(rows) // size]
        self._sample = inputs(sample) if inputs else sample
        self._start_epoch()

    def _start_epoch(self) -> None:
        self._norms = [torch.zeros((), device=self._sample.device) for _ in self._matrices]
        self._steps = 0

    def after_backward(self) -> None:
        """Takes in the gradients of a step, in two calls, with no wait for the device."""
        gradients = [p.grad for p in self._matrices.values() if p.grad is not None]
        torch._foreach_add_(self._norms, torch._foreach_norm(gradients))
        self._steps += 1

    def finish_epoch(self) -> Layers:
        """The ``STATISTICS`` of each layer, by its name, in the order of the network's modules."""
        activations = self._activations()
        missing = torch.full((4,), torch.nan, device=self._sample.device)
        rows = []
        for (name, matrix), norm in zip(self._matrices.items(), self._norms, strict=True):
            weights = matrix.detach()
            spread = weights.std(correction=0)
            own = torch.stack([norm / max(1, self._steps), torch.linalg.vector_norm(weights), weights.mean(), spread])
            rows.append(torch.cat([own, activations.get(self._modules[name], missing)]))
        self._start_epoch()
        values = torch.stack(rows).tolist() if rows else []  # the one wait for the device
        return {name: dict(zip(STATISTICS, row, strict=True)) for name, row in zip(self._matrices, values, strict=True)}

    @torch.no_grad()
    def _activations(self) -> dict[nn.Module, Tensor]:
        """(4,) mean, standard deviation, flat share and dead share of what each layer's activation puts out."""
        found: dict[nn.Module, Tensor] = {}
        awaited: list[nn.Module] = []  # the layer that ran last, until its activation function has run

        def after_layer(module: nn.Module, _: Any, outputs: Any) -> None:
            if isinstance(outputs, Tensor):
                found[module] = _moments(outputs)
                awaited[:] = [module]

        def before_activation(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if awaited:
                layer = awaited.pop()
                found[layer] = _of_activation(module, inputs[0], 1 if isinstance(layer, _ConvNd) else -1)

        layers = set(self._modules.values())
        hooks: list[RemovableHandle] = []
        for module in self._model.modules():
            if module in layers:
                hooks.append(module.register_forward_hook(after_layer))
            elif isinstance(module, ELEMENTWISE):
                hooks.append(module.register_forward_pre_hook(before_activation))
        try:
            with _evaluating(self._model):
                self._model(self._sample)
        finally:
            for hook in hooks:
                hook.remove()
        return found


def as_metrics(layers: Layers) -> dict[str, float]:
    """The statistics of an epoch by the names that trackers show: ``layers/1.linear/grad_norm``."""
    return {f"layers/{layer}/{name}": value for layer, values in layers.items() for name, value in values.items()}


def layer_name(path: str, module: nn.Module, parameter: str) -> str:
    """A name that a person recognizes: ``layer1.0.conv1`` as it is, ``4`` of a Sequential as ``4.linear``."""
    kind = type(module).__name__.lower()
    named = path if path and not path.rpartition(".")[2].isdigit() else f"{path}.{kind}".lstrip(".")
    return named if parameter == "weight" else f"{named}.{parameter}"


def _moments(outputs: Tensor) -> Tensor:
    nothing = torch.full((), torch.nan, device=outputs.device)
    values = outputs.float()
    return torch.stack([values.mean(), values.std(correction=0), nothing, nothing])


def _of_activation(module: nn.Module, inputs: Tensor, unit_dim: int) -> Tensor:
    """The moments of an activation function's outputs, and how many of its slopes are flat."""
    with torch.enable_grad():
        x = inputs.detach().requires_grad_()
        outputs = module.forward(x.clone())  # not module(x), which would end up here; a copy, for it may work in place
        (slopes,) = torch.autograd.grad(outputs.sum(), x)
    flat = slopes.abs() < FLAT_SLOPE
    dead = flat.movedim(unit_dim, 0).flatten(1).all(1)
    return torch.cat([_moments(outputs.detach())[:2], torch.stack([flat.float().mean(), dead.float().mean()])])


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Puts a network into evaluation mode, and each of its modules back into the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
