"""What is done to a training batch against over-fitting: noise on the inputs, mixup, cutmix."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wellfit.training.regularize import RegularizeConfig


class Mixed(NamedTuple):
    """A batch as the network sees it.

    Attributes:
        x: (B, *input_shape).
        partner: (B,) the row of the batch that each row is mixed with; None where nothing is mixed.
        share: of a row's own part in it, 0 to 1; the rest is its partner's.
    """

    x: Tensor
    partner: Tensor | None
    share: float


class BatchMixer:
    """Disturbs training batches, with random numbers of its own.

    Args:
        config: the section ``regularize``.
        seed: ``train.seed``.
        device: where the batches are.
    """

    def __init__(self, config: RegularizeConfig, seed: int, device: torch.device) -> None:
        self._config = config
        self._random = np.random.default_rng([seed, 1])
        self._noise = torch.Generator(device).manual_seed(seed)

    @property
    def is_idle(self) -> bool:
        """Whether batches pass as they are."""
        return not (self._config.input_noise or self._config.mixup or self._config.cutmix)

    def state_dict(self) -> dict[str, Any]:
        """Where its random numbers are."""
        return {"random": self._random.bit_generator.state, "noise": self._noise.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` said."""
        self._random.bit_generator.state = state["random"]
        self._noise.set_state(state["noise"])

    def __call__(self, x: Tensor) -> Mixed:
        """Noise first, then one share for the whole batch, as in the papers.

        Args:
            x: (B, *input_shape) standardized inputs; (B, C, H, W) for cutmix.
        """
        config = self._config
        if config.input_noise > 0:
            noise = torch.randn(x.shape, generator=self._noise, device=x.device)
            x = x + config.input_noise * noise
        alpha = config.mixup or config.cutmix
        if not alpha:
            return Mixed(x, None, 1.0)
        share = float(self._random.beta(alpha, alpha))
        partner = torch.from_numpy(self._random.permutation(len(x))).to(x.device)
        if config.mixup:  # Zhang et al. 2018
            return Mixed(torch.lerp(x[partner], x, share), partner, share)
        top, bottom, left, right = self._box(x.shape[-2], x.shape[-1], share)
        x = x.clone()
        x[:, :, top:bottom, left:right] = x[partner, :, top:bottom, left:right]
        cut = (bottom - top) * (right - left) / (x.shape[-2] * x.shape[-1])
        return Mixed(x, partner, 1 - cut)

    def _box(self, height: int, width: int, share: float) -> tuple[int, int, int, int]:
        """A box around a random pixel, of the image's proportions and an area of 1 - share before it is cut off at the
        border (Yun et al. 2019)."""
        side = np.sqrt(1 - share)
        centre_y, centre_x = int(self._random.integers(height)), int(self._random.integers(width))
        half_y, half_x = int(height * side) // 2, int(width * side) // 2
        return (
            max(0, centre_y - half_y),
            min(height, centre_y + half_y),
            max(0, centre_x - half_x),
            min(width, centre_x + half_x),
        )
