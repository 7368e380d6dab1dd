"""What of a network of timm is trained, and what stays as it is."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wellfit.models import ModelConfig, build_model
from wellfit.models.fine_tuned import FineTuned, LastStages
from wellfit.settings.params import load_params

SHIPPED = load_params(Path(__file__).parents[2] / "params.yaml").model


def config(**changes: Any) -> ModelConfig:
    small = {"name": "timm/test_efficientnet", "hidden": (6,), "dropout": 0.0, "input_size": 32}
    return ModelConfig.model_validate(SHIPPED.model_dump() | small | changes)


def trained(freeze: Any, **changes: Any) -> tuple[FineTuned, dict[str, Tensor]]:
    """A network before and after some steps."""
    torch.manual_seed(0)
    model = build_model(config(freeze=freeze, feature_copies=None, **changes), (3, 32, 32), 2)
    assert isinstance(model, FineTuned)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    for _ in range(2):
        model.train()
        optimizer.zero_grad()
        model(torch.rand(4, 3, 32, 32) * 255).square().sum().backward()
        optimizer.step()
    return model, before


def test_the_last_stages_are_trained_and_the_others_stay_with_their_statistics() -> None:
    model, before = trained("partial", partial=1)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    stages = {name.split(".")[3] for name in changed if name.startswith("body.net.blocks")}
    assert stages == {"4"}
    assert {name.split(".")[2] for name in changed if name.startswith("body")} == {"blocks", "conv_head", "bn2"}
    assert "body.net.blocks.4.0.bn1.running_mean" in changed
    assert "head.2.weight" in changed


def test_all_of_it_is_trained_where_nothing_is_frozen() -> None:
    model, before = trained(False)
    unchanged = {name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])}
    assert unchanged == {"body.mean", "body.std"}


def test_on_maps_the_last_stages_alone_are_there_and_all_of_them_are_trained() -> None:
    model = build_model(config(freeze="partial", partial=1), (48, 2, 2), 2)
    assert isinstance(model, FineTuned)
    names = {name for name, _ in model.named_parameters() if name.startswith("body")}
    assert {name.split(".")[2] for name in names} == {"blocks", "conv_head", "bn2"}
    assert {name.split(".")[3] for name in names if "blocks" in name} == {"4"}
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not [module for module in model.train().modules() if not module.training]
    assert model(torch.rand(3, 48, 2, 2)).shape == (3, 2)


def test_on_maps_outputs_of_modules_are_averaged_as_in_the_whole_network() -> None:
    pooled = ("blocks.3", "blocks.4/1")
    body = LastStages(config(freeze="partial", partial=2, pooled=pooled), (32, 2, 2)).eval()
    x = maps = torch.rand(3, 32, 2, 2)
    found, means = body(maps), []
    for name in pooled:
        x = body.net.get_submodule(name.removesuffix("/1"))(x)
        means.append(x.mean((2, 3)))
    torch.testing.assert_close(found, torch.cat(means, 1))
