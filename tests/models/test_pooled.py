from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from wellfit.errors import WellfitError
from wellfit.models.pooled import averaged, channels_of
from wellfit.models.pretrained import Body

from .conftest import config, of_timm, picture


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


BAD: dict[str, dict[str, Any]] = {
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
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_no_feature_of_images_is_one_line(message: str) -> None:
    with pytest.raises(WellfitError) as e:
        Body(config(**BAD[message]), (3, 32, 32))
    assert message in str(e.value)
    assert "\n" not in str(e.value)
