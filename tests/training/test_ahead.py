from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from wellfit.training.ahead import Ahead, moved

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.mark.parametrize(("device", "expected"), [(META, [5, 1]), (CPU, [2, 2, 1, 1])])
def test_what_is_made_at_once(device: torch.device, expected: list[int]) -> None:
    """All of an epoch for another device, some steps for a CPU; one where no epoch was begun."""
    made = []

    def make(steps: Sequence[str]) -> list[str]:
        made.append(len(steps))
        return [step.upper() for step in steps]

    ahead = Ahead(make, device, 2)
    ahead.begin("abcde")
    assert [ahead.next(step) for step in "abcdef"] == list("ABCDEF")
    assert made == expected


@pytest.mark.parametrize(("device", "expected"), [(META, [3, 4, 5]), (CPU, [2, 3, 4])])
def test_an_epoch_that_was_left_leaves_nothing_for_the_next(device: torch.device, expected: list[int]) -> None:
    numbers = iter(range(10))
    ahead = Ahead[str, int](lambda steps: [next(numbers) for _ in steps], device, 2)
    ahead.begin("abc")
    assert ahead.next("a") == 0
    ahead.begin("ab")
    assert [ahead.next(step) for step in "abc"] == expected


def test_arrays_of_any_shapes_are_moved_by_one_copy() -> None:
    arrays = [np.arange(6).reshape(2, 3), np.zeros((0, 4), int), np.array([7])]
    for array, tensor in zip(arrays, moved(arrays, CPU), strict=True):
        assert tensor.shape == array.shape
        assert np.array_equal(tensor.numpy(), array)
    copies = []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            copies.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    with Count():
        moved(arrays, META)
    assert copies.count("_to_copy") == 1
