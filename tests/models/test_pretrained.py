"""Networks of timm give what timm itself gives; none of these tests downloads anything."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor, nn
from torch.nn import functional as F

from wellfit.errors import WellfitError
from wellfit.models import ModelConfig, build_model
from wellfit.models.pretrained import Body, FrozenBody, averaged, channels_of, resampling
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


@torch.inference_mode()
def test_outputs_of_the_modules_that_are_named_are_averaged(file: Path) -> None:
    image = picture(160, 160)
    body = Body(config(pooled=("blocks.2", "blocks.4")), (3, 160, 160), file).eval()
    found, net = body(image[None]), of_timm()
    x = net.bn1(net.conv_stem((image[None] / 255).sub(body.mean).div(body.std)))
    means = []
    for stage in net.blocks:
        x = stage(x)
        means.append(x.mean((2, 3)))
    torch.testing.assert_close(found, torch.cat([means[2], means[4]], 1))
    assert body.width == found.shape[1]
    assert torch.equal(body(image[None]), found), "hooks are gone"
    tokens = Body(config("test_vit", pooled=("blocks.3",)), (3, 160, 160)).eval()
    assert tokens(image[None]).shape == (1, 64)


@pytest.mark.parametrize(
    ("shape", "is_last", "axis"),
    [
        ((64,), False, 1),
        ((101, 64), False, 2),
        ((64, 5, 5), False, 1),
        ((64, 5, 5), True, 1),
        ((5, 5, 64), False, 3),
        ((5, 5, 64), True, 3),
        ((5, 5, 5), False, 1),
        ((5, 5, 5), True, 3),
        ((64, 1, 1), True, 1),
        ((4, 101, 64), False, None),
        ((2, 5, 5, 64), False, None),
        ((), False, None),
    ],
)
def test_channels_are_where_no_side_of_a_map_is(shape: tuple[int, ...], is_last: bool, axis: int | None) -> None:
    assert channels_of(shape, is_last=is_last) == axis


@torch.inference_mode()
@pytest.mark.parametrize(
    ("name", "module", "axes"),
    [
        ("test_convnext", "stages.3.blocks.0.norm", (1, 2)),
        ("test_convnext", "stages.3", (2, 3)),
        ("test_mambaout", "stem.conv1", (2, 3)),
        ("test_efficientnet", "global_pool", ()),
        ("test_vit", "fc_norm", ()),
    ],
)
def test_a_module_may_have_its_channels_elsewhere_than_the_network(
    name: str, module: str, axes: tuple[int, ...]
) -> None:
    body = Body(config(name, pooled=(module,)), (3, 160, 160)).eval()
    outputs: list[torch.Tensor] = []
    body.net.get_submodule(module).register_forward_hook(lambda _, __, output: outputs.append(output))
    found = body(picture(160, 160)[None].repeat(2, 1, 1, 1))
    torch.testing.assert_close(found, outputs[0].mean(axes) if axes else outputs[0])


@torch.inference_mode()
def test_channels_are_last_where_the_network_has_them_last() -> None:
    body = Body(config("test_mambaout", pooled=("stages.1/2", "stages.3")), (3, 160, 160)).eval()
    outputs: dict[str, torch.Tensor] = {}
    for name in ("stages.1", "stages.3"):
        module = body.net.get_submodule(name)
        module.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
    found = body(picture(160, 160)[None])
    maps = outputs["stages.1"]  # (1, 20, 20, 32)
    fields = [maps[:, a : a + 10, b : b + 10].mean((1, 2)) for a in (0, 10) for b in (0, 10)]
    torch.testing.assert_close(found, torch.cat([*fields, outputs["stages.3"].mean((1, 2))], 1))


@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 5), (2, 3)])
@pytest.mark.parametrize("fields", [1, 2, 3])
def test_fields_are_those_of_adaptive_pooling(height: int, width: int, fields: int) -> None:
    maps = torch.randn(2, 4, height, width)
    pooled = F.adaptive_avg_pool2d(maps, fields)
    torch.testing.assert_close(averaged(maps, fields), pooled.permute(0, 2, 3, 1).flatten(1))


@torch.inference_mode()
def test_a_module_may_be_averaged_in_fields_of_a_grid(file: Path) -> None:
    image = picture(160, 160)[None]
    mean, grid, both = (
        Body(config(pooled=pooled), (3, 160, 160), file).eval()(image)
        for pooled in (("blocks.4",), ("blocks.4/2",), ("blocks.4", "blocks.4/2"))
    )
    assert grid.shape == (1, 4 * mean.shape[1])
    assert grid.view(4, -1).std(0).max() > 0.01
    assert torch.equal(both, torch.cat([mean, grid], 1))


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
    "model.pooled: timm/test_efficientnet has no module blocks.9; near it are blocks": {"pooled": ("blocks.9",)},
    "model.pooled: timm/test_efficientnet has no module zzz; `named_modules": {"pooled": ("zzz",)},
    "model.pooled: blocks.3/2 needs maps of 2 x 2 positions or more, but the outputs of the module are 101 x 64": {
        "name": "test_vit",
        "pooled": ("blocks.3/2",),
    },
    "model.pooled: blocks.4/99 needs maps of 99 x 99 positions or more, but the outputs": {"pooled": ("blocks.4/99",)},
    "model.pooled: a module has not one output for each image, among layers.0.blocks.0.attn": {
        "name": "swin_tiny_patch4_window7_224",
        "pooled": ("layers.0.blocks.0.attn",),
    },
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
