"""Forward passes without gradients."""

import torch
from torch import Tensor, nn

CHUNK = 4096  # rows of a forward pass: bounds the memory of activations


@torch.inference_mode()
def predict(model: nn.Module, x: Tensor) -> Tensor:
    """Outputs of a model in evaluation mode, (n, outputs), which is put back into the mode it was in."""
    was_training = model.training
    model.eval()
    outputs = torch.cat([model(chunk) for chunk in x.split(CHUNK)])
    model.train(was_training)
    return outputs
