from typing import Any

import numpy as np
import pytest
import torch

from wellfit.training.mix import BatchMixer
from wellfit.training.regularize import RegularizeConfig

VALUES = {"input_noise": 0.0, "mixup": 0.0, "cutmix": 0.0, "average": "none", "ema_decay": 0.99, "swa_start": 0.75}


def mixer(seed: int = 0, **changes: Any) -> BatchMixer:
    return BatchMixer(RegularizeConfig.model_validate(VALUES | changes), seed, torch.device("cpu"))


def test_nothing_asked_for_changes_nothing_and_draws_nothing() -> None:
    x, random = torch.randn(8, 3), torch.get_rng_state()
    mixed = mixer()(x)
    assert mixed.x is x
    assert mixed.partner is None
    assert torch.equal(torch.get_rng_state(), random)


def test_noise_has_the_deviation_asked_for() -> None:
    x = torch.zeros(400, 50)
    noise = mixer(input_noise=0.3)(x).x
    assert noise.std().item() == pytest.approx(0.3, rel=0.03)
    assert noise.mean().abs() < 0.01
    assert not x.any()


def test_mixup_blends_each_row_with_its_partner() -> None:
    x, mix = torch.randn(16, 2, 3), mixer(mixup=0.5)
    shares = []
    for _ in range(200):
        mixed = mix(x)
        assert mixed.partner is not None
        torch.testing.assert_close(mixed.x, mixed.share * x + (1 - mixed.share) * x[mixed.partner])
        assert sorted(mixed.partner.tolist()) == list(range(16))
        shares.append(mixed.share)
    # Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)
    assert np.var(shares) == pytest.approx(1 / 8, rel=0.2)


def test_cutmix_replaces_a_box_and_tells_its_share() -> None:
    x = torch.arange(12.0).view(12, 1, 1, 1).expand(12, 3, 10, 8).contiguous()
    kept, mix = x.clone(), mixer(cutmix=1.0)
    shares = []
    for _ in range(200):
        mixed = mix(x)
        assert mixed.partner is not None
        row = int((mixed.partner != torch.arange(12)).nonzero()[0])
        foreign = mixed.x[row] == mixed.partner[row]
        assert torch.equal(mixed.x[row][~foreign], x[row][~foreign])
        ys, xs = np.nonzero(foreign[0].numpy())
        assert torch.equal(foreign, foreign[:1].expand(3, -1, -1))
        if len(ys):
            box = foreign[0, ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
            assert box.all()
            assert box.sum() == foreign[0].sum()
        assert mixed.share == pytest.approx(1 - foreign.float().mean().item())
        shares.append(mixed.share)
    assert torch.equal(x, kept)
    assert min(shares) < 0.5
    assert max(shares) > 0.95


def test_the_seed_decides_and_members_differ() -> None:
    x = torch.randn(8, 3)
    one, again, other = (mixer(seed, mixup=1.0)(x) for seed in (1, 1, 2))
    assert torch.equal(one.x, again.x)
    assert one.share != other.share
