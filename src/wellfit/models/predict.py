"""Forward passes without gradients."""

import torch
from torch import Tensor, nn

from wellfit.interruptions import check
from wellfit.models.inputs import Inputs

CHUNK = 4096  # rows of a forward pass: bounds the memory of activations


@torch.inference_mode()
def predict(model: nn.Module, inputs: Inputs, rows: Tensor) -> Tensor:
    """Outputs of a model in evaluation mode, (n, outputs), which is put back into the mode it was in.

    Args:
        model: from encoded rows to outputs.
        inputs: encodes them.
        rows: (n, ...) as they are stored.
    """
    was_training = model.training
    model.eval()
    outputs = []
    for chunk in rows.split(CHUNK):
        outputs.append(model(inputs(chunk)))
        check()
    model.train(was_training)
    return torch.cat(outputs)
