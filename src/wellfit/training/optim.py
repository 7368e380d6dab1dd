"""Optimizers, by the name in ``optim.name``."""

from typing import Any

from torch.optim import SGD, Adam, AdamW, Optimizer

from wellfit.training.config import OptimConfig
from wellfit.training.flat import FlatParameters


def build_optimizer(config: OptimConfig, flat: FlatParameters) -> Optimizer:
    """A fused torch optimizer over the parameters of a model.

    Weight decay holds matrices and kernels only: to shrink a bias or the scale of a norm regularizes nothing.

    Args:
        config: the section ``optim``. adamw decays the weights directly (Loshchilov and Hutter 2019); adam and sgd add
            ``weight_decay * w`` to the gradient.
        flat: the parameters; these optimizers treat each number by itself, so one vector does as well as many tensors.
    """
    groups: list[dict[str, Any]] = [
        {"params": [flat.decayed], "weight_decay": config.weight_decay},
        {"params": [flat.plain]},
    ]
    if config.weight_decay == 0:  # one call in place of two
        groups = [{"params": [flat.decayed, flat.plain]}]
    if config.name == "sgd":
        return SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=0.0, fused=True)
    optimizer = AdamW if config.name == "adamw" else Adam
    return optimizer(groups, lr=config.lr, weight_decay=0.0, fused=True)
