"""Networks of timm without their last layer: from pixels to features, or from pixels to maps of the first stages.

``model.name: timm/<name>`` names one as timm does. Input size, mean, standard deviation and interpolation are those
that timm says of its weights. They are tensors of the network, so that a checkpoint holds all that makes features of
pixels.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from wellfit.errors import WellfitError
from wellfit.models import TIMM, ModelConfig
from wellfit.models.pooled import PooledOutputs
from wellfit.models.stages import cut

WHITE = 255.0


class Body(nn.Module):
    """All of a network of timm but its last layer, from pixels to features.

    With ``model.pooled``, features are the outputs of the modules that it names, averaged over their positions, or over
    those of each field of a grid.

    Args:
        config: the section ``model``.
        input_shape: (1 or 3, height, width) of an image; a grey one is taken as one of three equal channels.
        weights: a file of timm's weights; None: random ones.
        download: whether timm downloads weights, where no file is given.

    Attributes:
        width: number of features.
        seen: numbers of an image as the network sees it.

    Raises:
        WellfitError: timm is not installed, has no such network, or has no weights that fit.
    """

    def __init__(
        self, config: ModelConfig, input_shape: tuple[int, ...], weights: Path | None = None, *, download: bool = False
    ) -> None:
        super().__init__()
        if input_shape[0] not in (1, 3):
            raise WellfitError(
                f"model.name {config.name} takes images of 1 or 3 channels, got {input_shape[0]}; set data.channels"
            )
        net = network_of_timm(config.name, weights, download=download)
        said = _said_of_weights(net)
        height, width = said["input_size"][1:]
        if config.input_size != "auto":
            if net.pretrained_cfg.get("fixed_input_size") and (height, width) != (config.input_size,) * 2:
                raise WellfitError(
                    f"model.input_size must be auto or {height} for model.name {config.name}, got {config.input_size}"
                )
            height = width = config.input_size
        self.net = net.to(memory_format=torch.channels_last)
        self.mean, self.std = (nn.Buffer(torch.tensor(said[key]).view(3, 1, 1)) for key in ("mean", "std"))
        self.rows, self.columns = (
            None if old == new else nn.Buffer(resampling(old, new, said["interpolation"]))
            for old, new in zip(input_shape[1:], (height, width), strict=True)
        )
        self.seen = 3 * height * width
        self._pooled = PooledOutputs(net, config)
        with torch.no_grad():
            self.width = self.eval()(torch.zeros(1, *input_shape)).shape[1]
        self.train()

    def forward(self, pixels: Tensor) -> Tensor:
        """From (B, C, H, W) pixels of 0 to 255, uint8 or float32, to (B, width) features."""
        x = pixels.float()
        if self.rows is not None:
            x = self.rows @ x
        if self.columns is not None:
            x = x @ self.columns.mT
        if self.rows is not None or self.columns is not None:
            x = x.clamp(0.0, WHITE)  # bicubic interpolation overshoots at edges
        x = x.div(WHITE).expand(-1, 3, -1, -1).sub(self.mean).div(self.std)
        return self._pooled.features(self.net(x.contiguous(memory_format=torch.channels_last)))


class Frozen(nn.Module):
    """What makes of pixels, and is not trained, what is trained on.

    It takes the place of `wellfit.models.inputs.Inputs` where the network takes features or maps.

    Args:
        body: from pixels to those.
        input_shape: (1 or 3, height, width) of an image.

    Attributes:
        shape: of the features or the maps of an image.
        columns: None, for they are no columns of a table.
    """

    columns = None

    def __init__(self, body: Body, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.body, self.seen = body, body.seen
        self.eval().requires_grad_(False)
        self.shape = tuple(body(torch.zeros(1, *input_shape)).shape[1:])

    def forward(self, pixels: Tensor) -> Tensor:
        """From (B, C, H, W) pixels of 0 to 255 to (B, *shape)."""
        return self.standardized(self.body(pixels))

    def standardized(self, outputs: Tensor) -> Tensor:
        """What the body puts out as the network takes it."""
        return outputs


class FrozenBody(Frozen):
    """A body that is not trained, from pixels to features of mean 0 and standard deviation 1 on the training rows.

    Args:
        config: the section ``model``.
        input_shape: (1 or 3, height, width) of an image.
        body: that is there already; None: one with random weights is made.
    """

    def __init__(self, config: ModelConfig, input_shape: tuple[int, ...], body: Body | None = None) -> None:
        super().__init__(body or Body(config, input_shape), input_shape)
        self.center, self.scale = nn.Buffer(torch.zeros(self.shape)), nn.Buffer(torch.ones(self.shape))

    def standardized(self, outputs: Tensor) -> Tensor:
        """Features of the body as the head takes them."""
        return outputs.sub(self.center).div(self.scale)


class FrozenStages(Frozen):
    """The stages of a body before those that are trained, from pixels to maps.

    Args:
        config: the section ``model``.
        input_shape: (1 or 3, height, width) of an image.
        body: that is there already, and is cut; None: one with random weights is made.

    Raises:
        WellfitError: it cannot be cut.
    """

    def __init__(self, config: ModelConfig, input_shape: tuple[int, ...], body: Body | None = None) -> None:
        body = body or Body(config, input_shape)
        body.net = cut(body.net, config).first
        super().__init__(body, input_shape)


def load_body(file: Path, section: dict[str, Any], input_shape: tuple[int, ...]) -> Frozen:
    """Reads what the stage ``features`` has written of a frozen network, or of all stages of one.

    Args:
        file: of safetensors, whose sha256 was checked.
        section: ``model``, as a checkpoint has it.
        input_shape: (1 or 3, height, width) of an image.

    Raises:
        WellfitError: timm is not installed, or its network is another now.
    """
    config = ModelConfig.model_validate(section)
    frozen = (FrozenBody if config.is_frozen else FrozenStages)(config, input_shape)
    own, found = frozen.state_dict(), load_file(file)
    try:
        frozen.load_state_dict({name: tensor for name, tensor in found.items() if name in own})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WellfitError(f"{file} does not fit timm {version('timm')}, which is installed: {reason}") from error
    return frozen


def safetensors_of(network: nn.Module) -> bytes:
    """Weights and buffers of a network, as a file of safetensors."""
    data: bytes = save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()})
    return data


def resampling(old: int, new: int, mode: str) -> Tensor:
    """The matrix (new, old) that resamples a row of pixels as Pillow does, but without rounding.

    As a product of matrices it is exact to export, and takes no longer than interpolation.

    Args:
        old: pixels of the row.
        new: likewise, afterwards.
        mode: timm's name of the interpolation; those that torch does not know are taken for bicubic.
    """
    known = mode if mode in ("bilinear", "bicubic") else "bicubic"
    return F.interpolate(torch.eye(old)[None, None], (new, old), mode=known, antialias=True)[0, 0]


def network_of_timm(name: str, weights: Path | None = None, *, download: bool = False) -> Any:
    """A network of timm without its last layer.

    Args:
        name: ``model.name``.
        weights: a file of timm's weights; None: random ones.
        download: whether timm downloads weights, where no file is given.

    Raises:
        WellfitError: timm is not installed, has no such network, or has no weights that fit.
    """
    if find_spec("timm") is None:
        raise WellfitError(f'model.name {name} needs timm: pip install "wellfit[timm]"')
    import timm

    known = name.removeprefix(TIMM)
    if not timm.is_model(known):
        from difflib import get_close_matches

        close = get_close_matches(known, timm.list_models(), n=1)
        hint = f"did you mean {TIMM}{close[0]}?" if close else "timm.list_models() lists them"
        raise WellfitError(f"model.name {name}: timm has no such network; {hint}")
    if weights is None and not download:
        return timm.create_model(known, num_classes=0)
    said = timm.get_pretrained_cfg(known)
    if weights is None and (said is None or not said.has_weights):
        raise WellfitError(
            f"timm has no weights of model.name {name}: name a file in model.weights, or train all of it from random "
            "ones (model.weights random, model.freeze false)"
        )
    # No form of their authors, no address of a pickle, and of the hub no file but the one of safetensors.
    overlay = {"custom_load": False, "url": "", "hf_hub_filename": "model.safetensors"}
    overlay |= {} if weights is None else {"file": str(weights)}
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of each attempt
    try:
        return timm.create_model(known, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)
    except Exception as error:  # of timm, torch, safetensors or the hub, whose errors have no common kind
        reason = " ".join(str(error).split())[:300]
        if weights is not None:
            raise WellfitError(f"{weights} does not hold the weights of model.name {name}: {reason}") from error
        raise WellfitError(
            f"timm could not download the weights of model.name {name} ({reason}); put them into "
            f"$WELLFIT_MIRROR/weights/{known}.safetensors, or name a file in model.weights"
        ) from error


def _said_of_weights(net: nn.Module) -> dict[str, Any]:
    from timm.data.config import resolve_model_data_config

    said: dict[str, Any] = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    return said
