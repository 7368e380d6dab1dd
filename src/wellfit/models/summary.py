"""What a network is made of: layers, shapes, parameters."""

from typing import NamedTuple

from torch import Tensor, nn
from torchinfo.torchinfo import clear_cached_forward_pass, summary

SHOWN = 8  # layers with parameters of a network that is short enough to be printed


class Summary(NamedTuple):
    """A network in words.

    Attributes:
        n_parameters: numbers that are learned.
        headline: one line.
        layers: a heading and a line for each layer with parameters, or nothing where they are many.
        table: every layer, the shape of its output for one row, its parameters and multiply-adds.
    """

    n_parameters: int
    headline: str
    layers: tuple[str, ...]
    table: str


def summarize(name: str, model: nn.Module, x: Tensor) -> Summary:
    """Counts what a network is made of, and leaves it as it was: weights, statistics, mode, random state.

    Args:
        name: what the network is called.
        model: any network.
        x: (1, *input_shape) a row, on the network's device.
    """
    columns = ("output_size", "num_params", "mult_adds")
    # In evaluation mode nothing is drawn, and no batch norm learns.
    found = summary(model, input_data=x, mode="eval", depth=16, col_names=columns, col_width=18, verbose=0)
    clear_cached_forward_pass()  # it would keep the network in memory
    headline = f"{name}: {found.total_params:,} parameters, {found.total_mult_adds:,} multiply-adds a row"
    learned = [layer for layer in found.summary_list if layer.is_leaf_layer and layer.num_params > 0]
    layers = [
        f"{layer.class_name:<12} {' x '.join(map(str, layer.output_size[1:])):<14} {layer.num_params:>12,}"
        for layer in learned
    ]
    rule, *lines = str(found).splitlines()
    rows = "\n".join(lines[: lines.index(rule, lines.index(rule) + 1)])  # without torchinfo's totals in megabytes
    table = f"{headline}\n\n{rows}\n"
    heading = f"{'layer':<12} {'output':<14} {'parameters':>12}"
    return Summary(found.total_params, headline, (heading, *layers) if len(layers) <= SHOWN else (), table)
