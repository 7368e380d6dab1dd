"""What the last layer of a network puts out."""

import torch
from torch import Tensor

from wellfit.data.store import Meta
from wellfit.training.loss import LOSSES


def head_width(loss: str, meta: Meta) -> int:
    """Numbers a network puts out for a row: a logit for each class, or one number.

    Args:
        loss: ``loss.name``.
        meta: what is known of the data.
    """
    has_one_output = meta.task == "regression" or (loss != "auto" and LOSSES[loss].has_one_output)
    return 1 if has_one_output else len(meta.class_names)


def class_logits(outputs: Tensor) -> Tensor:
    """Logits of all classes, (..., C), whose softmax are the class probabilities.

    Args:
        outputs: (..., C), or (..., 1) of a network that puts out the logit of the second of two classes.
    """
    return torch.cat([torch.zeros_like(outputs), outputs], -1) if outputs.shape[-1] == 1 else outputs
