import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from wellfit.training.average import WeightAverage
from wellfit.training.config import RegularizeConfig
from wellfit.training.flat import FlatParameters

VALUES = {"input_noise": 0.0, "mixup": 0.0, "cutmix": 0.0, "average": "none", "ema_decay": 0.9, "swa_start": 0.5}


def start(epochs: int = 8, **changes: Any) -> tuple[nn.Module, FlatParameters, WeightAverage]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    flat = FlatParameters(model)
    config = RegularizeConfig.model_validate(VALUES | changes)
    return model, flat, WeightAverage([config], [epochs], model, flat.values)


def move(model: nn.Module, flat: FlatParameters) -> None:
    """What a step does: other weights, other running statistics."""
    with torch.no_grad():
        flat.values.add_(torch.randn_like(flat.values))
    model(torch.randn(16, 4))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_swa_is_torchs_average_of_the_epochs_from_its_start_on() -> None:
    model, flat, average = start(epochs=8, average="swa", swa_start=0.5)
    reference: AveragedModel | None = None
    for epoch in range(1, 9):
        for _ in range(3):
            move(model, flat)
            average.after_step()
        average.after_epoch(np.array([epoch]))
        if epoch >= 5:  # the second half
            if reference is None:
                reference = AveragedModel(copy.deepcopy(model), use_buffers=True)
            reference.update_parameters(model)
            with average.in_place():
                for name, tensor in reference.module.state_dict().items():
                    if tensor.is_floating_point():
                        torch.testing.assert_close(model.state_dict()[name], tensor, msg=name)
        else:
            before = state(model)
            with average.in_place():
                assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_ema_is_the_weighted_mean_of_all_steps() -> None:
    model, flat, average = start(average="ema", ema_decay=0.9)
    seen = []
    for _ in range(12):
        move(model, flat)
        average.after_step()
        average.after_epoch(np.array([1]))
        seen.append(state(model))
    weights = torch.tensor([0.9**age for age in range(len(seen))]).flip(0)
    weights /= weights.sum()
    with average.in_place():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                values = torch.stack([each[name] for each in seen])
                torch.testing.assert_close(tensor, torch.einsum("s,s...->...", weights, values), msg=name)


@pytest.mark.parametrize("name", ["none", "ema", "swa"])
def test_what_was_there_comes_back(name: str) -> None:
    model, flat, average = start(epochs=2, average=name, swa_start=0.0)
    for epoch in (1, 2):
        move(model, flat)
        average.after_step()
        average.after_epoch(np.array([epoch]))
    before = state(model)
    with average.in_place():
        differs = any(not torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
        assert differs == (name != "none")
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_swa_of_a_share_near_one_still_takes_the_last_epoch() -> None:
    model, flat, average = start(epochs=2, average="swa", swa_start=0.99)
    move(model, flat)
    average.after_epoch(np.array([1]))
    assert average._seen == 0
    average.after_epoch(np.array([2]))
    assert average._seen == 1
