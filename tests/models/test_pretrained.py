"""Networks of timm give what timm itself gives; none of these tests downloads anything."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor

from wellfit.errors import WellfitError
from wellfit.models import build_model
from wellfit.models.pretrained import Body, FrozenBody, resampling

from .conftest import config, of_timm, picture


def features_as_timm_has_them(net: Any, image: Tensor) -> Tensor:
    """With the images as timm's own transform makes them."""
    said = resolve_model_data_config(net) | {"crop_pct": 1.0}
    transformed = create_transform(**said)(Image.fromarray(image.permute(1, 2, 0).numpy()))
    batch = transformed[None].contiguous(memory_format=torch.channels_last)
    found: Tensor = net.forward_head(net.forward_features(batch), pre_logits=True)
    return found


@torch.inference_mode()
def test_features_are_those_of_timm_to_the_bit(file: Path) -> None:
    image = picture(160, 160)
    found = Body(config(), (3, 160, 160), file).eval()(image[None])
    assert torch.equal(found, features_as_timm_has_them(of_timm(), image))


@pytest.mark.real_data
@torch.inference_mode()
def test_features_by_the_weights_of_the_mirror_are_those_of_timm_to_the_bit() -> None:
    name = "tf_efficientnet_lite0"
    path = Path(os.environ["WELLFIT_MIRROR"]) / "weights" / f"{name}.safetensors"
    net, image = of_timm(name, path), picture(224, 224)
    body = Body(config(name), (3, 224, 224), path).eval()
    found = body(image[None])
    assert torch.equal(found, features_as_timm_has_them(net, image))
    assert (body.mean.unique().tolist(), body.std.unique().tolist()) == ([0.5], [0.5])
    # The same through timm's whole network: of a picture of noise, its classes.
    assert torch.equal(net.classifier(found), net((image[None] / 255 - 0.5) / 0.5))


@pytest.mark.parametrize(("old", "new"), [(32, 80), (50, 24)])
@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_images_are_resampled_as_pillow_does(old: int, new: int, mode: str) -> None:
    image, rows = picture(old, old), resampling(old, new, mode)
    found = (rows @ image.float() @ rows.mT).clamp(0, 255)
    pillow = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((new, new), Image.Resampling[mode.upper()])
    assert (found - torch.from_numpy(np.array(pillow)).permute(2, 0, 1)).abs().max() <= 1.5  # which rounds twice


@torch.inference_mode()
def test_small_grey_images_become_what_the_network_takes(file: Path) -> None:
    image = picture(20, 30)[:1]
    body = Body(config(input_size=64), (1, 20, 30), file).eval()
    assert body.seen == 3 * 64 * 64
    rows, columns = resampling(20, 64, "bicubic"), resampling(30, 64, "bicubic")
    large = (rows @ image.float() @ columns.mT).clamp(0, 255).expand(3, -1, -1)
    torch.testing.assert_close(body(image[None]), Body(config(input_size=64), (3, 64, 64), file).eval()(large[None]))


def test_frozen_features_are_standardized_and_nothing_of_it_is_trained() -> None:
    frozen = FrozenBody(config(), (3, 32, 32))
    frozen.center.fill_(0.5)
    frozen.scale.fill_(2.0)
    image = picture(32, 32)[None]
    torch.testing.assert_close(frozen(image), (frozen.body(image) - 0.5) / 2)
    assert frozen.shape == (256,)
    assert not frozen.training
    assert not [parameter for parameter in frozen.parameters() if parameter.requires_grad]


BAD = {
    "model.name timm/resnet81: timm has no such network; did you mean timm/resnet18": {"name": "resnet81"},
    "model.partial must be < 6, the stages of the network, got 6": {"freeze": "partial", "partial": 6},
    "model.input_size must be auto or 160 for model.name timm/test_vit, got 32": {
        "name": "test_vit",
        "freeze": False,
        "input_size": 32,
    },
}


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_is_one_line(message: str) -> None:
    with pytest.raises(WellfitError, match=message):
        build_model(config(**{"freeze": False} | BAD[message]), (3, 32, 32), 2)


def test_images_of_two_channels_are_refused() -> None:
    with pytest.raises(WellfitError, match=r"takes images of 1 or 3 channels, got 2; set data\.channels"):
        Body(config(), (2, 32, 32))


def test_weights_of_another_network_are_refused_in_one_line(file: Path) -> None:
    with pytest.raises(
        WellfitError, match=r"safetensors does not hold the weights of model.name timm/test_resnet: "
    ) as e:
        Body(config("test_resnet"), (3, 32, 32), file)
    assert "\n" not in str(e.value)


def test_of_what_timm_downloads_no_file_is_a_pickle(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def hub(*names: str, **_: Any) -> dict[str, Tensor]:
        asked.append(names)
        return load_file(file)

    monkeypatch.setattr("timm.models._builder.has_hf_hub", lambda necessary=False: True)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", hub)
    downloaded = Body(config(), (3, 32, 32), download=True)
    assert [name for names in asked for name in names if "." in name.rpartition("/")[2]][-1] == "model.safetensors"
    assert torch.equal(downloaded.net.conv_stem.weight, of_timm().conv_stem.weight)
    monkeypatch.setattr("timm.models._builder.has_hf_hub", lambda necessary=False: False)
    with pytest.raises(WellfitError, match=r"could not download .* put them into \$WELLFIT_MIRROR/weights/test_eff"):
        Body(config(), (3, 32, 32), download=True)


def test_a_network_without_weights_is_told_before_anything_is_downloaded() -> None:
    with pytest.raises(WellfitError, match=r"timm has no weights of model\.name timm/test_mambaout: name a file in"):
        Body(config("test_mambaout"), (3, 32, 32), download=True)


def test_the_extra_is_named_where_timm_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wellfit.models.pretrained.find_spec", lambda name: None)
    with pytest.raises(WellfitError, match=r'timm/test_efficientnet needs timm: pip install "wellfit\[timm\]"'):
        Body(config(), (3, 32, 32))
