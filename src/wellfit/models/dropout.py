"""Dropout whose random numbers are a member's own, whether it trains alone or in a pack."""

from collections.abc import Sequence
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wellfit.models.philox import Counters, draws_16

DRAWS = 2**14  # random numbers that a member draws ahead, unless more are needed at once: they stay in the cache
CPU = torch.device("cpu")
WORD = 4  # draws of 16 bits in a word of 64
LEVELS = 2**16


class DropoutStream:
    """Decides which units a layer drops, for K members side by side.

    Each member has random numbers of its own: its masks depend on its seed, the layer, and the batches it has seen, and
    neither on the other members nor on its place among them. A unit takes 16 random bits, which meets the probability
    to 1/65536: of a small network's step on a CPU, ``torch.bernoulli`` was a third, and of a CNN's a tenth.

    On a CPU the bits come from a generator of each member, on another device from counters
    (`wellfit.models.philox`), so that no step waits for numbers of the host.

    Args:
        seeds: one for each member.
        layer: number of the layer, whose masks differ from those of the other layers.
        p: (K,) probability of dropping a unit.
    """

    def __init__(self, seeds: Sequence[int], layer: int, p: Sequence[float]) -> None:
        self._generators = [_generator(seed, layer) for seed in seeds]
        self._thresholds = np.array([_threshold(each) for each in p], np.uint16)[:, np.newaxis]
        self._scales = _scales(self._thresholds)
        self._draws: NDArray[np.uint16] = np.empty((len(seeds), 0), np.uint16)
        self._used = 0
        self._counters = Counters(draws_16, [_entropy(seed, layer) for seed in seeds])
        self._levels = torch.from_numpy(self._thresholds.astype(np.int64))

    def __len__(self) -> int:
        return len(self._generators)

    @property
    def drops_nothing(self) -> bool:
        """Whether all members keep all units."""
        return not self._thresholds.any()

    def factors(self, units: int, device: torch.device = CPU) -> Tensor:
        """What to multiply so many units of each member with, (K, units) float32: 0, or 1 / (1 - p)."""
        if device.type != "cpu":
            return self._counted(units, device)
        keeps = np.greater_equal(self._next(units), self._thresholds)
        return torch.from_numpy(keeps.view(np.uint8)).float().mul_(self._scales)

    def start_epoch(self) -> None:
        """Forgets what is left of the numbers drawn ahead: members that join a pack begin like the others."""
        self._used = self._draws.shape[1]

    def state_dict(self) -> list[list[int]]:
        """Where the random numbers of each member are, between two epochs."""
        states = [[*map(int, each.state["state"]["state"])] for each in self._generators]
        return [[*words, step] for words, step in zip(states, self._counters.state_dict(), strict=True)]

    def load_state_dict(self, state: Sequence[Sequence[int]]) -> None:
        """Takes over what :meth:`state_dict` said."""
        for generator, (*words, _) in zip(self._generators, state, strict=True):
            generator.state = generator.state | {"state": {"state": np.array(words, np.uint64)}}
        self._counters.load_state_dict([step for *_, step in state])
        self.start_epoch()

    def extended(self, kept: Sequence[int], added: "DropoutStream") -> "DropoutStream":
        """The stream of some of the members, and of others after them, at the start of an epoch."""
        stream = DropoutStream([], 0, [])
        stream._generators = [self._generators[k] for k in kept] + added._generators
        stream._thresholds = np.concatenate([self._thresholds[list(kept)], added._thresholds])
        stream._scales = _scales(stream._thresholds)
        stream._draws = np.empty((len(stream), 0), np.uint16)
        stream._levels = torch.from_numpy(stream._thresholds.astype(np.int64))
        stream._counters = self._counters.extended(kept, added._counters)
        return stream

    def _counted(self, units: int, device: torch.device) -> Tensor:
        """Factors as of :meth:`factors`, by counters: the numbers come from the device."""
        if self._levels.device != device:  # once, until members come or go
            self._levels, self._scales = self._levels.to(device), self._scales.to(device)
        keeps = self._counters.draw(units, device) >= self._levels
        return keeps * self._scales

    def _next(self, count: int) -> NDArray[np.uint16]:
        """The next draws of each member, (K, count)."""
        if self._used + count > self._draws.shape[1]:
            words = -(-max(DRAWS, count) // WORD)
            if self._draws.shape[1] != words * WORD:
                self._draws = np.empty((len(self), words * WORD), np.uint16)
            for draws, generator in zip(self._draws, self._generators, strict=True):
                draws[:] = generator.random_raw(words).view(np.uint16)
            self._used = 0
        self._used += count
        return self._draws[:, self._used - count : self._used]


class Dropout(nn.Module):
    """Sets units to zero while it trains, and scales the others up (Srivastava et al. 2014): ``torch.nn.Dropout``.

    Its random numbers begin with the seed of ``torch.manual_seed`` that holds when it is made, and are its own from
    then on.

    Args:
        p: probability of dropping a unit, 0 to below 1.
        layer: number of the layer among the network's.
    """

    def __init__(self, p: float, layer: int) -> None:
        super().__init__()
        self.p = p
        self.stream = DropoutStream([torch.initial_seed()], layer, [p])
        self._handle = id(self.stream)
        _STREAMS[self._handle] = self.stream

    def forward(self, x: Tensor) -> Tensor:
        """From (B, units) or (B, C, H, W) to the same."""
        if not self.training or self.p == 0:
            return x
        if torch.compiler.is_compiling():
            factors: Tensor = _opaque_factors(x.detach(), self._handle)
            return x * factors
        return x * _factors(x, self.stream)

    def extra_repr(self) -> str:
        """What the network's description says of it."""
        return f"p={self.p}"


def streams(model: nn.Module) -> list[DropoutStream]:
    """What every dropout of a network draws from."""
    found = [getattr(module, "stream", None) for module in model.modules()]
    return [stream for stream in found if isinstance(stream, DropoutStream)]


def start_epoch(model: nn.Module) -> None:
    """Tells every dropout of a network that an epoch begins."""
    for stream in streams(model):
        stream.start_epoch()


def _factors(x: Tensor, stream: DropoutStream) -> Tensor:
    """What to multiply (B, units) or (B, C, H, W) with."""
    factors = stream.factors(x.numel(), x.device)
    if x.ndim == 4:  # pixel by pixel, as convolutions have them in memory
        rows, channels, height, width = x.shape
        return factors.view(rows, height, width, channels).permute(0, 3, 1, 2)
    return factors.view(x.shape[::-1]).t().contiguous()  # unit by unit, as a pack has them in memory


# torch.compile cannot look into numpy's generators: it would leave all of a network that holds them uncompiled. It
# takes an operator as it is, whose arguments are tensors and numbers.
_STREAMS: WeakValueDictionary[int, DropoutStream] = WeakValueDictionary()


@torch.library.custom_op("wellfit::dropout_factors", mutates_args=())
def _opaque_factors(x: Tensor, handle: int) -> Tensor:
    return _factors(x, _STREAMS[handle])


@_opaque_factors.register_fake
def _(x: Tensor, handle: int) -> Tensor:
    order = torch.channels_last if x.ndim == 4 else torch.contiguous_format
    return torch.empty(x.shape, dtype=torch.float32, device=x.device, memory_format=order)


def _generator(seed: int, layer: int) -> np.random.SFC64:
    return np.random.SFC64(np.random.SeedSequence(_entropy(seed, layer)))


def _entropy(seed: int, layer: int) -> list[int]:
    return [seed, 2, layer]


def _threshold(p: float) -> int:
    """Draws below it drop a unit."""
    return min(round(p * LEVELS), LEVELS - 1)


def _scales(thresholds: NDArray[np.uint16]) -> Tensor:
    """(K, 1) what a unit that is kept is multiplied with."""
    return torch.from_numpy(LEVELS / (LEVELS - thresholds.astype(np.float32)))
