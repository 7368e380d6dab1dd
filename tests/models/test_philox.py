from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from wellfit.models import philox as philox_module
from wellfit.models.philox import Counters, draws_16, normal, philox

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_it_is_philox_4x32_10(counter: str, key: str, words: str) -> None:
    """The known answers of Random123, the authors' own library."""
    found = philox(numbers(counter), numbers(key))
    assert [f"{int(word):08x}" for word in found] == words.split()


def numbers(text: str) -> tuple[Tensor, ...]:
    return tuple(torch.tensor([int(word, 16)]) for word in text.split())


def test_a_member_draws_the_same_in_any_company() -> None:
    keys, steps = torch.tensor([[1, 2], [3, 4], [5, 6]]), torch.tensor([7, 2**33, 0])
    together = draws_16(keys, steps, 1001)
    for k in range(3):
        assert torch.equal(draws_16(keys[k : k + 1], steps[k : k + 1], 1001)[0], together[k])
    assert torch.equal(draws_16(keys, steps, 10), together[:, :10])


def test_each_key_and_step_has_numbers_of_its_own_spread_evenly() -> None:
    keys = torch.tensor([[0, 0], [0, 1], [1, 0], [0, 0], [0, 0]])
    found = draws_16(keys, torch.tensor([0, 0, 0, 1, 2**32]), 40_000).double()
    assert found.min() >= 0
    assert found.max() <= 65535
    deviation = 65536 / 12**0.5 / 40_000**0.5
    assert (found.mean(1) - 32767.5).abs().max() < 4 * deviation
    correlations = torch.corrcoef(found) - torch.eye(5)
    assert correlations.abs().max() < 4 / 40_000**0.5
    for half in range(8):  # of the four words of a counter
        assert abs(found[0, half::8].mean() - 32767.5) < 4 * deviation * 8**0.5


def test_normal_numbers_have_the_moments_and_the_shares_of_the_normal_distribution() -> None:
    keys, steps = torch.tensor([[1, 2], [3, 4]]), torch.tensor([0, 5])
    numbers = normal(keys, steps, 200_001)
    assert numbers.shape == (2, 200_001)
    assert numbers.dtype == torch.float32
    assert torch.isfinite(numbers).all()
    for own in numbers.double():
        deviation = len(own) ** -0.5
        assert abs(own.mean()) < 4 * deviation
        assert abs(own.square().mean() - 1) < 4 * 2**0.5 * deviation
        assert abs(own.pow(3).mean()) < 4 * 15**0.5 * deviation
        for limit, share in ((1.0, 0.3173), (2.0, 0.0455), (3.0, 0.0027)):
            assert (own.abs() > limit).double().mean().item() == pytest.approx(share, abs=4 * share**0.5 * deviation)
        lagged = [(own[:-lag] * own[lag:]).mean().abs() for lag in (1, 2, 3, 4)]
        assert max(lagged) < 4 * deviation


def test_counters_draw_for_each_member_what_it_draws_alone_and_go_on_where_they_were() -> None:
    together, alone = Counters(draws_16, [[0, 7], [1, 7], [2, 7]]), Counters(draws_16, [[2, 7]])
    for _ in range(2):
        assert torch.equal(together.draw(100, CPU)[2:], alone.draw(100, CPU))
    changed = together.extended([2, 0], Counters(draws_16, [[9, 7]]))
    state = changed.state_dict()
    assert state == [2, 2, 0]
    drawn = changed.draw(10, CPU)
    assert torch.equal(drawn[:1], alone.draw(10, CPU))
    assert torch.equal(drawn[2:], Counters(draws_16, [[9, 7]]).draw(10, CPU))
    changed.load_state_dict(state)
    assert torch.equal(changed.draw(10, CPU), drawn)


@pytest.mark.parametrize("numbers", [draws_16, normal])
def test_numbers_are_the_same_however_many_are_drawn_at_once(
    numbers: Callable[[Tensor, Tensor, int], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where batches are of different sizes, members come and go, and where a state is taken over in between."""
    counts = [30, 30, 7, 50, 30, 50, 1]
    found = []
    for ahead in (1, 150, 10_000):
        monkeypatch.setattr(philox_module, "AHEAD", ahead)
        counters = Counters(numbers, [[0, 7], [1, 7]])
        drawn = [counters.draw(count, CPU).clone() for count in counts]
        counters = counters.extended([1], Counters(numbers, [[2, 7]]))
        drawn += [counters.draw(count, CPU).clone() for count in counts]
        other = Counters(numbers, [[1, 7], [2, 7]])
        other.load_state_dict(counters.state_dict())
        assert other.state_dict() == [14, 7]
        drawn.append(other.draw(9, CPU).clone())
        assert torch.equal(drawn[-1], counters.draw(9, CPU))
        found.append(drawn)
    for drawn in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], drawn, strict=True))
    alone = Counters(numbers, [[1, 7]])
    for count, drawn in zip(counts, found[0], strict=False):
        assert torch.equal(alone.draw(count, CPU)[0], drawn[1])


def test_small_draws_share_their_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(philox_module, "AHEAD", 50_000)
    operations = []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            operations.append(func)
            return func(*args, **(kwargs or {}))

    counters = Counters(draws_16, [[0, 7], [1, 7]])
    with Count():
        for _ in range(25):
            counters.draw(1000, CPU)
    assert len(operations) < 300  # 180 of one draw
