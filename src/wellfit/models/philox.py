"""Random bits from a counter and a key alone: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers").

Whoever knows the key and the counter knows the bits, so a device makes them by itself, in any order and beside any
others.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # added to the key after each round
ROUNDS = 10
MASK = 2**32 - 1
AHEAD = 2**21  # numbers that are drawn at once, unless a step needs more: a draw takes 180 operations, however small

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Four random words for each counter.

    Args:
        counter: four words of 32 bits, as int64, of shapes that broadcast.
        key: two words likewise.

    Returns:
        Four words of 32 bits, as int64.
    """
    a, b, c, d = counter
    left, right = key
    for _ in range(ROUNDS):
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]  # 64 bits each; the sign is one of them
        a, b, c, d = _high(second) ^ b ^ left, second & MASK, _high(first) ^ d ^ right, first & MASK
        left, right = (left + KEY_STEPS[0]) & MASK, (right + KEY_STEPS[1]) & MASK
    return a, b, c, d


def draws_16(keys: Tensor, steps: Tensor, count: int) -> Tensor:
    """Random numbers of 16 bits, on the device of the keys.

    Args:
        keys: (K, 2) int64, of 32 bits.
        steps: (K,) int64 counts from 0; each count gives other numbers.
        count: below 2**35.

    Returns:
        (K, count) int64, 0 to 65535.
    """
    halves = [half for word in _words(keys, steps, -(-count // 8)) for half in (word & 0xFFFF, word >> 16)]
    return torch.stack(torch.broadcast_tensors(*halves), dim=-1).flatten(1)[:, :count]


def normal(keys: Tensor, steps: Tensor, count: int) -> Tensor:
    """Random numbers of a standard normal distribution, two from two words (Box and Muller 1958).

    Args:
        keys: as of :func:`draws_16`, like all else.

    Returns:
        (K, count) float32.
    """
    first, second, third, fourth = _words(keys, steps, -(-count // 4))
    numbers = []
    for of_radius, of_angle in ((first, second), (third, fourth)):
        radius = ((of_radius + 0.5) / 2**32).log().mul(-2).sqrt()
        angle = of_angle * (2 * math.pi / 2**32)
        numbers += [radius * angle.cos(), radius * angle.sin()]
    return torch.stack(torch.broadcast_tensors(*numbers), dim=-1).flatten(1)[:, :count]


class Counters:
    """Random numbers of K members, made on the device that needs them. Each member's depend on no other member.

    Args:
        numbers: :func:`draws_16` or :func:`normal`.
        entropies: whole numbers that the key of each member is made of.
    """

    def __init__(self, numbers: Callable[[Tensor, Tensor, int], Tensor], entropies: Sequence[Sequence[int]]) -> None:
        self._numbers = numbers
        keys = [np.random.SeedSequence(each).generate_state(2) for each in entropies]
        self._keys = torch.from_numpy(np.array(keys, np.int64).reshape(-1, 2))
        self._steps = torch.zeros(len(keys), dtype=torch.int64)
        self._ahead: Tensor | None = None  # (K, steps, count) that were drawn after them
        self._used = 0  # steps of these

    def draw(self, count: int, device: torch.device) -> Tensor:
        """The next numbers of each member, (K, count).

        Args:
            count: of each member.
            device: where they are needed.
        """
        if self._keys.device != device:  # once, until members come or go
            self._keys, self._steps = self._keys.to(device), self._steps.to(device)
        if self._ahead is None or self._used == self._ahead.shape[1] or count > self._ahead.shape[2]:
            self._forget()
            n = max(1, AHEAD // max(1, len(self._steps) * count))
            steps = self._steps[:, None] + torch.arange(n, device=device)
            keys = self._keys[:, None].expand(-1, n, -1).flatten(0, 1)
            self._ahead = self._numbers(keys, steps.flatten(), count).view(*steps.shape, count)
        self._used += 1
        return self._ahead[:, self._used - 1, :count]

    def _forget(self) -> None:
        """Goes back to where the numbers are that were not used."""
        self._steps = self._steps + self._used
        self._ahead, self._used = None, 0

    def extended(self, kept: Sequence[int], added: "Counters") -> "Counters":
        """Those of some of the members, and of others after them."""
        extended = Counters(self._numbers, [])
        for each in (self, added):
            each._forget()
        for name in ("_keys", "_steps"):
            own, others = getattr(self, name), getattr(added, name)
            setattr(extended, name, torch.cat([own[list(kept)], others.to(own.device)]))
        return extended

    def state_dict(self) -> list[int]:
        """How often each member has drawn."""
        return (self._steps + self._used).tolist()

    def load_state_dict(self, state: Sequence[int]) -> None:
        """Takes over what :meth:`state_dict` said."""
        self._steps = torch.tensor(list(state), dtype=torch.int64, device=self._keys.device)
        self._ahead, self._used = None, 0


def _words(keys: Tensor, steps: Tensor, count: int) -> Words:
    """So many times four words of each member."""
    index = torch.arange(count, device=keys.device)
    counter = (index, steps[:, None] & MASK, steps[:, None] >> 32, torch.zeros_like(index))
    return philox(counter, (keys[:, :1], keys[:, 1:]))


def _high(product: Tensor) -> Tensor:
    return (product >> 32) & MASK
