"""Random bits from a counter and a key alone: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers").

Whoever knows the key and the counter knows the bits, so a device makes them by itself, in any order and beside any
others.
"""

import torch
from torch import Tensor

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # added to the key after each round
ROUNDS = 10
MASK = 2**32 - 1

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
    index = torch.arange(-(-count // 8), device=keys.device)
    zero = torch.zeros_like(index)
    words = philox((index, steps[:, None] & MASK, steps[:, None] >> 32, zero), (keys[:, :1], keys[:, 1:]))
    halves = [half for word in words for half in (word & 0xFFFF, word >> 16)]
    return torch.stack(torch.broadcast_tensors(*halves), dim=-1).flatten(1)[:, :count]


def _high(product: Tensor) -> Tensor:
    return (product >> 32) & MASK
