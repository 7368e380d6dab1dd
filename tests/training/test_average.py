import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from wellfit.models.packed import change_members, member_state, packed
from wellfit.training.average import WeightAverage
from wellfit.training.flat import FlatParameters
from wellfit.training.regularize import RegularizeConfig

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


# Several members


class Row:
    """A member alone, whose weights are those of a row."""

    def __init__(self, config: RegularizeConfig, epochs: int) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3))
        self.flat = FlatParameters(self.model)
        self.average = WeightAverage([config], [epochs], self.model, self.flat.values)
        self.epoch = 0


def regularize(**changes: Any) -> RegularizeConfig:
    return RegularizeConfig.model_validate(VALUES | changes)


@pytest.mark.parametrize("kind", ["none", "ema", "swa"])
def test_each_member_has_the_average_it_would_have_alone(kind: str) -> None:
    """Each with its own decay and start; after the second epoch one leaves, and two join."""
    settings = [(0.5, 0.0, 6), (0.9, 0.5, 6), (0.99, 0.9, 4), (0.8, 0.0, 2), (0.7, 0.5, 3)]
    made = [(regularize(average=kind, ema_decay=decay, swa_start=first), epochs) for decay, first, epochs in settings]
    rows = [Row(*each) for each in made[:3]]
    model = packed([row.model for row in rows])
    flat = FlatParameters(model, 3)
    configs, epochs = zip(*made[:3], strict=True)
    average = WeightAverage(configs, epochs, model, flat.values, packed=True)
    for number in range(1, 7):
        for _ in range(2):
            x = torch.randn(len(rows), 8, 4)
            with torch.no_grad():
                model(x)
                flat.values.add_(torch.randn_like(flat.values))
                for k, row in enumerate(rows):
                    row.model(x[k])
                    row.flat.values.copy_(flat.values[k : k + 1])
            for each in (average, *(row.average for row in rows)):
                each.after_step()
        for row in rows:
            row.epoch += 1
            row.average.after_epoch(np.array([row.epoch]))
        average.after_epoch(np.array([row.epoch for row in rows]))
        live = [member_state(model, k) for k in range(len(rows))]
        with average.in_place():
            for k, row in enumerate(rows):
                with row.average.in_place():
                    for name, tensor in row.model.state_dict().items():
                        torch.testing.assert_close(member_state(model, k)[name], tensor, msg=name)
        for k, before in enumerate(live):
            assert all(torch.equal(before[name], tensor) for name, tensor in member_state(model, k).items())
        if number == 2:
            joining = [Row(*each) for each in made[3:]]
            fresh = packed([row.model for row in joining])
            change_members(model, [0, 2], fresh)
            flat = FlatParameters(model, 4)
            configs, epochs = zip(*made[3:], strict=True)
            added = WeightAverage(configs, epochs, fresh, FlatParameters(fresh, 2).values, packed=True)
            average.change(model, flat.values, [0, 2], added)
            rows = [rows[0], rows[2], *joining]
    assert kind != "none" or not average._seen.any()


def test_members_may_leave_without_others_that_join() -> None:
    model = packed([Row(regularize(), 4).model for _ in range(3)])
    flat = FlatParameters(model, 3)
    average = WeightAverage([regularize(average="ema")] * 3, [4] * 3, model, flat.values, packed=True)
    with torch.no_grad():
        flat.values.add_(torch.arange(3.0)[:, None])
    average.after_step()
    expected = flat.values[2].clone()
    change_members(model, [2], None)
    flat = FlatParameters(model, 1)
    average.change(model, flat.values, [2], None)
    flat.values.data.zero_()
    with average.in_place():
        assert torch.equal(flat.values[0], expected)
