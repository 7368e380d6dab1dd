"""A network that is cut computes what the whole of it does."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from wellfit.errors import WellfitError
from wellfit.models import ModelConfig
from wellfit.models.stages import before_the_last, cut
from wellfit.settings.params import load_params

SHIPPED = load_params(Path(__file__).parents[2] / "params.yaml").model


def config(**changes: Any) -> ModelConfig:
    return ModelConfig.model_validate(SHIPPED.model_dump() | {"name": "timm/test_efficientnet"} | changes)


@pytest.mark.parametrize("partial", [1, 2, 4])
@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_convnext", "test_vit3"])
@torch.inference_mode()
def test_the_parts_are_the_whole_to_the_bit(name: str, partial: int) -> None:
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=0).eval()
    first, last = cut(net, config(partial=partial))
    x = torch.rand(2, 3, 160, 160)
    assert torch.equal(last(first(x)), net(x))
    own, others = (dict(part.named_parameters()) for part in (last, first))
    assert own.keys() | others.keys() == dict(net.named_parameters()).keys()
    assert not own.keys() & others.keys()
    fixed = {id(parameter) for parameter in before_the_last(net, partial)}
    assert {id(parameter) for parameter in others.values()} == fixed


class Two(nn.Module):
    """Its first stage hands over two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(2, 2), nn.Linear(2, 2)

    def group_matcher(self, coarse: bool) -> dict[str, str]:
        return {"stem": "^stem", "head": "^head"}

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        twice = x * 2
        out: Tensor = self.head(x) + twice
        return out


OF_ANY_SIZE = timm.create_model("test_vit", num_classes=0)  # it looks at the size of its inputs between stages


@pytest.mark.parametrize(("net", "reason"), [(Two(), "2 tensors go from"), (OF_ANY_SIZE, "control flow")])
def test_a_network_that_cannot_be_cut_is_one_line_with_the_way_out(net: nn.Module, reason: str) -> None:
    said = f"cannot be cut before its last 1 stages .*{reason}.*; set model.feature_copies to null, and images pass all"
    with pytest.raises(WellfitError, match=said) as caught:
        cut(net, config(partial=1))
    assert "\n" not in str(caught.value)


def test_features_of_stages_before_the_cut_are_refused() -> None:
    net = timm.create_model("test_efficientnet", num_classes=0)
    with pytest.raises(WellfitError, match=r"model.pooled: blocks.3 is none of the last 1 stages of timm/test_eff"):
        cut(net, config(partial=1, pooled=("blocks.4", "blocks.3")))
