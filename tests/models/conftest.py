"""Small networks of timm, and a picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from wellfit.models import ModelConfig
from wellfit.settings.params import load_params

SHIPPED = load_params(Path(__file__).parents[2] / "params.yaml").model
SMALL = "test_efficientnet"  # of 100,000 weights, for images of 160 pixels


def config(name: str = SMALL, **changes: Any) -> ModelConfig:
    return ModelConfig.model_validate(SHIPPED.model_dump() | {"name": f"timm/{name}", "hidden": (6,)} | changes)


def of_timm(name: str = SMALL, file: Path | None = None) -> Any:
    """With statistics of norms that are not those at the start."""
    torch.manual_seed(0)
    overlay = {"file": str(file)} if file else None
    net = timm.create_model(name, pretrained=file is not None, pretrained_cfg_overlay=overlay)
    for layer in net.modules() if file is None else ():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            nn.init.normal_(layer.running_mean, std=0.1)
    return net.eval().to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / f"{SMALL}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in of_timm().state_dict().items()}, path)
    return path


def picture(height: int, width: int) -> Tensor:
    """(3, height, width) uint8, smooth and in colours."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 255, (5, 5, 3), dtype=np.uint8))
    return torch.from_numpy(np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))).permute(2, 0, 1)
