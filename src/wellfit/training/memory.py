"""How many networks fit into memory, before one is built: a system that runs out of it kills without a word."""

from typing import TYPE_CHECKING

import torch

from wellfit.errors import WellfitError
from wellfit.machine import GIB, memory_bytes
from wellfit.models import build_model
from wellfit.models.inputs import inputs_of
from wellfit.settings.params import PARAMS_FILE, Params
from wellfit.training.loss import head_width

if TYPE_CHECKING:
    from wellfit.training.setup import TrainingData

COPIES = 4  # weights, gradients, the optimizer's state and the weights of the best epoch
ROW_COPIES = 4  # of an epoch's outputs, and of the indices of their rows, while they are scored
INDEX_BYTES = 8


def check_memory(params: Params, data: "TrainingData", members: int = 1) -> None:
    """Sees whether networks fit into the memory of the device.

    Args:
        params: the configuration of each.
        data: what they train on.
        members: how many there are.

    Raises:
        WellfitError: they do not.
    """
    needed, there = members * _bytes_of_network(params, data), device_bytes(data.train.device)
    if needed > there:
        widths = params.model.entry.widths
        key = f"model.{widths}" if isinstance(widths, str) else "model.name"
        value = list(getattr(params.model, widths)) if isinstance(widths, str) else params.model.name
        raise WellfitError(
            f"{key} {value} needs {needed / GIB:.1f} GiB of memory{f' for {members} at once' * (members > 1)}, but "
            f"there are {there / GIB:.1f}; make the network smaller ({PARAMS_FILE})"
        )


def most_members(params: Params, data: "TrainingData") -> int:
    """How many networks, and what an epoch brings of each, fit into the memory of the device at once; 1 at least."""
    of_epoch = ROW_COPIES * len(data.train.y) * (INDEX_BYTES + 4 * head_width(params.loss.name, data.meta))
    return max(1, device_bytes(data.train.device) // (_bytes_of_network(params, data) + of_epoch))


def device_bytes(device: torch.device) -> int:
    """Bytes of memory of a device, used or not."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return memory_bytes()


def _bytes_of_network(params: Params, data: "TrainingData") -> int:
    inputs = inputs_of(params.model, data.meta, torch.device("cpu"))
    with torch.device("meta"):  # tensors without contents
        model = build_model(params.model, inputs.shape, head_width(params.loss.name, data.meta), inputs.columns)
    return COPIES * sum(parameter.numel() * parameter.itemsize for parameter in model.parameters())
