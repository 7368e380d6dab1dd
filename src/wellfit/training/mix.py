"""What is done to training batches against over-fitting: noise on the inputs, mixup, cutmix."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wellfit.errors import WellfitError
from wellfit.models.philox import Counters, normal
from wellfit.settings.params import PARAMS_FILE
from wellfit.training.ahead import Ahead, moved
from wellfit.training.regularize import RegularizeConfig


class Mixed(NamedTuple):
    """A batch of each of K members as its network sees it.

    Attributes:
        x: (K, B, *input_shape).
        partners: (K, B) the row of the batch that each row is mixed with; None where nothing is mixed.
        shares: (K,) of a row's own part in it, 0 to 1; the rest is its partner's.
    """

    x: Tensor
    partners: Tensor | None = None
    shares: Tensor | float = 1.0


class BatchMixer:
    """Disturbs training batches, each member's with random numbers of its own.

    The host draws who is mixed with whom, and how much, so that it is the same for every device. Noise is as large as
    the batches, so it comes from the device: on a CPU from a generator of each member, else from counters.

    Args:
        shape: of a row as the network takes it.
        device: where the batches are.
    """

    def __init__(self, shape: Sequence[int], device: torch.device) -> None:
        self._image, self._device = tuple(shape[-2:]) if len(shape) == 3 else (), device
        self._members: list[_Member] = []
        self._counters = Counters(normal, [])
        self._drawn = Ahead(self._draw, device)

    def change(self, kept: Sequence[int], added: Sequence[tuple[RegularizeConfig, int]]) -> None:
        """Goes on with some members and with new ones behind them.

        Args:
            kept: indices of those that stay.
            added: the section ``regularize`` and ``train.seed`` of each new one.

        Raises:
            WellfitError: cutmix on rows without height and width.
        """
        if not self._image and any(config.cutmix for config, _ in added):
            raise WellfitError(
                "regularize.cutmix needs images, or maps of frozen stages that have height and width; use mixup "
                f"({PARAMS_FILE})"
            )
        self._members = [self._members[k] for k in kept] + [_Member(*each) for each in added]
        self._counters = self._counters.extended(kept, Counters(normal, [[seed, 3] for _, seed in added]))
        configs = [member.config for member in self._members]
        self._noise = torch.tensor([each.input_noise for each in configs], dtype=torch.float32, device=self._device)
        self._has_noise = any(each.input_noise for each in configs)
        self._mixes = any(each.mixup or each.cutmix for each in configs)
        self._sides = self._image if any(each.cutmix for each in configs) else ()

    @property
    def is_idle(self) -> bool:
        """Whether batches pass as they are."""
        return not (self._has_noise or self._mixes)

    def begin(self, sizes: Sequence[int]) -> None:
        """Moves to the device what the batches of an epoch need from the host.

        Args:
            sizes: B of each.
        """
        if self._mixes:
            self._drawn.begin(sizes)

    def state_dict(self) -> dict[str, Any]:
        """Where the random numbers are."""
        return {
            "random": [each.random.bit_generator.state for each in self._members],
            "noise": [each.noise.get_state() for each in self._members],
            "counters": self._counters.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` said."""
        for member, random, noise in zip(self._members, state["random"], state["noise"], strict=True):
            member.random.bit_generator.state = random
            member.noise.set_state(noise)
        self._counters.load_state_dict(state["counters"])

    def __call__(self, x: Tensor) -> Mixed:
        """Noise first, then one share for a member's whole batch, as in the papers.

        Args:
            x: (K, B, *input_shape) standardized inputs; images, or maps of frozen stages, for cutmix.
        """
        by_member = (-1, *[1] * (x.ndim - 1))
        if self._has_noise:
            x = x + self._noise.view(by_member) * self._noise_like(x)
        if not self._mixes:
            return Mixed(x)
        partners, numbers = self._drawn.next(x.shape[1])
        own = numbers[:, 1].view(by_member)
        if self._sides:
            rows, columns = numbers[:, 2:].split(self._sides, 1)
            own = own - (rows[:, :, None] * columns[:, None, :])[:, None, None]
        first = torch.arange(0, x.shape[0] * x.shape[1], x.shape[1], device=x.device)  # row of each member
        others = x.flatten(0, 1).index_select(0, (partners + first[:, None]).flatten()).view_as(x)
        return Mixed(torch.lerp(others, x, own), partners, numbers[:, 0])

    def _noise_like(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return self._counted_noise(x)
        shape = x.shape[1:]
        return torch.stack(
            [
                torch.randn(shape, generator=each.noise) if each.config.input_noise else x.new_zeros(shape)
                for each in self._members
            ]
        )

    def _counted_noise(self, x: Tensor) -> Tensor:
        return self._counters.draw(x[0].numel(), x.device).view(x.shape)

    def _draw(self, sizes: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Of each batch (K, B) partners, and (K, 2 + H + W) the numbers that `_Member.draw` names."""
        drawn = [[member.draw(size, self._sides) for member in self._members] for size in sizes]
        partners, numbers = (
            moved([np.stack([member[part] for member in batch]) for batch in drawn], self._device) for part in (0, 1)
        )
        return list(zip(partners, numbers, strict=True))


class _Member:
    """A member's section ``regularize``, and where its random numbers are."""

    def __init__(self, config: RegularizeConfig, seed: int) -> None:
        self.config = config
        self.random = np.random.default_rng([seed, 1])
        self.noise = torch.Generator().manual_seed(seed)

    def draw(self, size: int, sides: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Who is mixed with whom in a batch, and how much.

        Args:
            size: rows of the batch.
            sides: height and width of the images, where one of the members cuts boxes; else none.

        Returns:
            (B,) each row's partner. And a row's own share in the loss; in each number outside the box; then, for each
            row and each column of the image, whether the box lies in it.
        """
        config, box = self.config, np.zeros(sum(sides))
        alpha = config.mixup or config.cutmix
        if not alpha:
            return np.arange(size), np.array([1.0, 1.0, *box], np.float32)
        share = float(self.random.beta(alpha, alpha))
        partners = self.random.permutation(size)
        if config.mixup:  # Zhang et al. 2018
            return partners, np.array([share, share, *box], np.float32)
        height, width = sides
        top, bottom, left, right = self._box(height, width, share)
        box[top:bottom] = box[height + left : height + right] = 1
        cut = (bottom - top) * (right - left) / (height * width)
        return partners, np.array([1 - cut, 1.0, *box], np.float32)

    def _box(self, height: int, width: int, share: float) -> tuple[int, int, int, int]:
        """A box around a random pixel, of the image's proportions and an area of 1 - share before it is cut off at the
        border (Yun et al. 2019)."""
        side = np.sqrt(1 - share)
        centre_y, centre_x = int(self.random.integers(height)), int(self.random.integers(width))
        half_y, half_x = int(height * side) // 2, int(width * side) // 2
        return (
            max(0, centre_y - half_y),
            min(height, centre_y + half_y),
            max(0, centre_x - half_x),
            min(width, centre_x + half_x),
        )
