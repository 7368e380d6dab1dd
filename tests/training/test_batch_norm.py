from typing import Any

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from wellfit.training.batch_norm import synchronize
from wellfit.training.distributed import Ranks

from .test_distributed import together


def passed(norm: nn.Module, x: Tensor, factors: Tensor) -> list[Tensor]:
    """Outputs, gradients, statistics, and the outputs in evaluation mode."""
    x = x.clone().requires_grad_()
    outputs = norm(x)
    (outputs * factors).sum().backward()
    gradients = [p.grad for p in norm.parameters() if p.grad is not None]
    assert x.grad is not None
    return [outputs.detach(), x.grad, *gradients, *norm.buffers(), norm.eval()(x).detach()]


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, BatchNormAct2d])
@pytest.mark.parametrize("rows", [5, 2])
def test_a_norm_sees_the_rows_of_all_processes(kind: type[nn.Module], rows: int, make_params: Any) -> None:
    x = torch.randn(rows, 3, 4, 4) + 1000  # whose squares leave no digits for the variance
    factors = torch.randn_like(x)

    def work(ranks: Ranks) -> list[Any]:
        norm = kind(3)
        synchronize(norm, ranks)
        outputs, slope, *gradients, mean, variance, count, predicted = passed(
            norm, ranks.share(x), ranks.share(factors)
        )
        found = [ranks.sum(ranks.spread(each, rows)) for each in (outputs, slope)]
        found += [*map(ranks.sum, gradients), mean, variance, count, ranks.sum(ranks.spread(predicted, rows))]
        return [each.numpy() for each in found]

    for found in together(3, make_params("images"), work):
        for own, expected in zip(found, passed(kind(3), x, factors), strict=True):
            np.testing.assert_allclose(own, expected.numpy(), rtol=1e-3, atol=1e-3)
