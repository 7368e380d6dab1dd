"""What is kept of each of many steps, or of many forward passes."""

import torch
from torch import Tensor

BLOCK_BYTES = 2**20


class Kept:
    """Copies of small tensors, side by side in blocks of a megabyte.

    A small tensor that stays, among the large ones of a step that go, splits the memory that they leave; the next step
    fits into none of the parts, and takes new memory. Thousands of steps come to gigabytes.
    """

    def __init__(self) -> None:
        self._free = torch.empty(0)

    def copy_of(self, tensor: Tensor) -> Tensor:
        """A copy of the tensor. One on a GPU is returned as it is: there, small tensors have memory of their own."""
        if not tensor.is_cpu:
            return tensor
        size = tensor.numel()
        if self._free.numel() < size or self._free.dtype != tensor.dtype:
            self._free = tensor.new_empty(max(size, BLOCK_BYTES // tensor.itemsize))
        copy, self._free = self._free[:size].view(tensor.shape), self._free[size:]
        return copy.copy_(tensor)
