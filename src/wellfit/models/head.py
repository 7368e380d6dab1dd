"""What the last layer of a network puts out."""

import torch
from torch import Tensor

from wellfit.data.store import Meta


def head_width(loss: str, meta: Meta) -> int:
    """Numbers a network puts out for a row: a logit for each class, or one number.

    Args:
        loss: ``loss.name``; ``bce`` takes a single logit, that of the second class.
        meta: what is known of the data.
    """
    return 1 if loss == "bce" or meta.task == "regression" else len(meta.class_names)


def class_logits(outputs: Tensor) -> Tensor:
    """Logits of all classes, (..., C), whose softmax are the class probabilities.

    Args:
        outputs: (..., C), or (..., 1) of a network that puts out the logit of the second of two classes.
    """
    return torch.cat([torch.zeros_like(outputs), outputs], -1) if outputs.shape[-1] == 1 else outputs
