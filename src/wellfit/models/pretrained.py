"""Networks of timm with a new head: whole, for training all of it or its last stages, or as a maker of features.

``model.name: timm/<name>`` names one as timm does. Input size, mean, standard deviation and interpolation are those
that timm says of its weights. They are tensors of the network, so that a checkpoint holds all that makes features of
pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from wellfit.errors import WellfitError
from wellfit.models import TIMM, ModelConfig
from wellfit.models.mlp import mlp

if TYPE_CHECKING:
    from collections.abc import Iterable

WHITE = 255.0


class Body(nn.Module):
    """All of a network of timm but its last layer, from pixels to features.

    With ``model.pooled``, features are the outputs of the modules that it names, which are (B, C, H, W) or tokens
    (B, N, C), averaged over their positions.

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
        net = _network_of_timm(config.name, weights, download=download)
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
        self._outputs: dict[int, list[Tensor]] = {}  # by thread: a server predicts in several at once
        for name in config.pooled:
            _module_of(net, config.name, name).register_forward_hook(self._keep)
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
        x = x.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.net(x)
        if found := self._outputs.pop(get_ident(), None):
            return torch.cat([each.flatten(2).mean(2) if each.ndim == 4 else each.mean(1) for each in found], 1)
        return features

    def _keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._outputs.setdefault(get_ident(), []).append(output)


class FineTuned(nn.Sequential):
    """A body and a head that are trained together, or the head and the last stages of the body.

    The other stages stay as they are, the running statistics of their norms included.

    Args:
        body: from pixels to features.
        head: from features to outputs.
        stages: how many of the last ones are trained; None: all.
    """

    def __init__(self, body: Body, head: nn.Module, stages: int | None) -> None:
        super().__init__(OrderedDict(body=body, head=head))
        self._fixed: list[nn.Module] = []
        if stages is not None:
            for parameter in _before_the_last(body.net, stages):
                parameter.requires_grad_(False)
            self._fixed = [module for module in body.net.modules() if _is_fixed(module)]

    @property
    def seen(self) -> int:
        """Numbers of an image as the network sees it."""
        return self.body.seen  # type: ignore[union-attr,return-value]

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of what is trained; the stages that are not stay in evaluation mode."""
        super().train(mode)
        for module in self._fixed:
            module.eval()
        return self


class FrozenBody(nn.Module):
    """A body that is not trained, from pixels to features of mean 0 and standard deviation 1 on the training rows.

    It takes the place of `wellfit.models.inputs.Inputs` where the network is the head alone.

    Args:
        config: the section ``model``.
        input_shape: (1 or 3, height, width) of an image.
        body: that is there already; None: one with random weights is made.

    Attributes:
        shape: (features,).
        columns: None, for features are no columns of a table.
    """

    columns = None

    def __init__(self, config: ModelConfig, input_shape: tuple[int, ...], body: Body | None = None) -> None:
        super().__init__()
        self.body = body or Body(config, input_shape)
        self.shape = (self.body.width,)
        self.seen = self.body.seen
        self.center, self.scale = nn.Buffer(torch.zeros(self.shape)), nn.Buffer(torch.ones(self.shape))
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """From (B, C, H, W) pixels of 0 to 255 to (B, features)."""
        return self.standardized(self.body(pixels))

    def standardized(self, features: Tensor) -> Tensor:
        """Features of the body as the head takes them."""
        return features.sub(self.center).div(self.scale)


def fine_tuned(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> FineTuned:
    """A network of timm with the head of ``model.hidden``, with random weights.

    Args:
        config: the section ``model``.
        input_shape: (1 or 3, height, width) of an image.
        outputs: width of the head.

    Returns:
        A module from pixels, (B, *input_shape), to (B, outputs).
    """
    body = Body(config, input_shape)
    return FineTuned(body, mlp(config, (body.width,), outputs), config.partial if config.freeze == "partial" else None)


def load_body(file: Path, section: dict[str, Any], input_shape: tuple[int, ...]) -> FrozenBody:
    """Reads what the stage ``features`` has written of a frozen network.

    Args:
        file: of safetensors, whose sha256 was checked.
        section: ``model``, as a checkpoint has it.
        input_shape: (1 or 3, height, width) of an image.

    Raises:
        WellfitError: timm is not installed, or its network is another now.
    """
    frozen = FrozenBody(ModelConfig.model_validate(section), input_shape)
    try:
        frozen.load_state_dict(load_file(file))
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


def _network_of_timm(name: str, weights: Path | None, *, download: bool) -> Any:
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
    # No form of their authors, no address of a pickle, and of the hub no file but the one of safetensors.
    overlay = {"custom_load": False, "url": "", "hf_hub_filename": "model.safetensors"}
    overlay |= {} if weights is None else {"file": str(weights)}
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


def _module_of(net: nn.Module, network: str, name: str) -> nn.Module:
    try:
        return net.get_submodule(name)
    except AttributeError:
        from difflib import get_close_matches

        close = get_close_matches(name, [known for known, _ in net.named_modules() if known], n=3)
        raise WellfitError(f"model.pooled: {network} has no module {name}; near it are {', '.join(close)}") from None


def _said_of_weights(net: nn.Module) -> dict[str, Any]:
    from timm.data.config import resolve_model_data_config

    said: dict[str, Any] = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    return said


def _before_the_last(net: Any, stages: int) -> Iterable[nn.Parameter]:
    """The parameters of the stages before the last ones, as timm counts them for rates that fall from layer to layer.

    Raises:
        WellfitError: there are no more stages than are to be trained.
    """
    from timm.models import group_parameters

    groups = group_parameters(net, net.group_matcher(coarse=True))
    if stages >= len(groups):
        raise WellfitError(f"model.partial must be < {len(groups)}, the stages of the network, got {stages}")
    parameters = dict(net.named_parameters())
    return [parameters[name] for number in sorted(groups)[:-stages] for name in groups[number]]


def _is_fixed(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
