"""Operators in onnxruntime are those of torch, to the last digits."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from wellfit.models.numeric import TAIL
from wellfit.serving.export import FORMATS

SHARES = torch.cat([torch.linspace(0, 1, 501).double().clamp(TAIL, 1 - TAIL), torch.logspace(-7, -1, 50).double()])
NORMAL = torch.linspace(-9, 9, 551).double()
WITHIN = torch.linspace(-1, 2, 551).double()
INPUTS = (NORMAL, SHARES, WITHIN)


class Operators(nn.Module):
    """Each operator, of (n,) numbers."""

    def __init__(self) -> None:
        super().__init__()
        sequences = torch.randn(3, 257).sort(1).values
        sequences[1, 50:90] = sequences[1, 50]
        self.sequences, self.line = nn.Buffer(sequences), nn.Buffer(torch.tensor([-0.5, 0, 0, 1]).double())

    def forward(self, normal: Tensor, share: Tensor, within: Tensor) -> dict[str, Tensor]:
        # Half of the values are in the sequences.
        values = torch.cat([self.sequences, normal[:257].float().expand(3, -1)], 1)
        return {
            "left": torch.searchsorted(self.sequences, values),
            "right": torch.searchsorted(self.sequences, values, right=True),
            "line": torch.searchsorted(self.line, within.view(-1, 19), right=True),
            "ndtr": torch.special.ndtr(normal),
            "ndtri": torch.special.ndtri(share),
            "clamp": within.clamp(TAIL, 1 - TAIL),
            "expm1": normal.expm1(),
            "add": within * (1 - TAIL) + 1 / 3,
            "small": within + 1e-10,
        }


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What torch and onnxruntime compute."""
    torch.manual_seed(0)
    operators = Operators()
    expected = operators(*INPUTS)
    program = torch.export.export(operators, INPUTS)
    data = FORMATS["onnx"].write(program, ["normal", "share", "within"], list(expected))
    session = onnxruntime.InferenceSession(data)
    found = session.run(None, {each.name: x.numpy() for each, x in zip(session.get_inputs(), INPUTS, strict=True)})
    return {name: each.numpy() for name, each in expected.items()}, dict(zip(expected, found, strict=True))


@pytest.mark.parametrize("name", ["left", "right", "line", "ndtr", "ndtri", "clamp", "expm1", "add", "small"])
def test_they_agree(both: tuple[dict[str, np.ndarray], dict[str, np.ndarray]], name: str) -> None:
    expected, found = (each[name] for each in both)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
