"""Optimizers, by the name in ``optim.name``."""

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from wellfit.training.config import OptimConfig


def build_optimizer(config: OptimConfig, model: nn.Module) -> Optimizer:
    """A fused torch optimizer over the model's parameters.

    Weight decay holds matrices and kernels only: to shrink a bias or the scale of a norm regularizes nothing.

    Args:
        config: the section ``optim``. adamw decays the weights directly (Loshchilov and Hutter 2019); adam and sgd add
            ``weight_decay * w`` to the gradient.
        model: on its device already.
    """
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if config.weight_decay == 0:
        groups = [{"params": decayed + plain}]
    if config.name == "sgd":
        return SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=0.0, fused=True)
    optimizer = AdamW if config.name == "adamw" else Adam
    return optimizer(groups, lr=config.lr, weight_decay=0.0, fused=True)
