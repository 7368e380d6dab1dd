from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from wellfit.errors import WellfitError
from wellfit.training.mix import BatchMixer
from wellfit.training.regularize import RegularizeConfig

CPU = torch.device("cpu")
VALUES = {"input_noise": 0.0, "mixup": 0.0, "cutmix": 0.0, "average": "none", "ema_decay": 0.99, "swa_start": 0.75}
# Of the members of a pack: each draws other things, and one of them nothing.
MEMBERS = [{"mixup": 0.4}, {"cutmix": 1.0, "input_noise": 0.1}, {}, {"input_noise": 0.5, "mixup": 2.0}]


def mixer(*members: dict[str, Any], shape: Sequence[int] = (3,), first_seed: int = 0) -> BatchMixer:
    made = BatchMixer(shape, CPU)
    configs = [RegularizeConfig.model_validate(VALUES | each) for each in members]
    made.change([], [(config, first_seed + k) for k, config in enumerate(configs)])
    return made


def test_nothing_asked_for_changes_nothing_and_draws_nothing() -> None:
    x, random = torch.randn(1, 8, 3), torch.get_rng_state()
    idle = mixer({})
    assert idle.is_idle
    mixed = idle(x)
    assert mixed.x is x
    assert mixed.partners is None
    assert torch.equal(torch.get_rng_state(), random)


def test_noise_has_the_deviation_asked_for() -> None:
    x = torch.zeros(2, 400, 50)
    noisy = mixer({"input_noise": 0.3}, {"input_noise": 1.5}, shape=(50,))
    assert not noisy.is_idle
    noise = noisy(x).x
    assert noise.std((1, 2)).tolist() == pytest.approx([0.3, 1.5], rel=0.03)
    assert noise.mean((1, 2)).abs().max() < 0.03
    assert not x.any()


def test_mixup_blends_each_row_with_its_partner() -> None:
    x, mix = torch.randn(1, 16, 6), mixer({"mixup": 0.5})
    shares = []
    for _ in range(200):
        mixed = mix(x)
        partner, share = mixed.partners[0], mixed.shares[0]
        torch.testing.assert_close(mixed.x[0], share * x[0] + (1 - share) * x[0][partner])
        assert sorted(partner.tolist()) == list(range(16))
        shares.append(share.item())
    # Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)
    assert np.var(shares) == pytest.approx(1 / 8, rel=0.2)


def test_cutmix_replaces_a_box_and_tells_its_share() -> None:
    x = torch.arange(12.0).view(1, 12, 1, 1, 1).expand(1, 12, 3, 10, 8).contiguous()
    kept, mix = x.clone(), mixer({"cutmix": 1.0}, shape=(3, 10, 8))
    shares = []
    for _ in range(200):
        mixed = mix(x)
        partner, share = mixed.partners[0], mixed.shares[0].item()
        row = int((partner != torch.arange(12)).nonzero()[0])
        foreign = mixed.x[0, row] == partner[row]
        assert torch.equal(mixed.x[0, row][~foreign], x[0, row][~foreign])
        ys, xs = np.nonzero(foreign[0].numpy())
        assert torch.equal(foreign, foreign[:1].expand(3, -1, -1))
        if len(ys):
            box = foreign[0, ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
            assert box.all()
            assert box.sum() == foreign[0].sum()
        assert share == pytest.approx(1 - foreign.float().mean().item())
        shares.append(share)
    assert torch.equal(x, kept)
    assert min(shares) < 0.5
    assert max(shares) > 0.95


def test_cutmix_on_rows_without_height_and_width_is_one_line() -> None:
    mixer({}, {"mixup": 1.0}, shape=(5, 4))  # such as the tokens that stages of a transformer hand over
    with pytest.raises(WellfitError, match=r"^regularize.cutmix needs images, or maps .* \(params.yaml\)$"):
        mixer({}, {"cutmix": 1.0}, shape=(5, 4))


def test_the_seed_decides_and_members_differ() -> None:
    x = torch.randn(1, 8, 3)
    one, again, other = (mixer({"mixup": 1.0}, first_seed=seed)(x) for seed in (1, 1, 2))
    assert torch.equal(one.x, again.x)
    assert one.shares != other.shares


def test_each_member_of_a_pack_draws_what_it_draws_alone() -> None:
    """Whether it mixes, cuts, adds noise or does nothing, and after others have left."""
    shape = (2, 6, 5)
    together = mixer(*MEMBERS, shape=shape)
    alone = [mixer(each, shape=shape, first_seed=k) for k, each in enumerate(MEMBERS)]
    for kept in ([0, 1, 2, 3], [1, 2, 3], [1, 2]):
        x = torch.randn(len(kept), 7, *shape)
        mixed = together(x)
        for place, (k, images) in enumerate(zip(kept, x, strict=True)):
            own = alone[k](images[None])
            assert torch.equal(mixed.x[place], own.x[0])
            if own.partners is not None:
                assert torch.equal(mixed.partners[place], own.partners[0])
                assert mixed.shares[place] == own.shares[0]
            else:
                assert mixed.shares[place] == 1
        together.change([k for k, each in enumerate(kept) if each not in (0, 3)] if len(kept) < 4 else [1, 2, 3], [])


def test_on_other_devices_noise_comes_from_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a member in any company; drawn on the CPU as it would be elsewhere."""

    def elsewhere(self: BatchMixer, x: Tensor) -> Tensor:
        return self._counted_noise(x)

    monkeypatch.setattr(BatchMixer, "_noise_like", elsewhere)
    x = torch.zeros(3, 500, 40)
    together = mixer(*[{"input_noise": 1.0}] * 3, shape=(40,))
    alone = mixer({"input_noise": 1.0}, shape=(40,), first_seed=2)
    for _ in range(2):
        noise = together(x).x
        assert torch.equal(noise[2:], alone(x[:1]).x)
    assert noise.std((1, 2)).tolist() == pytest.approx([1.0] * 3, rel=0.03)
    remembered = together.state_dict()
    expected = together(x).x
    together.load_state_dict(remembered)
    assert torch.equal(together(x).x, expected)
