from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from wellfit.models import philox
from wellfit.models.dropout import CPU, DRAWS, LEVELS, Dropout, DropoutStream, start_epoch
from wellfit.models.packed_layers import PackedDropout

few = settings(derandomize=True, deadline=None, max_examples=30)


def dropout(p: float, seed: int = 0, layer: int = 1) -> Dropout:
    torch.manual_seed(seed)
    return Dropout(p, layer)


def mask(module: Dropout, rows: int = 50, units: int = 40) -> Tensor:
    return module(torch.ones(rows, units)) > 0


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_it_drops_the_share_asked_for_and_leaves_the_mean_as_it_is(p: float) -> None:
    rows, units = 1000, 400
    outputs = dropout(p)(torch.ones(rows, units))
    dropped = outputs == 0
    deviation = (p * (1 - p) / (rows * units)) ** 0.5
    assert abs(dropped.float().mean().item() - p) < 4 * deviation + 1 / LEVELS
    assert abs(outputs.double().mean().item() - 1) < 4 * deviation / (1 - p)
    # No row and no unit is better off than others.
    for axis, n in ((0, rows), (1, units)):
        shares = dropped.double().mean(axis)
        assert shares.std().item() == pytest.approx((p * (1 - p) / n) ** 0.5, rel=0.25)


@pytest.mark.parametrize("p", [1e-6, 0.3, 0.5, 1 - 1e-9])
def test_what_is_kept_is_scaled_by_the_probability_that_16_bits_can_tell(p: float) -> None:
    dropped = min(round(p * LEVELS), LEVELS - 1) / LEVELS
    assert abs(dropped - p) <= 1 / LEVELS
    outputs = dropout(p)(torch.full((500, 400), 3.0))
    kept = outputs[outputs > 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 3 / (1 - dropped)))


@pytest.mark.parametrize(("p", "share"), [(1.0 / LEVELS, 1 - 1 / LEVELS), (1 - 1e-9, 1 / LEVELS)])
def test_the_outermost_draws_count_as_they_should(p: float, share: float) -> None:
    """One draw in 65536 is dropped, or kept."""
    draws = 2**22
    kept = (DropoutStream([0], 0, [p]).factors(draws) > 0).sum().item()
    assert kept == pytest.approx(draws * share, abs=4 * (draws / LEVELS) ** 0.5)


def test_without_a_probability_and_in_evaluation_it_is_the_identity() -> None:
    x = torch.randn(5, 4)
    assert dropout(0.0)(x) is x
    module = dropout(0.5)
    before = mask(dropout(0.5))
    module.eval()
    assert module(x) is x
    module.train()
    assert torch.equal(mask(module), before)  # nothing was drawn meanwhile


def test_masks_differ_between_layers_seeds_steps_and_epochs() -> None:
    modules = [dropout(0.5, seed, layer) for seed in (0, 1) for layer in (0, 1)]
    masks = []
    for module in modules:
        masks += [mask(module), mask(module)]
        module.stream.start_epoch()
        masks.append(mask(module))
    for k, one in enumerate(masks):
        for other in masks[:k]:
            assert (one == other).float().mean().item() == pytest.approx(0.5, abs=0.06)  # as of two that share nothing


def test_the_seed_decides_and_the_global_generator_is_left_alone() -> None:
    module = dropout(0.5, seed=3)
    state = torch.get_rng_state()
    first = mask(module)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(mask(dropout(0.5, seed=3)), first)


def test_its_gradient_goes_where_its_units_went() -> None:
    x = torch.randn(30, 20, requires_grad=True)
    outputs = dropout(0.4)(x)
    outputs.sum().backward()
    torch.testing.assert_close(x.grad, (outputs / x).detach())


def test_its_numbers_go_to_the_device_of_its_input() -> None:
    """Whatever device that is: ``meta``, which holds no numbers, stands for those that this machine lacks."""
    assert dropout(0.5)(torch.ones(3, 4, device="meta")).device.type == "meta"
    layer = PackedDropout([dropout(0.5, seed) for seed in (0, 1)])
    assert layer(torch.ones(2, 4, 3, device="meta")).device.type == "meta"


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_images_lose_single_numbers(layout: torch.memory_format) -> None:
    images = torch.ones(20, 6, 7, 5).to(memory_format=layout)
    outputs = dropout(0.3)(images)
    assert outputs.is_contiguous(memory_format=layout)
    # In the order in which convolutions compute, whatever that of the images is.
    in_order = dropout(0.3).stream.factors(images.numel()).view(20, 7, 5, 6)
    assert torch.equal(outputs, in_order.permute(0, 3, 1, 2))
    deviation = (0.3 * 0.7 / images.numel()) ** 0.5
    assert abs((outputs == 0).double().mean().item() - 0.3) < 4 * deviation


def test_it_leaves_a_network_one_graph_to_compile() -> None:
    x = torch.randn(6, 5)
    results = []
    for compiles in (False, True):
        torch.manual_seed(0)
        images = nn.Sequential(nn.Unflatten(1, (1, 1, 5)), nn.Conv2d(1, 2, 1), Dropout(0.5, 2), nn.Flatten())
        net = nn.Sequential(Dropout(0.2, 0), nn.Linear(5, 5), Dropout(0.5, 1), images)
        torch._dynamo.reset()
        run = torch.compile(net, backend="eager", fullgraph=True) if compiles else net
        outputs = torch.cat([run(x), run(x), run(x[:3])])
        outputs.square().sum().backward()
        results.append((outputs.detach(), net[1].weight.grad))
    torch._dynamo.reset()
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert (results[0][0] == 0).any()


def test_an_epoch_begins_anew_in_all_layers() -> None:
    net = nn.Sequential(dropout(0.5, layer=0), nn.Sequential(dropout(0.5, layer=1)))
    modules = [net[0], net[1][0]]
    before = [mask(module) for module in modules]
    start_epoch(net)
    for layer, (module, first) in enumerate(zip(modules, before, strict=True)):
        fresh = dropout(0.5, layer=layer)
        assert torch.equal(mask(fresh), first)
        fresh.stream._next(DRAWS - first.numel())  # to the end of what was drawn ahead
        assert torch.equal(mask(module), mask(fresh))


# On a device that makes its own numbers


class Elsewhere(DropoutStream):
    """Draws on the CPU as it would on another device, not as much ahead."""

    def factors(self, units: int, device: torch.device = CPU) -> Tensor:
        with mock.patch.object(philox, "AHEAD", 5000):
            return self._counted(units, device)


@few
@given(
    members=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 0.99)), min_size=1, max_size=4),
    counts=st.lists(st.integers(1, 3000), min_size=1, max_size=4),
)
def test_by_counters_each_member_draws_as_it_would_alone(members: list[tuple[int, float]], counts: list[int]) -> None:
    together = Elsewhere([seed for seed, _ in members], 2, [p for _, p in members])
    alone = [Elsewhere([seed], 2, [p]) for seed, p in members]
    for count in counts:
        factors = together.factors(count)
        assert factors.shape == (len(members), count)
        assert factors.dtype == torch.float32
        assert torch.equal(factors, torch.cat([stream.factors(count) for stream in alone]))


def test_by_counters_members_come_and_go() -> None:
    stream, new = Elsewhere([1, 2, 3], 0, [0.5] * 3), Elsewhere([4], 0, [0.2])
    stream.factors(100)
    alone = Elsewhere([3], 0, [0.5])
    alone.factors(100)
    stream = stream.extended([2], new)
    expected = torch.cat([alone._counted(100, CPU), Elsewhere([4], 0, [0.2]).factors(100)])
    assert torch.equal(stream._counted(100, CPU), expected)


def test_by_counters_it_goes_on_where_it_stopped() -> None:
    stream, other = Elsewhere([1, 2], 0, [0.5] * 2), Elsewhere([1, 2], 0, [0.5] * 2)
    stream.factors(10)
    other.load_state_dict(stream.state_dict())
    assert torch.equal(other.factors(10), stream.factors(10))
    assert not torch.equal(other.factors(10), Elsewhere([1, 2], 0, [0.5] * 2).factors(10))


# Members side by side


@few
@given(
    members=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 0.99)), min_size=1, max_size=4),
    counts=st.lists(st.integers(1, 3 * DRAWS // 2), min_size=1, max_size=5),
)
def test_each_member_draws_as_it_would_alone(members: list[tuple[int, float]], counts: list[int]) -> None:
    together = DropoutStream([seed for seed, _ in members], 2, [p for _, p in members])
    alone = [DropoutStream([seed], 2, [p]) for seed, p in members]
    assert together.drops_nothing == all(stream.drops_nothing for stream in alone)
    for step, count in enumerate(counts):
        if step == 2:
            for stream in (together, *alone):
                stream.start_epoch()
        factors = together.factors(count)
        assert factors.shape == (len(members), count)
        assert factors.dtype == torch.float32
        assert torch.equal(factors, torch.cat([stream.factors(count) for stream in alone]))


def test_who_stays_and_who_joins_draw_as_they_would_alone() -> None:
    stream = DropoutStream([1, 2, 3], 0, [0.1, 0.2, 0.3])
    stream.factors(100)
    stream.start_epoch()
    stream = stream.extended([2, 0], DropoutStream([4], 0, [0.4]))
    alone = [DropoutStream([seed], 0, [p]) for seed, p in ((3, 0.3), (1, 0.1), (4, 0.4))]
    for old in alone[:2]:
        old.factors(100)
        old.start_epoch()
    assert len(stream) == 3
    assert torch.equal(stream.factors(50), torch.cat([each.factors(50) for each in alone]))


def test_bits_are_even() -> None:
    draws = DropoutStream([0], 0, [0.5])._next(2**20)[0]
    for bit in range(16):
        assert np.mean((draws >> bit) & 1) == pytest.approx(0.5, abs=0.003)
