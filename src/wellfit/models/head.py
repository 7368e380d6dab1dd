"""What the last layer of a network puts out."""

import torch
from torch import Tensor


def class_logits(outputs: Tensor) -> Tensor:
    """Logits of all classes, (..., C), whose softmax are the class probabilities.

    Args:
        outputs: (..., C), or (..., 1) of a network that puts out the logit of the second of two classes.
    """
    return torch.cat([torch.zeros_like(outputs), outputs], -1) if outputs.shape[-1] == 1 else outputs
