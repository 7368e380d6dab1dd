"""Small tensors that stay do not split the memory of large ones that go."""

import pytest
import torch

from wellfit.models import kept as module
from wellfit.models.kept import Kept


def test_copies_lie_side_by_side_and_are_what_was_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 40)
    kept = Kept()
    given = [torch.randn(2, 3), torch.randn(4), torch.randn(3, 1, dtype=torch.float64), torch.randn(5, 5)]
    copies = [kept.copy_of(each) for each in given]
    for copy, each in zip(copies, given, strict=True):
        assert torch.equal(copy, each)
        assert copy.dtype == each.dtype
        assert copy.data_ptr() != each.data_ptr()
    assert copies[1].data_ptr() == copies[0].data_ptr() + 6 * 4
    assert len({copy.untyped_storage().data_ptr() for copy in copies}) == 3


def test_a_tensor_of_another_device_is_not_copied() -> None:
    tensor = torch.empty(3, device="meta")
    assert Kept().copy_of(tensor) is tensor
